"""The network interfaces of EFA: as many as a machine takes, in the zone that is tried, one request for each zone."""

from __future__ import annotations

from typing import Any

import pytest

from accel_scaling import _ray
from accel_scaling.catalog.networks import NetworkCards, network_cards
from accel_scaling.cluster.capacity import CapacityEntry, CapacityType
from accel_scaling.errors import ClusterConfigError
from accel_scaling.providers.aws import network, placement
from accel_scaling.providers.aws.capacity import with_capacity
from accel_scaling.providers.aws.node_config import check_node_config
from accel_scaling.testing.devices.ec2_machines import ec2_api_record
from accel_scaling.testing.ec2.interfaces import check_interfaces, efa_devices
from tests.support.aws_provider import EC2, A, B, node_config, provider_of, tags

C = "us-west-2c"
WITH_EFA = ["g5.8xlarge", "g6e.24xlarge", "hpc6id.32xlarge", "i7ie.48xlarge", "p3dn.24xlarge", "p4d.24xlarge"]
WITH_EFA += ["p5.4xlarge", "p5.48xlarge", "p5en.48xlarge", "p6-b200.48xlarge", "p6-b300.48xlarge", "trn1.32xlarge"]
WITH_EFA += ["trn1n.32xlarge", "trn2.3xlarge", "trn2.48xlarge"]


def cards_of(machine: str) -> NetworkCards:
    cards = network_cards("aws", machine)
    assert cards is not None
    return cards


@pytest.mark.parametrize("machine", WITH_EFA)
def test_every_efa_of_a_machine_is_used_as_ec2_takes_it(machine: str) -> None:
    record = ec2_api_record(machine)
    assert record is not None
    interfaces = network.interfaces_of(cards_of(machine), public=True)
    check_interfaces(None, machine, interfaces)  # by EC2's own answer, not by the catalog's
    assert efa_devices(interfaces) == record["NetworkInfo"]["EfaInfo"]["MaximumEfaInterfaces"]
    # One interface alone may have a public address; of several, all but the first have no address at all.
    several = len(interfaces) > 1
    assert ("AssociatePublicIpAddress" in interfaces[0]) is not several
    assert [one["InterfaceType"] for one in interfaces[1:]] == ["efa-only"] * (len(interfaces) - 1)
    assert all(one["DeleteOnTermination"] for one in interfaces)


def test_the_interfaces_of_a_p5_and_of_a_card_without_efa_are_those_of_the_ec2_guide() -> None:
    places = [
        (one["NetworkCardIndex"], one["DeviceIndex"], one["InterfaceType"])
        for one in network.interfaces_of(cards_of("p5.48xlarge"), public=False)
    ]
    assert places == [(0, 0, "interface"), (0, 1, "efa-only"), *((card, 0, "efa-only") for card in range(1, 32))]
    b300 = network.interfaces_of(cards_of("p6-b300.48xlarge"), public=False)
    assert [one["NetworkCardIndex"] for one in b300] == list(range(17))
    assert b300[0]["InterfaceType"] == "interface"


def own(*places: tuple[int, int, str], machine: str = "p4d.24xlarge", **more: Any) -> dict[str, Any]:
    return {
        "InstanceType": machine,
        "NetworkInterfaces": [
            {
                "NetworkCardIndex": card,
                "DeviceIndex": device,
                "InterfaceType": kind,
                "SubnetId": "subnet-1",
                "Groups": ["sg-1"],
                **more,
            }
            for card, device, kind in places
        ],
    }


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (own((0, 0, "efa"), (4, 1, "efa")), "[1].NetworkCardIndex is 4, and p4d.24xlarge has 4 network cards, 0 to 3"),
        (own((0, 0, "efa"), (1, 1, "efa"), machine="g5.8xlarge"), "[1].NetworkCardIndex is 1, and g5.8xlarge has one"),
        (own((0, 0, "efa"), machine="m5.large"), "[0].InterfaceType is efa, and m5.large has no EFA on it"),
        (
            own((0, 0, "efa"), machine="p6-b300.48xlarge"),
            "[0].InterfaceType is efa, and p6-b300.48xlarge has no EFA on its network card 0",
        ),
        (
            own((0, 0, "efa-only")),
            "[0].InterfaceType is efa-only, and the first interface of a machine needs an address",
        ),
        (own((0, 0, "efa"), (0, 0, "efa")), " has 2 interfaces with NetworkCardIndex 0 and DeviceIndex 0; each needs"),
        (
            own(*((0, device, "interface") for device in range(3)), machine="p5.48xlarge"),
            "[2]: network card 0 of p5.48xlarge takes 2 interfaces",
        ),
        (
            own(*((0, device, "interface") for device in range(4)), machine="m5.large"),
            " has 4 interfaces, and m5.large",
        ),
        (
            own((0, 0, "efa"), (1, 1, "efa"), AssociatePublicIpAddress=True),
            "[0].AssociatePublicIpAddress is true, and EC2 gives no public address to a machine with several",
        ),
    ],
)
def test_interfaces_of_the_user_are_checked_against_the_machine(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ClusterConfigError) as error:
        check_node_config("available_node_types.mine", given)
    assert str(error.value).startswith(f"available_node_types.mine.node_config.NetworkInterfaces{sentence}")


