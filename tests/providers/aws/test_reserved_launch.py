"""Launches into reservations and capacity blocks of EC2, by `provider.capacity` and as a node_config names them."""

from __future__ import annotations

from typing import Any

import boto3
import pytest

from accel_scaling import _ray, timeouts
from accel_scaling.cluster.capacity import CapacityEntry, CapacityType
from accel_scaling.providers.aws.capacity import with_capacity
from accel_scaling.testing.faults import Fault, write_faults
from tests.support.aws_provider import (
    EC2,
    REGION,
    A,
    B,
    node_config,
    provider_of,
    region_fixture,
    shared_region_fixture,
    tags,
)
from tests.support.quarantine import Head, head_fixture

__all__ = ["head_fixture", "region_fixture", "shared_region_fixture"]

TYPE = "g5.xlarge"
THREE = {"a10g": [{"reserved": "cr-1"}, "spot", "on-demand"]}
BLOCK = {"a10g": [{"block": "cr-1"}, "on-demand"]}
BY_HAND = {
    "InstanceMarketOptions": {"MarketType": "capacity-block"},
    "CapacityReservationSpecification": {"CapacityReservationTarget": {"CapacityReservationId": "cr-1"}},
}


def provider_with(head: Head, region: EC2, order: dict[str, Any] | None = None, **provider: Any) -> Any:
    """A provider in an autoscaler, whose clock is EC2's."""
    made = provider_of(**({"capacity": order} if order else {}), **provider)
    head.now_s = region.now_s
    made.gate = head.gate
    return made


def wait(head: Head, region: EC2, seconds: float) -> None:
    head.now_s = region.now_s = region.now_s + seconds


def bought(region: EC2) -> list[str]:
    """How each machine was bought, by EC2's own records."""
    return sorted(one.rehearsal_capacity for one in region.machines().values())


def asked(region: EC2) -> list[str]:
    """Each RunInstances, by what it was answered with."""
    return [f"{one.granted}/{one.count} {one.capacity}" for one in region.launches]


def test_a_reservation_of_two_gives_two_and_the_third_machine_is_spot_then_on_demand(region: EC2, head: Head) -> None:
    region.reserve(f"cr-1:count=2,zone={B},type={TYPE}")
    write_faults(region.faults_file, [Fault.no_capacity(f"{TYPE}/spot")])
    provider = provider_with(head, region, THREE)
    made = provider.create_node(node_config(region), tags(), 3)
    assert len(made) == 3
    assert bought(region) == ["on-demand", "reserved cr-1", "reserved cr-1"]
    assert asked(region) == ["2/2 reserved cr-1", "0/1 spot", "0/1 spot", "1/1 on-demand"], (
        "one call in the reservation's zone alone, for as many as it has"
    )
    provider.non_terminated_nodes({})
    words = sorted(provider.node_tags(name)["accel-scaling-capacity"] for name in made)
    assert words == ["on-demand", "reserved", "reserved"]


def test_a_full_reservation_is_asked_for_again_after_a_minute_and_the_wait_does_not_double(
    region: EC2, head: Head
) -> None:
    region.reserve(f"cr-1:type={TYPE}")
    provider = provider_with(head, region, {"a10g": [{"reserved": "cr-1"}]})
    (name,) = provider.create_node(node_config(region), tags(), 1)
    for _ in range(5):
        with pytest.raises(_ray.node_launch_exception(), match=r"cr-1 has 0 free of 1 places"):
            provider.create_node(node_config(region), tags(), 1)
        with pytest.raises(_ray.node_launch_exception(), match="ReservationInUse"):
            provider.create_node(node_config(region), tags(), 1)
        wait(head, region, timeouts.RESERVATION_AGAIN_S + 1)
    assert len(region.launches) == 1, "a reservation that is known to be full is not asked for"
    boto3.client("ec2", region_name=REGION).terminate_instances(InstanceIds=[name])
    assert len(provider.create_node(node_config(region), tags(), 1)) == 1


