"""The end of a Capacity Block on the local EC2: its machines end, and those of other reservations run on."""

from __future__ import annotations

from typing import Any

from accel_scaling.testing.hosts.events import EventKind
from tests.support.aws_account import local_ec2
from tests.support.local_ec2 import FAST, Client, until

TYPE = "g5.xlarge"
IMAGE = "ami-0a2b85e15b7c0ac34"


def _launched(client: Client, reservation: str, **request: Any) -> str:
    target = {"CapacityReservationTarget": {"CapacityReservationId": reservation}}
    answer = client.api.run_instances(
        InstanceType=TYPE,
        ImageId=IMAGE,
        SubnetId=client.subnet,
        MinCount=1,
        MaxCount=1,
        CapacityReservationSpecification=target,
        **request,
    )
    return str(answer["Instances"][0]["InstanceId"])


def test_the_machines_of_a_block_that_is_over_end_and_those_of_other_reservations_run_on() -> None:
    with local_ec2(FAST) as cloud:
        bought = f"cr-1:type={TYPE},kind=block,ends=1h", f"cr-2:type={TYPE}"
        cloud.set_reservations(*bought)
        cloud.set_faults(f"block-ends:{TYPE}@0s")
        client = Client(cloud)
        kept = _launched(client, "cr-2")
        ended = _launched(client, "cr-1", InstanceMarketOptions={"MarketType": "capacity-block"})
        client.wait([ended], "terminated")
        events = [event for event in cloud.events() if event.instance_id == ended]
        assert {event.capacity for event in events} == {"block cr-1"}
        assert "EC2 ends the machines of cr-1" in [event.error for event in events if event.kind is EventKind.HAPPENED]
        cloud.set_reservations(bought[0], f"{bought[1]},ends=1s")

        def state() -> str:
            (found,) = client.api.describe_capacity_reservations(CapacityReservationIds=["cr-2"])[
                "CapacityReservations"
            ]
            return str(found["State"])

        until(lambda: state() == "expired")
        client.wait([kept], "running")
        client.end(kept)
