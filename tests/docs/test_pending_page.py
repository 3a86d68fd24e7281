"""docs/pending.md: its commands are taken, and each answer of its tables is one that the commands give."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from accel_scaling.cli.main import main
from accel_scaling.quarantine.record import Cause
from tests.support.document_commands import check_ours
from tests.support.documents import ROOT, blocks_of

PAGE = ROOT / "docs" / "pending.md"
TEXT = PAGE.read_text(encoding="utf-8")

CLUSTER = """
cluster_name: pending
provider:
  type: external
  module: accel_scaling.providers.aws.AWSAcceleratorNodeProvider
  region: us-west-2
max_workers: 2
head_node_type: head
available_node_types:
  head:
    node_config: {InstanceType: m5.large}
  a10g:
    node_config: {InstanceType: g5.xlarge}
  p4d:
    max_workers: 0
    node_config: {InstanceType: p4d.24xlarge}
"""

# A demand for each answer of the first table, in its order; the last one needs a running cluster.
DEMANDS = (
    "--demand A10G",
    "--demand CPU:1",
    "--demand A10G:1x4",
    "--demand A100:8",
    "--demand H100:8",
    "--demand A10G:8",
    "--demand A100-80G:8",
    "--demand A10G --label ray.io/market-type=spot",
    "--gang STRICT_PACK A10G:1x2",
)


def answers(heading: str) -> list[str]:
    """The first cells of the table below a heading."""
    table = TEXT.partition(heading)[2].partition("\n## ")[0]
    return [row for row in re.findall(r"^\| (.+?) \|", table, re.MULTILINE) if row not in ("answer", "---")]


def test_each_answer_of_the_plan_is_one_that_it_gives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(CLUSTER)
    rows = answers("## What the answers of the plan mean")
    assert len(rows) == len(DEMANDS) + 1
    for row, demand in zip(rows, DEMANDS, strict=False):
        main(["plan", str(path), *demand.split()])
        said = capsys.readouterr().out
        pattern = ".*".join(re.escape(part) for part in re.findall(r"`(.+?)`", row)[0].split("..."))
        assert re.search(pattern, said), f"{row}\n{said}"


def test_each_cause_of_a_quarantine_has_its_row() -> None:
    rows = "\n".join(answers("## What the answers of the status mean"))
    assert [cause.value for cause in Cause if f"`{cause.value}: " not in rows] == []


def test_the_commands_that_run_on_the_head_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "ray_bootstrap_config.yaml").write_text(CLUSTER)
    (tmp_path / "changed.yaml").write_text(CLUSTER)
    checked = 0
    for block in blocks_of(PAGE):
        for command in block.commands if block.language == "sh" else ():
            words = shlex.split(command)
            inner = shlex.split(words[-1])
            if words[:2] == ["ray", "exec"] and inner[0] == "accel-scaling":
                here = [
                    word.replace("~", str(tmp_path)).replace("/tmp/changed", f"{tmp_path}/changed") for word in inner
                ]
                check_ours(here, tmp_path)
                checked += 1
    assert checked == 4