@pytest.mark.parametrize("by_hand", [False, True], ids=["by an order", "by hand"])
def test_a_block_that_has_not_begun_is_launched_at_its_begin_and_not_before(
    region: EC2, head: Head, *, by_hand: bool
) -> None:
    region.reserve(f"cr-1:type={TYPE},kind=block,begins=90m,ends=10h")
    provider = provider_with(head, region, None if by_hand else {"a10g": [{"block": "cr-1"}]})
    config = {**node_config(region), **(BY_HAND if by_hand else {})}
    with pytest.raises(_ray.node_launch_exception(), match=r"the capacity block cr-1 begins at 1970-01-12"):
        provider.create_node(config, tags(), 1)
    wait(head, region, 90 * 60 - 1)
    with pytest.raises(_ray.node_launch_exception(), match="ReservationNotBegun"):
        provider.create_node(config, tags(), 1)
    assert region.launches == []
    wait(head, region, 1)
    assert len(provider.create_node(config, tags(), 1)) == 1
    assert bought(region) == ["block cr-1"]


def test_before_its_begin_what_comes_after_the_block_in_the_order_is_launched(region: EC2, head: Head) -> None:
    region.reserve(f"cr-1:type={TYPE},kind=block,begins=1h,ends=10h")
    provider = provider_with(head, region, BLOCK)
    provider.create_node(node_config(region), tags(), 1)
    assert bought(region) == ["on-demand"]
    wait(head, region, 3600)
    provider.create_node(node_config(region), tags(), 1)
    assert bought(region) == ["block cr-1", "on-demand"]


def test_no_machine_is_launched_shortly_before_the_end_of_a_block(region: EC2, head: Head) -> None:
    region.reserve(f"cr-1:type={TYPE},kind=block,count=2,ends=1h")
    provider = provider_with(head, region, BLOCK, watcher={"drain_s": 300})
    wait(head, region, 3600 - 300 - timeouts.BLOCK_LEAST_S)
    provider.create_node(node_config(region), tags(), 1)
    wait(head, region, 10)
    provider.create_node(node_config(region), tags(), 1)
    assert asked(region) == ["1/1 block cr-1", "1/1 on-demand"]


def test_a_machine_of_a_reservation_is_launched_in_its_zone_alone(region: EC2, head: Head) -> None:
    region.reserve(f"cr-1:count=5,zone={B},type={TYPE}")
    provider = provider_with(head, region, {"a10g": [{"reserved": "cr-1"}]})
    made = provider.create_node(node_config(region), tags(), 2)
    assert region.zones(made) == [B, B]
    with pytest.raises(_ray.node_launch_exception(), match=rf"cr-1 is in {B}, where this node type has no subnet"):
        provider.create_node(node_config(region, zones=(A,)), tags(), 1)


def test_two_reservations_are_used_one_after_the_other(region: EC2, head: Head) -> None:
    region.reserve(f"cr-1:zone={A},type={TYPE}", f"cr-2:zone={B},type={TYPE}")
    provider_with(head, region, {"a10g": [{"reserved": ["cr-1", "cr-2"]}]}).create_node(node_config(region), tags(), 2)
    assert bought(region) == ["reserved cr-1", "reserved cr-2"]


def test_an_interruptible_reservation_gets_its_market(region: EC2, head: Head) -> None:
    region.reserve(f"cr-1:type={TYPE},kind=interruptible")
    provider_with(head, region, {"a10g": [{"reserved": "cr-1"}]}).create_node(node_config(region), tags(), 1)
    assert bought(region) == ["reserved cr-1"]


ARN = "arn:aws:resource-groups:us-west-2:123456789012:group/a10g"


def test_a_reservation_that_was_created_in_a_placement_group_is_used_without_ours(region: EC2, head: Head) -> None:
    ours = f"accel-scaling-mine-a10g-{A}"
    boto3.client("ec2", region_name=REGION).create_placement_group(GroupName=ours, Strategy="cluster")
    region.reserve(f"cr-1:type={TYPE},placement=theirs")
    provider = provider_with(head, region, THREE)
    provider.create_node({**node_config(region), "Placement": {"GroupName": ours}}, tags(), 2)
    assert bought(region) == ["reserved cr-1", "spot"]
    groups = {one.rehearsal_capacity: one.rehearsal_group for one in region.machines().values()}
    assert groups == {"reserved cr-1": "", "spot": ours}


