"""Rounds of the autoscaler that come early, on a Compute Engine whose calls are counted."""

from __future__ import annotations

import sys
import time
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


SET_UP = ("waiting-for-ssh", "syncing-files", "setting-up")
RUNNER = ("", {"ssh_user": "u"}, "mine", None, True)


def _calls(head: Head) -> list[str]:
    return [call[1] for call in head.at.engine.calls]


def test_a_whole_set_up_is_one_write_of_labels_and_google_is_asked_nothing_of_the_machine(head: Head) -> None:
    (node,) = head.launch()
    head.round(early=True)
    head.at.engine.calls.clear()
    prefix, *others = RUNNER
    assert head.provider.get_command_runner(prefix, node, *others)
    for status in SET_UP:
        head.provider.set_node_tags(node, {"ray-node-status": status})
        assert head.provider.node_tags(node)["ray-node-status"] == status
    head.provider.set_node_tags(node, {"ray-node-status": "up-to-date", "ray-runtime-config": "h"})
    assert head.provider.flush_tags() == []
    assert [call for call in _calls(head) if "Operations" not in call] == ["compute.instances.setLabels"]
    labels = head.at.machines()[node]["labels"]
    assert (labels["ray-node-status"], labels["ray-runtime-config"]) == ("up-to-date", "h")
    assert labels["ray-user-node-type"] == "cpu"


@pytest.mark.parametrize("node_type", ["cpu", "v4"])
def test_a_state_of_the_set_up_that_lasts_is_told_to_google(
    head: Head, monkeypatch: pytest.MonkeyPatch, node_type: str
) -> None:
    monkeypatch.setattr(timeouts, "STATUS_TAG_S", 0.01)
    (node,) = head.launch(node_type)
    head.provider.set_node_tags(node, {"ray-node-status": SET_UP[0]})
    deadline = time.monotonic() + 10
    while {**head.at.machines(), **head.at.slices()}[node]["labels"]["ray-node-status"] != SET_UP[0]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_labels_that_another_has_written_since_the_last_list_stay(head: Head) -> None:
    (node,) = head.launch()
    other, _ = ours(head.at)
    other.non_terminated_nodes({})
    other.set_node_tags(node, {"theirs": "1"})
    assert other.flush_tags() == []
    head.at.engine.calls.clear()
    head.provider.set_node_tags(node, {"ours": "2"})
    assert head.provider.flush_tags() == []
    assert _calls(head).count("compute.instances.setLabels") == 2, "Google refuses labels that are not the last ones"
    labels = head.at.machines()[node]["labels"]
    assert (labels["theirs"], labels["ours"]) == ("1", "2")


def test_a_list_that_fails_after_a_launch_leaves_the_nodes_to_the_next_round(head: Head) -> None:
    head.round()
    head.at.fault("compute.instances.list", status=403, reason="forbidden", times=9)
    (node,) = head.launch()
    assert head.early.told == 0
    assert head.round(early=True) == []
    head.at.injection.call_faults.clear()
    assert head.round() == [node]
