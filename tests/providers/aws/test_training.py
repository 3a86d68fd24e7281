"""`ray up` and `ray down` with `network: efa` and `placement: cluster`: what is made, and that nothing is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from accel_scaling.cluster.networks import DEVICES
from accel_scaling.providers.aws import placement_groups
from tests.support.aws_provider import EC2, REGION, A, B
from tests.support.aws_up import ec2, up_fixture
from tests.support.cluster import MODULE
from tests.support.resolved import refusal, resolved

__all__ = ["up_fixture"]

IMAGE = "ami-12c6146b"
GROUP = f"accel-scaling-mine-h100-{A}"

pytestmark = [pytest.mark.needs("ssh", "rsync"), pytest.mark.usefixtures("up")]


def config_of(network: dict[str, Any] | None = None, **h100: Any) -> dict[str, Any]:
    words = {"network": {"h100": "efa"}, "placement": {"h100": "cluster"}} if network is None else network
    place = {"region": REGION, "availability_zone": f"{A},{B}", **words}
    return {
        "cluster_name": "mine",
        "max_workers": 2,
        "provider": {"type": "external", "module": MODULE, **place},
        "auth": {"ssh_user": "ubuntu"},
        "head_node_type": "head",
        "available_node_types": {
            "head": {"node_config": {"InstanceType": "m5.large", "ImageId": IMAGE}, "resources": {}},
            "h100": {"node_config": {"InstanceType": "p5.48xlarge", "ImageId": IMAGE, **h100}, "resources": {}},
        },
        **{key: [] for key in ("setup_commands", "head_setup_commands", "worker_setup_commands")},
    }


def groups() -> list[str]:
    return [group["GroupName"] for group in ec2().describe_placement_groups()["PlacementGroups"]]


def ray_down(tmp_path: Path, **provider: Any) -> None:
    from ray.autoscaler._private import commands

    config = config_of()
    config["provider"] |= provider
    (tmp_path / "cluster.yaml").write_text(yaml.safe_dump(config))
    given = {"workers_only": False, "override_cluster_name": None, "keep_min_workers": False}
    commands.teardown_cluster(str(tmp_path / "cluster.yaml"), yes=True, **given)


def test_ray_up_makes_what_the_words_mean_and_ray_down_leaves_nothing(
    region: EC2, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.autoscaler._private.commands.POLL_INTERVAL", 0.01)
    config = resolved(config_of())
    h100, head = (config["available_node_types"][name]["node_config"] for name in ("h100", "head"))
    interfaces = h100["NetworkInterfaces"]
    assert len(interfaces) == 33
    assert {one["SubnetId"] for one in interfaces} == {h100["SubnetIds"][0]}
    assert "NetworkInterfaces" not in head
    assert "Placement" not in head
    # The group of each zone, named for the first one; a second `ray up` uses the same.
    assert h100["Placement"] == {"GroupName": GROUP}
    assert groups() == [GROUP, f"accel-scaling-mine-h100-{B}"]
    assert resolved(config_of())["available_node_types"]["h100"]["node_config"] == h100
    # How many devices the boot check must find.
    assert config["provider"][DEVICES] == {"h100": 32}
    # Ray's security group lets everything in from itself; the rule for what goes out is added.
    (group_id,) = h100["SecurityGroupIds"]
    (group,) = ec2().describe_security_groups(GroupIds=[group_id])["SecurityGroups"]
    for side in ("IpPermissions", "IpPermissionsEgress"):
        rules = [rule for rule in group[side] if rule["UserIdGroupPairs"]]
        assert [rule["IpProtocol"] for rule in rules] == ["-1"]
        assert [pair["GroupId"] for rule in rules for pair in rule["UserIdGroupPairs"]] == [group_id]

    from ray.autoscaler._private.providers import _get_node_provider

    provider = _get_node_provider(config["provider"], "mine", use_cache=False)
    made = provider.create_node(h100, {**_tags(), "ray-user-node-type": "h100"}, 2)
    described = ec2().describe_instances(InstanceIds=list(made))["Reservations"]
    assert {one["Placement"]["GroupName"] for group in described for one in group["Instances"]} == {GROUP}
    # Each machine is told at its start how many devices its boot check must find.
    assert "export ACCEL_SCALING_NETWORK_DEVICES=32; " in provider._with_policies(next(iter(made)), "ray start")
    # A machine that is there, or is ending, holds its group.
    clock = iter(range(0, 10_000, 60))
    left = placement_groups.delete(ec2(), "mine", clock=lambda: float(next(clock)), sleep=lambda _: None)
    (sentence,) = left
    assert sentence.startswith(
        f"the placement groups {GROUP} are not deleted, as their machines are still ending; they"
    )
    # The default of Ray on AWS: machines are stopped, and keep their group.
    assert provider.cleared() == []
    assert groups() == [GROUP]
    ray_down(tmp_path, cache_stopped_nodes=False)
    assert region.alive() == []
    assert groups() == []


def _tags() -> dict[str, str]:
    return {"ray-node-name": "ray-mine-worker", "ray-node-type": "worker", "ray-node-status": "uninitialized"}


def test_a_cluster_without_the_words_makes_nothing_more() -> None:
    config = resolved(config_of({}))
    assert DEVICES not in config["provider"]
    assert "NetworkInterfaces" not in config["available_node_types"]["h100"]["node_config"]
    assert groups() == []


def test_groups_of_the_user_are_not_changed() -> None:
    vpc = ec2().describe_vpcs()["Vpcs"][0]["VpcId"]
    group = ec2().create_security_group(GroupName="own", Description="own", VpcId=vpc)["GroupId"]
    sentence = refusal(config_of({"network": {"h100": "efa"}}, SecurityGroupIds=[group]))
    assert sentence.startswith(
        "available_node_types.h100.node_config.SecurityGroupIds: EFA needs a security group that lets all traffic to"
    )
    assert (
        f"`aws ec2 authorize-security-group-egress --group-id {group} --protocol -1 --source-group {group}`" in sentence
    )
    ec2().create_placement_group(GroupName=GROUP, Strategy="cluster")
    sentence = refusal(config_of({"placement": {"h100": "cluster"}}))
    assert f"needs a placement group {GROUP}, and one of that name is there that this cluster has not made" in sentence
    ec2().delete_placement_group(GroupName=GROUP)
