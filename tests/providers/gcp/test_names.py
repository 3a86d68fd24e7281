"""Names and labels that Google does not take are refused by each entry point of a cluster file, with one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from accel_scaling.cli.main import main
from tests.support.hostile_input import READERS

TEXT = """\
cluster_name: one
provider:
  type: external
  module: accel_scaling.providers.gcp.GCPAcceleratorNodeProvider
  project_id: my-project-123
  region: us-central1
  availability_zone: us-central1-a
head_node_type: head
available_node_types:
  head: {node_config: {machineType: n1-standard-4}}
  worker:
    node_config:
      machineType: g2-standard-4
      labels: {team: research}
"""
WRONG = {
    "a label's key": (
        ("team: research", "Team: research"),
        ":14: ",
        "Team: 'research' is not a valid Google Cloud label",
    ),
    "a label's value": (
        ("team: research", "team: Research"),
        ":14: ",
        "team: 'Research' is not a valid Google Cloud label",
    ),
    "a cluster's name": (
        ("cluster_name: one", f"cluster_name: {'a' * 60}"),
        ":1: ",
        "is too long for a Google Cloud label",
    ),
    "a node type's name": (("  worker:", f"  {'w.' * 30}:"), ":11: ", "the node type's name"),
    "a key of machines on a slice": (
        ("machineType: g2-standard-4", "acceleratorType: v2-8\n      runtimeVersion: r\n      disks: []"),
        ":15: ",
        "disks is for machines, not for TPU slices; write dataDisks",
    ),
}


@pytest.mark.parametrize("door", READERS, ids=lambda words: words[0])
@pytest.mark.parametrize("mistake", WRONG)
def test_each_door_refuses_it_with_its_line(
    mistake: str, door: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (old, new), line, said = WRONG[mistake]
    path = tmp_path / "cluster.yaml"
    path.write_text(TEXT.replace(old, new), encoding="utf-8")
    assert main([door[0], str(path), *door[1:]]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"accel-scaling: {path}{line}")
    assert said in error


def test_names_that_google_takes_are_filled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(TEXT, encoding="utf-8")
    assert main(["fill", str(path)]) == 0
    assert "accelerator_type:L4" in capsys.readouterr().out


def test_a_file_of_rays_own_provider_is_left_to_google(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    module = "  type: external\n  module: accel_scaling.providers.gcp.GCPAcceleratorNodeProvider\n"
    path.write_text(TEXT.replace(module, "  type: gcp\n").replace("team: r", "Team: r"), encoding="utf-8")
    assert main(["fill", str(path), "-o", str(tmp_path / "filled.yaml")]) == 0
