"""Reservations that a cluster file names are asked about at `ray up`, before the head is paid for."""

from __future__ import annotations

from typing import Any

import pytest

from accel_scaling.cluster.cluster import read_config
from accel_scaling.errors import ClusterConfigError
from accel_scaling.providers.aws.reservation_checks import check_reservations
from tests.support.aws_provider import EC2, MODULE, REGION, A, B, region_fixture, shared_region_fixture

__all__ = ["region_fixture", "shared_region_fixture"]

TYPE = "g5.xlarge"
RESERVED, BLOCK = [{"reserved": "cr-1"}, "on-demand"], [{"block": "cr-1"}]
BY_HAND = {"CapacityReservationSpecification": {"CapacityReservationTarget": {"CapacityReservationId": "cr-1"}}}
ORDER_KEY = r"^provider\.capacity\.a10g: "


def checked(region: EC2, entries: list[Any] | None, zones: tuple[str, ...] = (A, B), **node_config: Any) -> list[str]:
    """The notes on a file whose node type has subnets in these zones."""
    config: dict[str, Any] = {
        "cluster_name": "mine",
        "max_workers": 8,
        "provider": {"type": "external", "module": MODULE, "region": REGION},
        "head_node_type": "head",
        "available_node_types": {
            "head": {"node_config": {"InstanceType": "m5.large"}},
            "a10g": {"max_workers": 4, "node_config": {"InstanceType": TYPE, **node_config}},
        },
    }
    if entries:
        config["provider"]["capacity"] = {"a10g": entries}
    cluster = read_config(config)
    for node_type in config["available_node_types"].values():
        node_type["node_config"] = {**node_type["node_config"], "SubnetIds": [region.subnets[zone] for zone in zones]}
    return check_reservations(cluster, config, lambda: region.now_s)


@pytest.mark.parametrize(
    ("bought", "entries", "zones", "says"),
    [
        ("cr-2", RESERVED, (A, B), r"cr-1 does not exist in us-west-2, or belongs to an account that does not share"),
        ("cr-1:ends=1s", RESERVED, (A, B), "the reservation cr-1 is expired; remove it, or name another one"),
        ("cr-1:type=g6.xlarge", RESERVED, (A, B), r"is for g6\.xlarge, and the machine of node type a10g is a g5"),
        (f"cr-1:zone={B}", RESERVED, (A,), rf"cr-1 is in {B}, and node type a10g has subnets in {A} only"),
        ("cr-1:kind=block", RESERVED, (A, B), r"cr-1 is a capacity block; write \{block: cr-1\}"),
        ("cr-1", BLOCK, (A, B), r"cr-1 is a reservation, and no capacity block; write \{reserved: cr-1\}"),
        ("cr-1:kind=block,ends=5m", BLOCK, (A, B), "EC2 ends the machines of the capacity block cr-1 from 1970-01-12"),
    ],
)
def test_a_reservation_that_no_launch_could_use_is_refused_in_one_sentence_with_its_key(
    bought: str, entries: list[Any], zones: tuple[str, ...], says: str, region: EC2
) -> None:
    region.reserve(bought if "type=" in bought else f"{bought}{',' if ':' in bought else ':'}type={TYPE}")
    region.now_s += 2
    with pytest.raises(ClusterConfigError, match=f"{ORDER_KEY}.*{says}"):
        checked(region, entries, zones)


def test_a_placement_group_that_is_not_the_reservations_own_is_refused(region: EC2) -> None:
    region.reserve(f"cr-1:type={TYPE},placement=theirs,count=9")
    assert checked(region, RESERVED) == checked(region, RESERVED, Placement={"GroupName": "theirs"}) == []
    says = f"{ORDER_KEY}the reservation cr-1 was created in the placement group theirs, and .*GroupName: mine; write"
    with pytest.raises(ClusterConfigError, match=says):
        checked(region, RESERVED, Placement={"GroupName": "mine"})


def test_what_is_written_by_hand_is_refused_alike(region: EC2) -> None:
    region.reserve(f"cr-1:type={TYPE},kind=block")
    key = r"^available_node_types\.a10g\.node_config\.CapacityReservationSpecification: "
    with pytest.raises(ClusterConfigError, match=rf"{key}.*write InstanceMarketOptions: \{{MarketType: capacity-bl"):
        checked(region, None, **BY_HAND)
    region.reserve("cr-1:type=g6.xlarge")
    with pytest.raises(ClusterConfigError, match=rf"{key}.*is for g6\.xlarge"):
        checked(region, None, **BY_HAND)


def test_a_block_that_begins_later_and_a_reservation_that_is_small_are_notes(region: EC2) -> None:
    region.reserve(f"cr-1:type={TYPE},kind=block,count=2,begins=1h,ends=10h")
    begins, small = checked(region, BLOCK)
    assert "the capacity block cr-1 begins at 1970-01-12" in begins
    assert begins.endswith("no machine of it is launched before")
    assert "has places for 2 machines, and max_workers of a10g is 4" in small
    (begins,) = checked(region, [*BLOCK, "spot"])
    assert begins.endswith("until then, what follows it is launched")


def test_an_account_that_may_not_ask_gets_a_note_and_no_refusal(region: EC2) -> None:
    region.fault("DescribeCapacityReservations", "before", "no permission")
    (note,) = checked(region, RESERVED)
    assert "lack the permission ec2:DescribeCapacityReservations" in note


def test_a_file_without_reservations_asks_nothing(region: EC2) -> None:
    assert checked(region, ["spot", "on-demand"]) == []
    assert region.calls == []


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        (
            [{"reserved": "my-reservation"}],
            "is my-reservation: write the id of a reservation, such as cr-0123456789abcdef0",
        ),
        ([{"reserved": {"name": "cr-1", "project": "p"}}], "has project, which is of Google Cloud"),
        ([{"spot": {"wait_for": "2h"}}], "spot has wait_for, and AWS has no queue of requests"),
    ],
)
def test_what_aws_does_not_have_is_refused_without_asking(entries: list[Any], says: str, region: EC2) -> None:
    with pytest.raises(ClusterConfigError, match=rf"^provider\.capacity\.a10g.*{says}"):
        checked(region, entries)


def test_a_block_with_a_placement_group_is_refused_and_a_reservation_with_one_is_not(region: EC2) -> None:
    for entries, by_hand in (
        (BLOCK, {}),
        (None, {**BY_HAND, "InstanceMarketOptions": {"MarketType": "capacity-block"}}),
    ):
        with pytest.raises(ClusterConfigError, match="which EC2 does not take with one: remove Placement"):
            checked(region, entries, Placement={"GroupName": "close"}, **by_hand)
    region.reserve(f"cr-1:type={TYPE},count=4")
    assert checked(region, RESERVED, Placement={"GroupName": "close"}) == []
