"""A stranger who follows CONTRIBUTING.md: a made-up machine is in the catalog, filled, rehearsed and confirmed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.cluster import LEAN
from tests.support.contributing import GIT, GUIDE, ROOT
from tests.support.documents import blocks_of
from tests.support.rehearsal import left_behind

OWN_ROWS = "instance_type,vcpus,memory_mib,arch,accelerator,count\nz1.xlarge,4,16384,x86_64,Z1,2\n"
OWN_CHIP = "Z1: {family: nvidia, resource: GPU, detected_type: Z1, memory_mib: 81920, driver_names: [NVIDIA Z1 80GB]}\n"


def cluster_of_the_guide() -> dict[str, dict]:
    match = re.search(r"<!-- file: g9.yaml -->\n *```yaml\n(.*?) *```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert match
    return yaml.safe_load(match[1])


def run(clone: Path, folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HOME": str(folder), "TMPDIR": str(folder), "PYTHONPATH": str(clone), **more}
    return subprocess.run(
        [sys.executable, "-m", "accel_scaling", *words],
        cwd=folder, capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip


def test_what_a_reviewer_sees_of_a_new_machine_with_a_new_chip_is_eight_lines(contributed: Path) -> None:
    changes = subprocess.run([*GIT, "diff", "--numstat"], cwd=contributed, capture_output=True, text=True, check=True)
    changed = {path: (added, removed) for added, removed, path in map(str.split, changes.stdout.splitlines())}
    assert changed == {
        "catalogs/aws.csv": ("1", "0"),
        "catalogs/aws_places.csv": ("2", "0"),
        "catalogs/accelerators.yaml": ("3", "0"),
        "accel_scaling/accelerators.py": ("1", "0"),
        "accel_scaling/testing/devices/hardware.csv": ("1", "0"),
    }


def test_the_rows_that_the_guide_takes_as_examples_are_in_their_files() -> None:
    examples = [block for block in blocks_of(GUIDE) if block.key == "there"]
    assert len(examples) == 2
    for block in examples:
        assert block.body in (ROOT / block.value).read_text(encoding="utf-8"), block


def test_a_mistake_in_a_shipped_file_is_named_where_people_edit_it(contributed: Path, tmp_path: Path) -> None:
    path = contributed / "catalogs" / "aws.csv"
    before = path.read_text(encoding="utf-8")
    path.write_text(before.replace(",X900,1\n", ",X901,1\n"), encoding="utf-8")
    try:
        said = run(contributed, tmp_path, "catalog", "check").stdout
    finally:
        path.write_text(before, encoding="utf-8")
    assert f"{path}:" in said
    assert "accel_scaling/catalogs" not in said


def test_the_guides_cluster_is_filled_in_a_region_that_has_the_machine_and_refused_in_another(
    contributed: Path, tmp_path: Path
) -> None:
    config = cluster_of_the_guide()
    (tmp_path / "g9.yaml").write_text(yaml.safe_dump(config))
    filled = yaml.safe_load(run(contributed, tmp_path, "fill", "g9.yaml").stdout)
    assert filled["available_node_types"]["x900"]["resources"]["accelerator_type:X900"] == 1
    config["provider"]["region"] = "eu-west-1"
    (tmp_path / "g9.yaml").write_text(yaml.safe_dump(config))
    refused = run(contributed, tmp_path, "fill", "g9.yaml")
    assert refused.returncode == 2
    assert "eu-west-1 does not have g9.xlarge, according to aws_places.csv" in refused.stderr
    assert "the nearest regions that do: us-east-1, us-west-2;" in refused.stderr


@pytest.mark.cluster
@pytest.mark.timeout(400)
def test_the_guides_machine_and_one_of_a_users_own_catalog_are_rehearsed_and_confirmed(
    contributed: Path,
    scratch: Path,
) -> None:
    """One rehearsal for both: the contributed type, and a type that only a file beside the cluster file knows."""
    config = cluster_of_the_guide() | LEAN
    config["max_workers"] = 2
    config["provider"]["catalog"] = "mine.csv"
    config["available_node_types"]["own"] = {"max_workers": 1, "node_config": {"InstanceType": "z1.xlarge"}}
    (scratch / "g9.yaml").write_text(yaml.safe_dump(config))
    (scratch / "mine.csv").write_text(OWN_ROWS)
    (scratch / "mine.yaml").write_text(OWN_CHIP)
    done = run(contributed, scratch, "rehearse", "g9.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert left_behind(scratch) == []
    for shown in re.findall(r"```text\n *(confirmed .*?)\n", GUIDE.read_text(encoding="utf-8")):
        assert re.search(re.escape(shown).replace(re.escape("i-..."), r"i-\w+"), done.stdout), done.stdout
    assert re.search(r"confirmed  z1.xlarge i-\w+: promised 2 x Z1; 2 on the PCI bus, 2 seen by", done.stdout)
    assert "z1.xlarge: emulated as mine.csv:2 says, the row itself: its boot check proves the path" in done.stdout
    assert "accelerator_type='X900' on g9.xlarge" in done.stdout
    assert "accelerator_type='Z1' on z1.xlarge" in done.stdout
