"""docs/dependencies.md says what the rows say, and its example is what `accel-scaling fill` makes of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.catalog.node_images import ImageKind
from accel_scaling.cli.main import main
from accel_scaling.cluster.node_needs import boot_disk, images, needs, no_image

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")


def block(comment: str) -> str:
    match = re.search(rf"<!-- {re.escape(comment)} -->\n```yaml\n(.*?)```", TEXT, flags=re.DOTALL)
    assert match, comment
    return match[1]


def test_the_table_of_the_document_is_that_of_the_rows() -> None:
    rows = [line.strip("|").split("|") for line in TEXT.splitlines() if line.startswith("|")]
    shown = {row[0].strip(): (row[1].strip(), row[2].strip()) for row in rows if row[0].strip() in needs()}
    expected = {}
    for family, of_family in needs().items():
        options = [*of_family.run_options, *([of_family.each_device] if of_family.each_device else [])]
        unknown = "nothing" if family == "none" else "not known: write your own"
        expected[family] = (of_family.driver, " ".join(f"`{option}`" for option in options) or unknown)
    assert shown == expected


def test_the_docker_example_is_filled_as_the_document_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "docker.yaml"
    file.write_text(block("file: docker.yaml"))
    assert main(["fill", str(file)]) == 0
    filled: dict[str, Any] = yaml.safe_load(capsys.readouterr().out)
    of_types = {
        name: node_type["docker"] for name, node_type in filled["available_node_types"].items() if "docker" in node_type
    }
    assert of_types == yaml.safe_load(block("filled: docker.yaml"))
    assert filled["docker"] == yaml.safe_load(block("file: docker.yaml"))["docker"]


def test_the_sentence_for_a_type_without_an_image_is_the_documents() -> None:
    machine = shipped_catalog().machine_type("aws", "g4ad.xlarge")
    assert f"Error: {no_image('available_node_types.g4ad', machine, 'ImageId')}\n" in TEXT


def test_the_document_names_every_ec2_family_without_an_image_and_the_boot_disks_sizes() -> None:
    listed = re.search(r"This applies to (.*?)\. A machine is never", TEXT, flags=re.DOTALL)
    assert listed
    chips = shipped_catalog()
    lacking = {
        name.partition(".")[0]
        for name in chips.machine_types("aws")
        if (machine := chips.machine_type("aws", name)).chip
        and any(
            image.kind is ImageKind.NONE and image.cloud == "aws" and image.family == machine.chip.family
            and (not image.chips or machine.chip.name in image.chips)
            for image in images()
        )
    }  # fmt: skip
    words = {word.lower().strip("(),") for word in listed[1].split()}
    assert {name.removesuffix("dn").removesuffix("s") for name in lacking} <= words
    sizes = {image.disk_gb for image in images() if image.kind is ImageKind.FAMILY}
    assert sizes == {50, 100}
    assert boot_disk("gcp", "n2-standard-2").disk_type == "pd-balanced"
