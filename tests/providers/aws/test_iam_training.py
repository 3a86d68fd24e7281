"""docs/iam/aws-training.json is just what networks and placement groups ask for, beside the launcher's policy."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from accel_scaling import timeouts
from accel_scaling.cluster.cluster import read_config
from accel_scaling.errors import AccelScalingError
from accel_scaling.providers.aws import placement_groups, training
from accel_scaling.providers.aws.local_cloud import LocalEC2
from accel_scaling.testing.hosts.settings import Latencies
from tests.support.aws_account import local_ec2, use_account
from tests.support.iam import (
    CLUSTER,
    LAUNCHER,
    REGION,
    TAG,
    TRAINING,
    Asked,
    User,
    actions_of,
    allowed,
    asked_for,
    client,
    policy,
    without,
)

pytestmark = pytest.mark.slow

BOTH = policy(LAUNCHER, TRAINING)


@pytest.fixture(scope="module", name="ec2")
def ec2_fixture() -> Iterator[LocalEC2]:
    with local_ec2(Latencies(boot_s=0, stop_s=0, terminate_s=0)) as local:
        yield local


def config_of(account: LocalEC2) -> dict[str, Any]:
    """A config after Ray's steps, with a security group as Ray makes it."""
    api = client(account, "ec2")
    subnet = api.describe_subnets()["Subnets"][0]
    tag = {"ResourceType": "security-group", "Tags": [{"Key": TAG, "Value": CLUSTER}]}
    for group in api.describe_security_groups()["SecurityGroups"]:
        if group["GroupName"] != "default":
            api.delete_security_group(GroupId=group["GroupId"])
    named = {"GroupName": f"ray-autoscaler-{CLUSTER}", "Description": "x", "VpcId": subnet["VpcId"]}
    group = api.create_security_group(**named, TagSpecifications=[tag])["GroupId"]
    rule = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}
    api.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
    module = "accel_scaling.providers.aws.AWSAcceleratorNodeProvider"
    words = {"network": {"h100": "efa"}, "placement": {"h100": "cluster"}}
    h100 = {"InstanceType": "p5.48xlarge", "SubnetIds": [subnet["SubnetId"]], "SecurityGroupIds": [group]}
    return {
        "cluster_name": CLUSTER,
        "provider": {"type": "external", "module": module, "region": REGION, **words},
        "head_node_type": "head",
        "available_node_types": {
            "head": {"node_config": {"InstanceType": "m5.large"}},
            "h100": {"node_config": h100},
        },
    }


def life(account: LocalEC2, config: dict[str, Any]) -> None:
    """What `ray up` makes for training, and `ray down` deletes."""
    from accel_scaling import _ray

    cluster = dataclasses.replace(read_config(config), config=config)
    training.prepared(cluster, config)
    placement_groups.delete(_ray.ec2_client(REGION, {}), CLUSTER, clock=lambda: 0.0, sleep=lambda _: None)


@pytest.fixture(name="config")
def config_fixture(ec2: LocalEC2, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    monkeypatch.setattr(timeouts, "PLACEMENT_GROUP_S", 0)
    use_account(monkeypatch, ec2.endpoint_url)
    yield config_of(ec2)
    api = client(ec2, "ec2")
    for group in api.describe_placement_groups()["PlacementGroups"]:
        api.delete_placement_group(GroupName=group["GroupName"])


def test_the_policy_is_just_what_training_asks_for(
    ec2: LocalEC2, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    user = User(ec2, BOTH)
    user.become(monkeypatch)
    with user:
        life(ec2, config)
    assert user.refused == set()
    asked = [one for call in user.calls for one in asked_for(*call, Owners())]
    assert [one for one in asked if not allowed(BOTH, one)] == []
    own = {one.action for one in asked if not allowed(policy(LAUNCHER), one)}
    assert own == set(actions_of(policy(TRAINING)))
    # Another cluster's, or the user's own, are not deleted with it.
    others = [dataclasses.replace(one, context={f"aws:ResourceTag/{TAG}": "other"}) for one in asked]
    assert not any(allowed(BOTH, one) for one in others if one.action == "ec2:DeletePlacementGroup")
    group = f"arn:aws:ec2:{REGION}:123456789012:placement-group/training"
    assert not allowed(BOTH, Asked("ec2:DeletePlacementGroup", group, {f"aws:ResourceTag/{TAG}": CLUSTER}))


@pytest.mark.parametrize("action", [one for one in actions_of(policy(TRAINING)) if one != "ec2:CreateTags"])
def test_no_action_of_it_can_be_left_out(
    action: str, ec2: LocalEC2, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    user = User(ec2, without(BOTH, action))
    user.become(monkeypatch)
    with user, contextlib.suppress(AccelScalingError):
        life(ec2, config)
    assert user.refused == {action}


class Owners(dict[str, str]):
    """Whose everything is."""

    def __missing__(self, _: str) -> str:
        return CLUSTER