def test_blocks_of_a_resource_group_are_asked_for_as_ec2_documents_it() -> None:
    arn = "arn:aws:resource-groups:us-west-2:123456789012:group/blocks"
    target = {"CapacityReservationTarget": {"CapacityReservationResourceGroupArn": arn}}
    assert with_capacity("key", {}, CapacityEntry(CapacityType.BLOCK, arn)) == {
        "InstanceMarketOptions": {"MarketType": "capacity-block"},
        "CapacityReservationSpecification": target,
    }


@pytest.mark.parametrize(
    ("kind", "entry"), [("targeted,group=a10g", {"reserved": ARN}), ("open", "reserved")], ids=["a group", "any open"]
)
def test_a_group_and_open_reservations_are_used_without_their_ids_and_never_overflow(
    kind: str, entry: Any, region: EC2, head: Head
) -> None:
    region.reserve(f"cr-1:zone={B},type={TYPE},kind={kind}")
    made = provider_with(head, region, {"a10g": [entry, "spot"]}).create_node(node_config(region), tags(), 2)
    assert len(made) == 2
    assert bought(region) == ["reserved cr-1", "spot"], "EC2 would buy on demand where a group is full"


def test_a_reservation_that_does_not_exist_does_not_stop_the_rest_of_the_order(region: EC2, head: Head) -> None:
    provider_with(head, region, THREE).create_node(node_config(region), tags(), 1)
    assert asked(region) == ["0/1 cr-1", "1/1 spot"]


def test_without_permission_launches_continue_without_the_knowledge_and_say_so_once(
    region: EC2, head: Head, caplog: pytest.LogCaptureFixture
) -> None:
    region.reserve(f"cr-1:count=2,zone={A},type={TYPE}")
    region.fault("DescribeCapacityReservations", "before", "no permission", times=99)
    provider = provider_with(head, region, THREE)
    for _ in range(3):
        provider.create_node(node_config(region), tags(), 1)
    assert bought(region) == ["reserved cr-1", "reserved cr-1", "spot"]
    assert caplog.text.count("lacks ec2:DescribeCapacityReservations") == 1
    assert region.count("DescribeCapacityReservations") == 1


def test_without_permission_a_block_that_has_not_begun_is_tried_each_minute_and_never_for_longer(
    region: EC2, head: Head
) -> None:
    region.reserve(f"cr-1:type={TYPE},kind=block,begins=10m,ends=10h")
    region.fault("DescribeCapacityReservations", "before", "no permission", times=99)
    provider = provider_with(head, region, {"a10g": [{"block": "cr-1"}]})
    for _ in range(10):
        with pytest.raises(_ray.node_launch_exception()):
            provider.create_node(node_config(region, zones=(A,)), tags(), 1)
        wait(head, region, timeouts.RESERVATION_AGAIN_S)
    assert [one.error for one in region.launches] == ["InvalidCapacityReservationState.PendingActivation"] * 10
    assert len(provider.create_node(node_config(region, zones=(A,)), tags(), 1)) == 1


def test_a_launch_asks_ec2_once_about_a_reservation_however_many_zones_there_are(region: EC2, head: Head) -> None:
    region.reserve(f"cr-1:count=4,zone={B},type={TYPE}")
    provider_with(head, region, THREE).create_node(node_config(region), tags(), 4)
    assert region.count("DescribeCapacityReservations") == 1


def test_a_launch_without_a_reservation_asks_nothing(region: EC2, head: Head) -> None:
    provider_with(head, region, {"a10g": ["spot"]}).create_node(node_config(region), tags(), 1)
    assert region.count("DescribeCapacityReservations") == 0


def test_a_node_config_with_its_order_is_what_a_person_writes_by_hand() -> None:
    from accel_scaling.cluster.capacity import capacity_orders

    (entry,) = capacity_orders({"capacity": BLOCK})["a10g"][:1]
    assert with_capacity("k", {"InstanceType": TYPE}, entry) == {"InstanceType": TYPE, **BY_HAND}


def test_a_reservation_whose_zone_is_known_late_is_used_in_its_zone(region: EC2, head: Head) -> None:
    region.reserve(f"cr-1:count=2,zone={B},type={TYPE}")
    provider = provider_with(head, region, {"a10g": [{"reserved": "cr-1"}, "on-demand"]})
    # The first questions, for the zone, are not answered; those at the places are.
    region.fault("DescribeCapacityReservations", "before", "internal", times=2)
    provider.create_node(node_config(region), tags(), 1)
    assert bought(region) == ["reserved cr-1"]
