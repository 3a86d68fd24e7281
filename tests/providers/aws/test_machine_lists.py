"""Lists of machine types on EC2: each is prepared by `ray up`, and launched where those before it are sold out."""

from __future__ import annotations

from typing import Any

import pytest

from accel_scaling import _ray
from accel_scaling.cluster.machine_lists import MACHINES
from accel_scaling.cluster.networks import DEVICES
from tests.support.aws_provider import EC2, A, B, node_config, provider_of, region_fixture, shared_region_fixture, tags
from tests.support.aws_up import ec2, up_fixture
from tests.support.quarantine import Head, head_fixture
from tests.support.resolved import refusal, resolved

__all__ = ["head_fixture", "region_fixture", "shared_region_fixture", "up_fixture"]

C, D = "us-west-2c", "us-west-2d"
FIRST, SECOND = "g5.xlarge", "g6.xlarge"
OWN = {"InstanceType": SECOND, "EbsOptimized": True, "InstanceInitiatedShutdownBehavior": None}
OTHERS = {MACHINES: {"a10g": {SECOND: OWN}}}


def provider_with(head: Head | None = None, **provider: Any) -> Any:
    made = provider_of(**OTHERS, **provider)
    if head is not None:
        made.gate = head.gate
    return made


def test_the_next_machine_type_is_launched_where_the_first_is_sold_out_in_every_zone(region: EC2) -> None:
    region.sold_out(FIRST)
    provider = provider_with()
    made = provider.create_node(node_config(region), tags(), 2)
    assert [(machine, zone) for _, machine, zone in region.requested()] == [(FIRST, A), (FIRST, B), (SECOND, A)]
    assert {one.instance_type for one in region.machines().values()} == {SECOND}
    provider.non_terminated_nodes({})
    for name in made:
        assert provider.node_tags(name)["accel-scaling-machine"] == SECOND
        command = provider._with_policies(name, "ray start")
        assert f"export ACCEL_SCALING_MACHINE={SECOND}; " in command


def test_each_machine_type_has_what_was_prepared_for_it(region: EC2) -> None:
    region.sold_out(FIRST)
    provider_with().create_node({**node_config(region), "InstanceInitiatedShutdownBehavior": "stop"}, tags(), 1)
    first, *_, last = [request["body"] for name, request in region.calls if name == "RunInstances"]
    own = [("EbsOptimized" in request, "InstanceInitiatedShutdownBehavior" in request) for request in (first, last)]
    assert own == [(False, True), (True, False)]


def test_of_an_order_each_capacity_type_is_tried_with_every_machine_type_before_the_next(region: EC2) -> None:
    region.fault("RunInstances", "before", "no capacity", times=9)
    provider = provider_with(capacity={"a10g": ["spot", "on-demand"]})
    with pytest.raises(_ray.node_launch_exception()) as raised:
        provider.create_node(node_config(region), tags(), 1)
    assert [(market, machine) for market, machine, zone in region.requested() if zone == A] == [
        ("spot", FIRST),
        ("spot", SECOND),
        ("on-demand", FIRST),
        ("on-demand", SECOND),
    ]
    assert raised.value.description.startswith(f"{FIRST} or {SECOND}: ")
    assert f"{A} (spot {FIRST}), {B} (spot {FIRST}), {A} (spot {SECOND})" in raised.value.description


def test_what_is_sold_out_is_not_asked_again_while_it_is_in_quarantine(region: EC2, head: Head) -> None:
    region.sold_out(FIRST)
    provider = provider_with(head)
    provider.create_node(node_config(region), tags(), 1)
    region.calls.clear()
    provider.create_node(node_config(region), tags(), 1)
    assert region.requested() == [("on-demand", SECOND, A)]
    region.sold_out()
    head.now_s += 61
    region.calls.clear()
    provider.create_node(node_config(region), tags(), 1)
    assert region.requested() == [("on-demand", FIRST, A)], "after its time, the user's first choice comes first again"


@pytest.mark.parametrize("what", ["closed", "internal"])
def test_a_launch_without_an_answer_is_not_bought_as_another_machine_type_as_well(region: EC2, what: str) -> None:
    provider = provider_with()
    region.fault("RunInstances", "after", what, times=9)
    region.fault("DescribeInstances", "before", "closed", times=9)
    with pytest.raises(_ray.node_launch_exception(), match="may still start"):
        provider.create_node(node_config(region), tags(), 2)
    region.faults.clear()
    assert sorted(provider.create_node(node_config(region), tags(), 2)) == sorted(region.alive())
    assert {one.instance_type for one in region.machines().values()} == {FIRST}


