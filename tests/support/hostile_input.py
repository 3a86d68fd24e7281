"""Input that every command refuses: a sound cluster file to make it of, and what a command says to it."""

from __future__ import annotations

import time

import pytest

from accel_scaling.cli.main import main

CLUSTER = """\
cluster_name: x
provider:
  type: external
  module: accel_scaling.providers.aws.AWSAcceleratorNodeProvider
  region: us-west-2
available_node_types:
  head: {node_config: {InstanceType: m5.large}}
  w:
    max_workers: 2
    node_config: {InstanceType: g5.xlarge}
head_node_type: head
max_workers: 2
docker: {container_name: ray, image: rayproject/ray}
setup_commands: []
head_setup_commands: []
worker_setup_commands: []
"""
# The commands that read a cluster file.
READERS = [["fill"], ["plan", "--demand", "A10G"], ["rehearse"]]


@pytest.fixture(name="no_rehearsal_starts")
def no_rehearsal_starts_fixture(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rehearsal reads its input and ends before it starts anything."""
    from tests.hostile.judge import until_it_starts

    monkeypatch.setattr("accel_scaling.testing.rehearse.run.Rehearsal.run", until_it_starts)


def said(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a command says to something that it refuses: one line, within a second of CPU."""
    start = time.process_time()
    assert main(words) == 2
    assert time.process_time() - start < 3  # with what is imported for the first time
    written = capsys.readouterr()
    lines = (written.err or written.out).splitlines()
    assert len(lines) == 1, lines
    return lines[0]
