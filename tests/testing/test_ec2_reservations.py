"""The local EC2's Capacity Reservations and Capacity Blocks, asked as a client of AWS asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from accel_scaling.testing.ec2.interruptible import TAKEN_BACK_S
from accel_scaling.testing.ec2.reservations import BLOCK_TERMINATION_S
from accel_scaling.testing.faults import Fault, write_faults
from tests.support.aws_provider import IMAGE, REGION, A, B

if TYPE_CHECKING:
    from tests.support.aws_provider import EC2

TYPE = "g5.xlarge"
BLOCK = {"MarketType": "capacity-block"}
NOT_ACTIVE = "InvalidCapacityReservationState.PendingActivation"
ARN = "arn:aws:resource-groups:us-west-2:123456789012:group/a10g"


def _launch(region: EC2, count: int = 1, zone: str = A, machine_type: str = TYPE, **request: Any) -> list[Any]:
    client = boto3.client("ec2", region_name=REGION)
    answer = client.run_instances(
        InstanceType=machine_type,
        ImageId=IMAGE,
        SubnetId=region.subnets[zone],
        MinCount=1,
        MaxCount=count,
        **request,
    )
    ids = [one["InstanceId"] for one in answer["Instances"]]
    groups = client.describe_instances(InstanceIds=ids)["Reservations"]
    return [one for group in groups for one in group["Instances"]]


def _refused(region: EC2, **launch: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        _launch(region, **launch)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def _target(name: str) -> dict[str, Any]:
    key = "CapacityReservationResourceGroupArn" if name.startswith("arn:") else "CapacityReservationId"
    return {"CapacityReservationTarget": {key: name}}


def _described(name: str) -> dict[str, Any]:
    client = boto3.client("ec2", region_name=REGION)
    (found,) = client.describe_capacity_reservations(CapacityReservationIds=[name])["CapacityReservations"]
    return dict(found)


def test_a_targeted_reservation_gives_what_it_has_and_refuses_the_rest(region: EC2) -> None:
    region.reserve(f"cr-1:count=2,zone={B},type={TYPE}")
    machines = _launch(region, 3, B, CapacityReservationSpecification=_target("cr-1"))
    assert [one["CapacityReservationId"] for one in machines] == ["cr-1", "cr-1"]
    assert region.launches[-1].capacity == "reserved cr-1"
    assert _described("cr-1")["AvailableInstanceCount"] == 0
    code, text = _refused(region, zone=B, CapacityReservationSpecification=_target("cr-1"))
    assert code == "ReservationCapacityExceeded"
    assert "does not have sufficient compatible and available capacity" in text
    (without,) = _launch(region, zone=B)
    assert "CapacityReservationId" not in without, "a launch that does not name it takes no place of it"


def test_a_place_is_free_again_when_its_machine_is_gone(region: EC2) -> None:
    region.reserve(f"cr-1:type={TYPE}")
    (machine,) = _launch(region, CapacityReservationSpecification=_target("cr-1"))
    boto3.client("ec2", region_name=REGION).terminate_instances(InstanceIds=[machine["InstanceId"]])
    assert _described("cr-1")["AvailableInstanceCount"] == 1


@pytest.mark.parametrize(
    ("text", "launch", "code"),
    [
        (f"cr-1:type={TYPE}", {"zone": B}, "ReservationCapacityExceeded"),
        ("cr-1:type=g6.xlarge", {}, "ReservationCapacityExceeded"),
        (f"cr-1:type={TYPE},begins=1h", {}, "ReservationCapacityExceeded"),
        (f"cr-2:type={TYPE}", {}, "InvalidCapacityReservationId.NotFound"),
        (f"cr-1:type={TYPE},kind=block", {}, "InvalidParameterValue"),
        (f"cr-1:type={TYPE}", {"InstanceMarketOptions": BLOCK}, "InvalidParameterValue"),
        (f"cr-1:type={TYPE}", {"InstanceMarketOptions": {"MarketType": "spot"}}, "InvalidParameterCombination"),
        (f"cr-1:type={TYPE},kind=block,begins=1h", {"InstanceMarketOptions": BLOCK}, NOT_ACTIVE),
        (f"cr-1:type={TYPE},kind=block,count=0", {"InstanceMarketOptions": BLOCK}, "InsufficientInstanceCapacity"),
        (
            f"cr-1:type={TYPE},kind=block",
            {"InstanceMarketOptions": BLOCK, "Placement": {"GroupName": "close"}},
            "InvalidParameterCombination",
        ),
    ],
    ids=lambda value: None if isinstance(value, dict) else value,
)
def test_a_launch_that_does_not_fit_its_reservation_is_refused(
    region: EC2, text: str, launch: dict[str, Any], code: str
) -> None:
    region.reserve(text)
    if group := launch.get("Placement", {}).get("GroupName"):
        boto3.client("ec2", region_name=REGION).create_placement_group(GroupName=group, Strategy="cluster")
    assert _refused(region, CapacityReservationSpecification=_target("cr-1"), **launch)[0] == code
    assert region.alive() == []


def test_a_preference_beside_a_target_is_refused_except_for_reservations_only(region: EC2) -> None:
    region.reserve(f"cr-1:type={TYPE}")
    both = {"CapacityReservationPreference": "open", **_target("cr-1")}
    assert _refused(region, CapacityReservationSpecification=both)[0] == "InvalidParameterCombination"
    (machine,) = _launch(
        region,
        CapacityReservationSpecification={
            "CapacityReservationPreference": "capacity-reservations-only",
            **_target("cr-1"),
        },
    )
    assert machine["CapacityReservationId"] == "cr-1"


def test_an_open_reservation_is_used_first_and_machines_on_demand_after_it(region: EC2) -> None:
    region.reserve(f"cr-1:type={TYPE},kind=open")
    machines = _launch(region, 2)
    assert [one.get("CapacityReservationId") for one in machines] == ["cr-1", None]
    region.reserve(f"cr-2:type={TYPE},kind=open")
    none = {"CapacityReservationPreference": "none"}
    (machine,) = _launch(region, CapacityReservationSpecification=none)
    assert "CapacityReservationId" not in machine
    (spot,) = _launch(region, InstanceMarketOptions={"MarketType": "spot"})
    assert ("CapacityReservationId" in spot, spot["InstanceLifecycle"]) == (False, "spot")


def test_a_group_of_reservations_falls_back_to_on_demand_unless_it_is_told_not_to(region: EC2) -> None:
    region.reserve(f"cr-1:type={TYPE},group={ARN}", f"cr-2:type=g6.xlarge,group={ARN}")
    machines = _launch(region, 2, CapacityReservationSpecification=_target(ARN))
    assert [one.get("CapacityReservationId") for one in machines] == ["cr-1", None]
    only = {"CapacityReservationPreference": "capacity-reservations-only", **_target(ARN)}
    assert _refused(region, CapacityReservationSpecification=only)[0] == "ReservationCapacityExceeded"


def test_a_block_is_used_from_its_begin_until_30_minutes_before_its_end(region: EC2) -> None:
    region.reserve(f"cr-1:type={TYPE},kind=block,count=2,begins=60s,ends=1h")
    block = {"InstanceMarketOptions": BLOCK, "CapacityReservationSpecification": _target("cr-1")}
    described = _described("cr-1")
    assert (described["State"], described["ReservationType"]) == ("scheduled", "capacity-block")
    assert (described["EndDate"] - described["StartDate"]).total_seconds() == 3600 - 60 + BLOCK_TERMINATION_S
    assert _refused(region, **block)[0] == NOT_ACTIVE
    region.now_s += 60
    (machine,) = _launch(region, **block)
    assert (machine["InstanceLifecycle"], region.launches[-1].capacity) == ("capacity-block", "block cr-1")
    assert (_described("cr-1")["State"], _described("cr-1")["AvailableInstanceCount"]) == ("active", 1)
    region.now_s += 3600
    assert _refused(region, **block)[0] == "InsufficientInstanceCapacity"
    region.now_s += BLOCK_TERMINATION_S
    assert _described("cr-1")["State"] == "expired"


def test_an_interruptible_reservation_has_a_market_of_its_own(region: EC2) -> None:
    region.reserve(f"cr-1:type={TYPE},kind=interruptible,owner=210987654321")
    described = _described("cr-1")
    assert (described["Interruptible"], described["OwnerId"]) == (True, "210987654321")
    target = _target("cr-1")
    assert _refused(region, CapacityReservationSpecification=target)[0] == "InvalidParameterValue"
    market = {"MarketType": "interruptible-capacity-reservation"}
    (machine,) = _launch(region, InstanceMarketOptions=market, CapacityReservationSpecification=target)
    assert machine["InstanceLifecycle"] == "interruptible-capacity-reservation"


def test_the_lender_of_an_interruptible_reservation_shows_that_its_owner_takes_it_back(region: EC2) -> None:
    region.reserve(f"cr-1:type={TYPE},kind=interruptible,count=2,ends=1h")
    lender = _described("cr-1")["InterruptionInfo"]["SourceCapacityReservationId"]
    seen = []
    for seconds in (0, 3600 - TAKEN_BACK_S, TAKEN_BACK_S):
        region.now_s += seconds
        lent = _described(lender)["InterruptibleCapacityAllocation"]
        seen.append((_described("cr-1")["State"], lent["Status"], lent["InstanceCount"], lent["TargetInstanceCount"]))
    assert seen == [("active", "active", 2, 2), ("active", "updating", 2, 0), ("cancelled", "canceled", 0, 0)]
    assert "EndDate" not in _described("cr-1")
    region.reserve(f"cr-1:type={TYPE},kind=interruptible,owner=210987654321")
    with pytest.raises(ClientError, match=r"InvalidCapacityReservationId\.NotFound"):
        _described(lender)


def test_the_list_is_filtered_and_an_unknown_reservation_is_an_error(region: EC2) -> None:
    region.reserve(f"cr-1:type={TYPE}", f"cr-2:type=g6.xlarge,zone={B}")
    client = boto3.client("ec2", region_name=REGION)
    of_b = client.describe_capacity_reservations(Filters=[{"Name": "availability-zone", "Values": [B]}])
    assert [one["CapacityReservationId"] for one in of_b["CapacityReservations"]] == ["cr-2"]
    with pytest.raises(ClientError, match=r"InvalidCapacityReservationId\.NotFound"):
        client.describe_capacity_reservations(CapacityReservationIds=["cr-1", "cr-3"])


@pytest.mark.parametrize(
    ("fault", "refused"),
    [(f"{TYPE}/spot", {("spot", A), ("spot", B)}), (f"{TYPE}@{A}/on-demand", {("on-demand", A)})],
)
def test_spot_and_on_demand_are_sold_out_alone_and_a_reservation_is_not(
    region: EC2, fault: str, refused: set[tuple[str, str]]
) -> None:
    write_faults(region.faults_file, [Fault.no_capacity(fault)])
    region.reserve(f"cr-1:type={TYPE}")
    found = set()
    for market in ("spot", "on-demand"):
        for zone in (A, B):
            options = {"InstanceMarketOptions": {"MarketType": "spot"}} if market == "spot" else {}
            try:
                _launch(region, zone=zone, **options)
            except ClientError as error:
                assert error.response["Error"]["Code"] == "InsufficientInstanceCapacity"
                found.add((market, zone))
    assert found == refused
    write_faults(region.faults_file, [Fault.no_capacity(TYPE)])
    assert _launch(region, CapacityReservationSpecification=_target("cr-1"))
