"""How many devices the machine of a new cluster file has, beside how many were asked for."""

from __future__ import annotations

import pytest

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.cli.main import main
from accel_scaling.init.model import FileRequest, parse_accelerator
from accel_scaling.init.text import cluster_file


@pytest.mark.parametrize(
    ("words", "more", "fewer"),
    [
        (
            ["aws", "--accelerator", "V100"],
            "p3dn.24xlarge has 8 x V100-32G, and 1 was asked for.",
            "p3.2xlarge has 1 x",
        ),
        (["aws", "--accelerator", "A100:1"], "p4d.24xlarge has 8 x A100-40G, and 1 was asked for; AWS sells none", ""),
        (["aws", "--accelerator", "L4:3"], "g6.12xlarge has 4 x L4, and 3 were asked for; AWS sells none with 3.", ""),
        (["gcp", "--accelerator", "v4"], "v4-8 has 4 x TPU-V4, and 1 was asked for; Google Cloud sells none", ""),
        (
            ["aws", "--accelerator", "Trainium2", "--region", "us-east-2"],
            "trn2.48xlarge has 16 x Trainium2, and 1 was asked for.",
            "trn2.3xlarge has 1 x Trainium2, but it is in other regions: ",
        ),
        (["aws", "--accelerator", "A10G"], "", ""),
        (["gcp", "--accelerator", "v5litepod-16"], "", ""),
    ],
)
def test_more_devices_than_were_asked_for_are_said_with_the_smaller_machines_and_why_not_those(
    words: list[str], more: str, fewer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", *words]) == 0
    out, err = capsys.readouterr()
    for sentence, begin in ((more, "More than asked: "), (fewer, "Fewer: ")):
        assert (f"note: {begin}" in err) is bool(sentence)
        assert f"{begin}{sentence}" in err if sentence else begin not in out
        assert (f"# {begin}{sentence}" in out) is bool(sentence)


def test_one_chip_is_one_chip() -> None:
    text = cluster_file(FileRequest("gcp", (parse_accelerator("v5e:1"),), project="mine"), shipped_catalog())
    assert "acceleratorType: v5litepod-1 # 1 chip, 1x1, in 1 host of" in text
