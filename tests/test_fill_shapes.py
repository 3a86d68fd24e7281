"""Slips of YAML in a cluster file are one sentence with file and line, from every command that reads one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from accel_scaling.cli.main import main

FILE = """\
cluster_name: a
provider: {type: external, module: accel_scaling.providers.aws.AWSAcceleratorNodeProvider, region: us-west-2}
head_node_type: head
available_node_types:
  head: {node_config: {InstanceType: m5.large}}
  a: {node_config: {InstanceType: g5.xlarge}}
"""
A = "  a: {node_config"


@pytest.mark.parametrize("command", [["fill"], ["plan", "--demand", "A10G"]], ids=["fill", "plan"])
@pytest.mark.parametrize(
    ("slip", "said"),
    [
        ((r"provider: .*", "provider: aws"), "`provider` is missing or empty"),
        ((r"provider: .*", "provider: [1]"), "`provider` is missing or empty"),
        ((A, "  5: {node_config"), "available_node_types has a node type 5, which YAML reads as no text; quote it"),
        ((A, "  true: {node_config"), "a node type true, which YAML"),
        ((A, "  ~: {node_config"), "a node type null, which YAML"),
        ((A, "  a: {labels: {3: x}, node_config"), r"available_node_types.a: the name 3 is no text for YAML; quote it"),
        (
            (A, "  a: {resources: {5: 4}, node_config"),
            "available_node_types.a: the name 5 is no text for YAML; quote it",
        ),
        (("head_node_type: head", "head_node_type: [head]"), "head_node_type is ['head'], which is not one of"),
    ],
)
def test_a_slip_is_one_sentence(
    command: list[str], slip: tuple[str, str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    was, written = slip
    path = tmp_path / "cluster.yaml"
    text = re.sub(re.escape(was) if "*" not in was else was, written, FILE, count=1)
    assert text != FILE
    path.write_text(text, encoding="utf-8")
    assert main([command[0], str(path), *command[1:]]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.startswith(f"accel-scaling: {path}")
    assert error.count("\n") == 1


@pytest.mark.parametrize("command", [["fill"], ["plan", "--demand", "A10G"]], ids=["fill", "plan"])
def test_a_region_that_nobody_knows_is_noted(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(FILE.replace("us-west-2", "us-wst-2"), encoding="utf-8")
    assert main([command[0], str(path), *command[1:]]) == 0
    said = capsys.readouterr()
    assert "us-wst-2 is a region that no places file has; nearest: us-west-2" in said.out + said.err
    path.write_text(FILE, encoding="utf-8")
    assert main([command[0], str(path), *command[1:]]) == 0
    said = capsys.readouterr()
    assert "no places file" not in said.out + said.err


@pytest.mark.parametrize("command", [["fill"], ["plan", "--demand", "A10G"]], ids=["fill", "plan"])
def test_zones_of_another_region_are_refused(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(FILE.replace("us-west-2", "us-west-2, availability_zone: us-east-1a"), encoding="utf-8")
    assert main([command[0], str(path), *command[1:]]) == 2
    said = f"{path}:2: provider.region is 'us-west-2', and provider.availability_zone us-east-1a is in us-east-1; make"
    assert said in capsys.readouterr().err
    path.write_text(FILE.replace("us-west-2", 'us-west-2, availability_zone: "us-west-2a, us-west-2-lax-1a"'))
    assert main([command[0], str(path), *command[1:]]) == 0
