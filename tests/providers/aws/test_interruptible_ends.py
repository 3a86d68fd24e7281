"""Machines of an interruptible reservation are drained when its owner takes it back: EC2 tells them nothing of it."""

from __future__ import annotations

from typing import Any

from accel_scaling import timeouts
from accel_scaling.testing.ec2.interruptible import TAKEN_BACK_S
from tests.providers.aws.test_block_ends import HOUR, Drains, drains_fixture, joins
from tests.providers.aws.test_reserved_launch import TYPE, provider_with, wait
from tests.support.aws_provider import EC2, node_config, region_fixture, shared_region_fixture, tags
from tests.support.quarantine import Head, head_fixture

__all__ = ["drains_fixture", "head_fixture", "region_fixture", "shared_region_fixture"]

BACK_S = HOUR - TAKEN_BACK_S


def running(head: Head, region: EC2, **parts: str) -> tuple[Any, str]:
    """A provider with one machine of an interruptible reservation that has joined Ray, and the machine."""
    region.reserve(f"cr-1:type={TYPE},kind=interruptible," + ",".join(f"{key}={value}" for key, value in parts.items()))
    made = provider_with(head, region, {"a10g": [{"reserved": "cr-1"}]})
    made.__dict__["joined"] = joined = []
    made.joined_nodes = lambda: joined
    (name,) = made.create_node(node_config(region), tags(), 1)
    made.non_terminated_nodes({})
    joins(made, name)
    return made, name


def test_a_node_is_drained_when_the_owner_takes_its_reservation_back(region: EC2, head: Head, drains: Drains) -> None:
    provider, name = running(head, region, ends="1h")
    wait(head, region, BACK_S - 1)
    assert provider.non_terminated_nodes({}) == [name]
    assert drains == []
    for _ in range(3):
        wait(head, region, timeouts.AWS_LENDER_LOOK_S)
        assert provider.non_terminated_nodes({}) == [name], "its tasks continue"
    ((nodes, deadline_s),) = drains
    assert nodes == ["ray-1"]
    assert 0 <= region.now_s + TAKEN_BACK_S - deadline_s <= TAKEN_BACK_S, "before EC2 ends it"
    joins(provider, name, alive=False)
    provider.non_terminated_nodes({})
    assert region.alive() == [], "its last task has ended"


def test_a_node_whose_tasks_do_not_end_is_terminated_before_ec2_ends_it(
    region: EC2, head: Head, drains: Drains
) -> None:
    provider, name = running(head, region, ends="1h")
    wait(head, region, BACK_S)
    assert provider.non_terminated_nodes({}) == [name]
    region.fault("DescribeCapacityReservations", "before", "closed", times=99)
    wait(head, region, TAKEN_BACK_S - 1)
    provider.non_terminated_nodes({})
    assert (region.alive(), len(drains)) == ([], 1)


def test_an_owner_of_another_account_is_asked_every_ten_minutes_and_nothing_is_drained(
    region: EC2, head: Head, drains: Drains
) -> None:
    provider, name = running(head, region, ends="1h", owner="210987654321")
    region.calls.clear()
    for _ in range(20):
        wait(head, region, HOUR / 20 - 1)
        assert provider.non_terminated_nodes({}) == [name]
    assert drains == []
    assert 1 <= region.count("DescribeCapacityReservations") <= HOUR / timeouts.NOT_ALLOWED_S


def test_a_reservation_that_its_owner_leaves_alone_drains_nothing(region: EC2, head: Head, drains: Drains) -> None:
    provider, name = running(head, region, count="2")
    for _ in range(5):
        wait(head, region, HOUR)
        assert provider.non_terminated_nodes({}) == [name]
    assert drains == []


def test_a_launch_into_a_reservation_that_is_taken_back_is_missing_capacity(region: EC2, head: Head) -> None:
    region.reserve(f"cr-1:type={TYPE},kind=interruptible,count=2,ends=1h")
    provider = provider_with(head, region, {"a10g": [{"reserved": "cr-1"}, "on-demand"]})
    provider.create_node(node_config(region), tags(), 1)
    wait(head, region, BACK_S)
    provider.create_node(node_config(region), tags(), 1)
    assert [launch.capacity for launch in region.launches][-1] == "on-demand"
