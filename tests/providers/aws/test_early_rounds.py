"""Rounds of the autoscaler that come early, on an EC2 whose calls are counted and whose lists may lag behind."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.aws_provider import EC2, node_config, provider_of, tags
from tests.support.early_rounds import EarlyHead


class Head(EarlyHead):
    def __init__(self, region: EC2, folder: Path) -> None:
        types = {"a10g": {"max_workers": 8, "node_config": {}, "resources": {"GPU": 1}}, "head": {"node_config": {}}}
        super().__init__(provider_of(), folder, types)
        self.region = region

    def launch(self, count: int = 1) -> list[str]:
        return list(self.provider.create_node(node_config(self.region), tags(), count))


@pytest.fixture(name="head")
def head_fixture(region: EC2, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Head:
    monkeypatch.setattr(sys, "argv", ["/ray/autoscaler/v2/monitor.py"])
    return Head(region, tmp_path)


def test_an_early_round_knows_what_was_launched_and_asks_ec2_nothing(head: Head) -> None:
    (first,) = head.launch()
    assert head.round() == [first]
    (second,) = head.launch()
    assert head.early.told == 2
    head.region.calls.clear()
    assert head.round(early=True) == sorted([first, second])
    # All that v2 and the updater ask of a node before its set-up begins.
    assert head.provider.node_tags(second)["ray-user-node-type"] == "a10g"
    assert head.provider.is_running(second)
    assert not head.provider.is_terminated(second)
    assert head.provider.internal_ip(second).startswith("172.31.")
    head.provider.set_node_tags(second, {"ray-node-status": "waiting-for-ssh"})
    assert head.provider.node_tags(second)["ray-node-status"] == "waiting-for-ssh"
    assert head.region.calls == []


def test_a_regular_round_asks_ec2_as_ever(head: Head) -> None:
    head.launch()
    head.round()
    head.region.calls.clear()
    head.round()
    assert [name for name, _ in head.region.calls] == ["DescribeInstances"]


def test_a_list_that_lags_behind_a_launch_does_not_end_the_node_for_the_autoscaler(head: Head) -> None:
    head.region.hide(new=True)
    (node,) = head.launch()
    assert head.round(early=True) == [node]
    assert head.round() == [node]
    assert not head.provider.is_terminated(node)
    head.region.hide(new=False)
    assert head.round() == [node]


def test_a_machine_that_ends_before_it_is_listed_is_no_node_in_the_next_round(head: Head) -> None:
    (node,) = head.launch()
    assert head.round(early=True) == [node]
    head.provider.ec2.meta.client.terminate_instances(InstanceIds=[node])
    assert head.round() == []
    assert head.round() == []
    assert head.provider.is_terminated(node)


def test_a_machine_that_ray_ends_stays_for_an_early_round_and_is_gone_after_the_next_list(head: Head) -> None:
    (node,) = head.launch()
    assert head.round() == [node]
    head.provider.terminate_nodes([node])
    assert head.round(early=True) == [node], "listed again later, it would be treated as another"
    assert head.round() == []


def test_the_last_state_of_a_set_up_is_written_before_it_continues(head: Head, monkeypatch: Any) -> None:
    from ray.autoscaler._private.aws import node_provider

    monkeypatch.setattr(node_provider, "TAG_BATCH_DELAY", 0.0)
    (node,) = head.launch()
    head.round()
    head.region.calls.clear()
    for state in ("waiting-for-ssh", "syncing-files", "setting-up", "up-to-date"):
        head.provider.set_node_tags(node, {"ray-node-status": state})
    assert [call["body"]["Tag.1.Value"] for name, call in head.region.calls if name == "CreateTags"] == ["up-to-date"]
    assert head.provider.node_tags(node)["ray-node-status"] == "up-to-date"


def test_where_no_autoscaler_waits_by_us_nothing_is_stored(head: Head) -> None:
    head.provider._early = None
    head.region.hide(new=True)
    head.launch()
    assert head.round() == []