def test_a_reservation_is_used_by_the_machine_type_that_it_is_for(region: EC2, head: Head) -> None:
    region.reserve(f"cr-1:count=1,zone={B},type={SECOND}")
    provider = provider_with(head, capacity={"a10g": [{"reserved": "cr-1"}, "on-demand"]})
    head.now_s = region.now_s
    provider.create_node(node_config(region), tags(), 2)
    assert [one.capacity for one in region.launches] == ["reserved cr-1", "on-demand"]
    assert [(machine, zone) for _, machine, zone in region.requested()] == [(SECOND, B), (FIRST, A)]


def list_of(*machines: str, **provider: Any) -> dict[str, Any]:
    place = {"region": "us-west-2", "availability_zone": f"{C},{D}", "use_internal_ips": True}
    image = "ami-12c6146b"
    return {
        "cluster_name": "mine",
        "max_workers": 2,
        "provider": {"type": "external", "module": provider_of.__globals__["MODULE"], **place, **provider},
        "auth": {"ssh_user": "ubuntu"},
        "head_node_type": "head",
        "available_node_types": {
            "head": {"node_config": {"InstanceType": ["m5.large", "m6i.large"], "ImageId": image}, "resources": {}},
            "h200": {
                "node_config": {"InstanceType": list(machines), "ImageId": image},
                "resources": {},
                "min_workers": 2,
            },
        },
        **{key: [] for key in ("setup_commands", "head_setup_commands", "worker_setup_commands")},
    }


@pytest.mark.needs("ssh", "rsync")
def test_ray_up_prepares_interfaces_and_groups_for_each_machine_type(up: EC2) -> None:
    words = {"network": {"h200": "efa"}, "placement": {"h200": "cluster"}, "capacity": {"h200": ["spot", "on-demand"]}}
    config = resolved(list_of("p5e.48xlarge", "p5en.48xlarge", **words))
    assert list(config["available_node_types"]) == ["head", "h200"]
    provider, node_config = config["provider"], config["available_node_types"]["h200"]["node_config"]
    assert {key: provider[key] for key in words} == words
    assert provider[DEVICES] == {"h200": 32, "h200 (p5en.48xlarge)": 16}
    own = provider[MACHINES]["h200"]["p5en.48xlarge"]
    assert set(own) == {"InstanceType", "NetworkInterfaces", "Placement"}
    assert (len(node_config["NetworkInterfaces"]), len(own["NetworkInterfaces"])) == (33, 17)
    assert provider[MACHINES]["head"] == {"m6i.large": {"InstanceType": "m6i.large"}}
    assert config["available_node_types"]["head"]["node_config"]["InstanceType"] == "m5.large"
    groups = sorted(group["GroupName"] for group in ec2().describe_placement_groups()["PlacementGroups"])
    names = ("h200-p5en.48xlarge", "h200")
    assert groups == [f"accel-scaling-mine-{name}-{zone}" for name in names for zone in (C, D)]

    from ray.autoscaler._private.providers import _get_node_provider

    launching = _get_node_provider(provider, "mine", use_cache=False)
    up.sold_out("p5e.48xlarge")
    worker = {**tags(), "ray-user-node-type": "h200"}
    (name,) = launching.create_node(node_config, worker, 1)
    command = launching._with_policies(name, "ray start")
    assert "export ACCEL_SCALING_NETWORK_DEVICES=16; " in command
    assert "export ACCEL_SCALING_MACHINE=p5en.48xlarge; " in command
    (described,) = ec2().describe_instances(InstanceIds=[name])["Reservations"]
    assert described["Instances"][0]["Placement"]["GroupName"] == f"accel-scaling-mine-h200-p5en.48xlarge-{C}"
    up.sold_out()
    (first,) = launching.create_node(node_config, worker, 1)
    assert "export ACCEL_SCALING_NETWORK_DEVICES=32; " in launching._with_policies(first, "ray start")


@pytest.mark.needs("ssh", "rsync")
def test_a_machine_type_of_a_list_that_no_zone_has_is_a_note_and_all_of_them_a_refusal(
    up: EC2, capsys: pytest.CaptureFixture[str]
) -> None:
    resolved(list_of("p5e.48xlarge", "p5en.48xlarge", availability_zone=A))
    said = " ".join(capsys.readouterr().out.split())
    assert f"EC2 has no p5e.48xlarge in {A}" in said
    assert "the other machine types of its list are launched" in said
    place = {"region": "us-west-1", "availability_zone": "us-west-1a"}
    # The region has none of the first, and this zone none of the second.
    assert "EC2 does not offer p5e" in refusal(list_of("p5e.48xlarge", "p5en.48xlarge", **place))
