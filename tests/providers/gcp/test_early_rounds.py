"""Rounds of the autoscaler that come early, on a Compute Engine whose calls are counted."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from accel_scaling import timeouts
from tests.support.early_rounds import EarlyHead
from tests.support.gcp_provider import Google, google, ours, tags


class Head(EarlyHead):
    def __init__(self, at: Google, folder: Path) -> None:
        provider, self.configs = ours(at, slices=True)
        super().__init__(provider, folder, {name: {"max_workers": 8, "node_config": {}} for name in self.configs})
        self.at = at

    def launch(self, node_type: str = "cpu", count: int = 1) -> list[str]:
        return list(self.provider.create_node(self.configs[node_type], tags(node_type), count))


@pytest.fixture(name="head")
def head_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Head]:
    monkeypatch.setattr(sys, "argv", ["/ray/autoscaler/v2/monitor.py"])
    monkeypatch.setattr(timeouts, "GCP_OPERATION_POLL_S", 0.005)
    with google() as at:
        yield Head(at, tmp_path)


@pytest.mark.parametrize("node_type", ["cpu", "v4"])
def test_an_early_round_knows_what_was_launched_and_asks_google_nothing(head: Head, node_type: str) -> None:
    (first,) = head.launch()
    assert head.round() == [first]
    (second,) = head.launch(node_type)
    assert head.early.told == 2
    head.at.engine.calls.clear()
    assert head.round(early=True) == sorted([first, second])
    # All that v2 and the updater ask of a node before its set-up begins.
    assert head.provider.node_tags(second)["ray-user-node-type"] == node_type
    assert head.provider.is_running(second)
    assert not head.provider.is_terminated(second)
    assert head.provider.internal_ip(second)
    assert head.at.engine.calls == []


def test_many_machines_that_come_together_cost_one_list(head: Head) -> None:
    head.round()
    head.at.engine.calls.clear()
    nodes = head.launch(count=5)
    methods = [call[1] for call in head.at.engine.calls]
    assert "compute.instances.get" not in methods
    assert [methods.count(f"{kind}.list") for kind in ("compute.instances", "tpu.projects.locations.nodes")] == [1, 1]
    assert head.round(early=True) == sorted(nodes)


def test_a_list_that_fails_after_a_launch_leaves_the_nodes_to_the_next_round(head: Head) -> None:
    head.round()
    head.at.fault("compute.instances.list", status=403, reason="forbidden", times=9)
    (node,) = head.launch()
    assert head.early.told == 0
    assert head.round(early=True) == []
    head.at.injection.call_faults.clear()
    assert head.round() == [node]
