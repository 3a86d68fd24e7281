"""Machines of a Capacity Block are drained before EC2 ends them, of which EC2 tells them nothing."""

from __future__ import annotations

from typing import Any

import boto3
import pytest

from accel_scaling import _ray, timeouts
from accel_scaling.boot.verdicts import LABEL_VERDICT
from accel_scaling.providers.aws.provider import AWSAcceleratorNodeProvider
from accel_scaling.providers.aws.reservations import read
from tests.providers.aws.test_reserved_launch import TYPE, provider_with, wait
from tests.support.aws_provider import EC2, REGION, node_config, region_fixture, shared_region_fixture, tags
from tests.support.quarantine import Head, head_fixture

__all__ = ["head_fixture", "region_fixture", "shared_region_fixture"]

HOUR, LABELS = 3600.0, {LABEL_VERDICT: "Confirmed"}
Drains = list[tuple[list[str], float]]


@pytest.fixture(name="drains")
def drains_fixture(monkeypatch: pytest.MonkeyPatch) -> Drains:
    """What Ray is asked to drain: node ids in Ray, and the deadline."""
    asked: Drains = []

    def drain(nodes: list[str], _why: str, deadline_s: float) -> list[str]:
        asked.append((list(nodes), deadline_s))
        return []

    monkeypatch.setattr(_ray, "drain_nodes", drain)
    monkeypatch.setattr(_ray, "node_events", dict)
    monkeypatch.setattr(_ray, "forget_event", lambda _: None)
    monkeypatch.setattr(_ray, "tell_drivers", lambda _: None)
    return asked


def running(head: Head, region: EC2, version: str = "v2", **provider: Any) -> tuple[Any, str]:
    """A provider with one machine of a block that has joined Ray, and the machine."""
    region.reserve(f"cr-1:type={TYPE},kind=block,ends=1h")
    made = provider_with(head, region, {"a10g": [{"block": "cr-1"}]}, **provider)
    made.__dict__["joined"] = joined = []
    made.joined_nodes = lambda: joined
    (name,) = made.create_node(node_config(region), tags(), 1)
    made.non_terminated_nodes({})
    joins(made, name, version=version)
    return made, name


def joins(provider: AWSAcceleratorNodeProvider, name: str, *, version: str = "v2", alive: bool = True) -> None:
    node = _ray.JoinedNode(name if version == "v2" else "", provider.internal_ip(name), LABELS, alive, "ray-1")
    provider.__dict__["joined"][:] = [node]


@pytest.mark.parametrize("version", ["v2", "v1"])
def test_a_node_is_drained_once_before_the_end_of_its_block_and_then_terminated(
    version: str, region: EC2, head: Head, drains: Drains
) -> None:
    provider, name = running(head, region, version)
    ends_s = region.now_s + HOUR
    wait(head, region, HOUR - 301)
    provider.non_terminated_nodes({})
    assert drains == []
    wait(head, region, 1)
    for _ in range(3):
        assert provider.non_terminated_nodes({}) == [name], "its tasks continue"
    assert drains == [(["ray-1"], ends_s)]
    joins(provider, name, version=version, alive=False)
    provider.non_terminated_nodes({})
    assert region.alive() == [], "its last task has ended"


def test_a_node_whose_tasks_do_not_end_is_terminated_when_ec2_would_end_it(
    region: EC2, head: Head, drains: Drains
) -> None:
    provider, name = running(head, region, watcher={"drain_s": 60})
    wait(head, region, HOUR - 60)
    assert provider.non_terminated_nodes({}) == [name]
    assert len(drains) == 1
    wait(head, region, 61)
    provider.non_terminated_nodes({})
    assert region.alive() == []
    assert head.gate.machines.get(name) is None or not head.gate.machines.get(name).failure


@pytest.mark.parametrize(("word", "says"), [("report", True), ("ignore", False)])
def test_the_word_of_the_cluster_file_for_interruptions_is_kept(
    word: str, region: EC2, head: Head, drains: Drains, caplog: pytest.LogCaptureFixture, *, says: bool
) -> None:
    provider, name = running(head, region, watcher={"interruption": word})
    wait(head, region, HOUR - 10)
    assert provider.non_terminated_nodes({}) == [name]
    assert drains == []
    assert ("EC2 ends the machines of the capacity block cr-1 from 1970-01-12" in caplog.text) is says


def test_the_head_is_not_drained_and_its_end_is_said(
    region: EC2, head: Head, drains: Drains, caplog: pytest.LogCaptureFixture
) -> None:
    region.reserve(f"cr-1:type={TYPE},kind=block,ends=1h")
    provider = provider_with(head, region, {"head": [{"block": "cr-1"}]})
    provider.__dict__["joined"] = joined = []
    provider.joined_nodes = lambda: joined
    (name,) = provider.create_node(node_config(region), tags("head", "head"), 1)
    provider.non_terminated_nodes({})
    joins(provider, name, version="v1")
    wait(head, region, HOUR - 10)
    assert provider.non_terminated_nodes({}) == [name]
    assert drains == []
    assert "EC2 ends the machines of the capacity block cr-1 from 1970-01-12" in caplog.text


def test_a_block_that_is_extended_drains_nothing_before_its_new_end(region: EC2, head: Head, drains: Drains) -> None:
    provider, name = running(head, region)
    region.now_s -= 1  # a block keeps its begin
    region.reserve(f"cr-1:type={TYPE},kind=block,ends=5h")
    wait(head, region, HOUR)
    assert provider.non_terminated_nodes({}) == [name]
    assert drains == []


def test_an_end_that_is_known_is_acted_on_though_ec2_does_not_answer_any_more(
    region: EC2, head: Head, drains: Drains
) -> None:
    provider, _ = running(head, region)
    region.fault("DescribeCapacityReservations", "before", "closed", times=99)
    wait(head, region, HOUR - 100)
    provider.non_terminated_nodes({})
    assert len(drains) == 1


def test_the_end_is_asked_for_each_five_minutes_and_only_while_machines_run_in_a_block(
    region: EC2, head: Head, drains: Drains
) -> None:
    provider, _ = running(head, region)
    region.calls.clear()
    for _ in range(20):
        wait(head, region, 30)
        provider.non_terminated_nodes({})
    assert region.count("DescribeCapacityReservations") == 600 / timeouts.AWS_BLOCK_LOOK_S
    assert drains == []
    region.reset()
    provider.create_node(node_config(region), tags("other"), 1)
    region.calls.clear()
    wait(head, region, 1000)
    provider.non_terminated_nodes({})
    assert region.count("DescribeCapacityReservations") == 0


@pytest.mark.parametrize(("machine_type", "minutes"), [("p5.48xlarge", 30), ("trn2u.48xlarge", 60)])
def test_machines_of_ultraservers_end_an_hour_before_their_block(region: EC2, machine_type: str, minutes: int) -> None:
    region.reserve(f"cr-1:type={machine_type},kind=block,ends=1h")
    client = boto3.client("ec2", region_name=REGION)
    (described,) = client.describe_capacity_reservations(CapacityReservationIds=["cr-1"])["CapacityReservations"]
    assert described["EndDate"].timestamp() == region.now_s + HOUR + minutes * 60
    assert read(described).ends_s == region.now_s + HOUR