def test_right_interfaces_and_a_machine_that_nobody_knows_are_let_through() -> None:
    check_node_config("x", own((0, 0, "efa"), *((card, 1, "efa") for card in (1, 2, 3))))
    check_node_config("x", own((0, 0, "efa"), (7, 1, "efa-only"), machine="p9.48xlarge"))


def h100(region: EC2, zones: tuple[str, ...] = (A, B, C)) -> dict[str, Any]:
    config = {**node_config(region, "p5.48xlarge", zones), "SecurityGroupIds": []}
    return network.with_interfaces(config, cards_of("p5.48xlarge"), public=False)


def subnets_asked(region: EC2) -> list[set[str]]:
    requests = [request for name, request in region.calls if name == "RunInstances"]
    bodies = [request["body"] for request in requests]
    return [{value for key, value in body.items() if key.endswith(".SubnetId")} for body in bodies]


def test_a_sold_out_try_with_all_interfaces_over_three_zones_is_three_requests(region: EC2) -> None:
    region.sold_out("p5.48xlarge")
    with pytest.raises(_ray.node_launch_exception(), match=f"tried in {A}, {B}, {C}"):
        provider_of().create_node(h100(region), tags("h100"), 2)
    assert region.count("RunInstances") == 3
    assert subnets_asked(region) == [{region.subnets[zone]} for zone in (A, B, C)]


def test_the_interfaces_follow_to_the_zone_that_has_machines(region: EC2) -> None:
    region.sold_out(f"p5.48xlarge@{A}")
    made = provider_of().create_node(h100(region), tags("h100"), 2)
    assert region.zones(made) == [B, B]
    assert {region.machines()[name].rehearsal_efa for name in made} == {32}
    assert region.count("RunInstances") == 2


def test_interfaces_of_the_user_stay_in_their_subnet(region: EC2) -> None:
    mine = own(*((card, int(card > 0), "efa") for card in range(4)))
    for interface in mine["NetworkInterfaces"]:
        interface |= {"SubnetId": region.subnets[B], "Groups": []}
    # As Ray copies them.
    config = {**mine, "ImageId": "ami-1", "SubnetIds": [region.subnets[B]] * 4, "SecurityGroupIds": []}
    region.sold_out("p4d.24xlarge")
    with pytest.raises(_ray.node_launch_exception(), match=rf"tried in {B}\)"):
        provider_of().create_node(config, tags("a100"), 1)
    assert subnets_asked(region) == [{region.subnets[B]}]


def test_a_machine_is_in_the_placement_group_of_its_zone(region: EC2) -> None:
    from accel_scaling.providers.aws.placement_groups import make

    names = [placement.group_name("mine", "h100", zone) for zone in (A, B, C)]
    provider = provider_of()
    make(provider.ec2.meta.client, "mine", names)
    config = placement.with_group(h100(region), names[0])
    region.sold_out(f"p5.48xlarge@{A}")
    (node,) = provider.create_node(config, tags("h100"), 1)
    assert region.machines()[node].rehearsal_group == names[1]


def test_a_group_of_the_user_stays_and_a_capacity_block_gets_none() -> None:
    mine = {"Placement": {"GroupName": f"training-{A}"}}
    assert placement.in_zone(mine, B, [A, B]) == mine
    ours = placement.with_group({"Placement": {"Tenancy": "default"}}, placement.group_name("mine", "h100", A))
    block = {**ours, "InstanceMarketOptions": {"MarketType": "capacity-block"}}
    assert placement.in_zone(block, B, [A, B])["Placement"] == {"Tenancy": "default"}
    assert placement.in_zone(ours, "", ["", A]) == ours
    # Of an order of capacity types, the block's request alone is without the group.
    bought = with_capacity("provider.capacity.h100", ours, CapacityEntry(CapacityType.BLOCK, "cr-0123"))
    assert "GroupName" not in placement.in_zone(bought, B, [A, B])["Placement"]
