"""The AWS policies of docs/iam: enough for a cluster's whole life, and nothing in them unneeded.

moto checks actions here, of real calls by the real provider. It has no check of resources and conditions: those are
compared with the same calls by ``tests.support.iam.allowed``, which reads a policy as AWS documents it.
"""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from accel_scaling.providers.aws.local_cloud import LocalEC2
from accel_scaling.testing.hosts.events import EventKind
from accel_scaling.testing.hosts.settings import Latencies
from tests.support.aws_account import local_ec2
from tests.support.iam import (
    ACCOUNT,
    CLUSTER,
    HEAD,
    HEAD_ROLE,
    LAUNCHER,
    MACHINE,
    MAKES,
    REGION,
    TAG,
    User,
    actions_of,
    allowed,
    as_moto_checks_it,
    asked_for,
    client,
    policy,
    without,
)
from tests.support.local_ec2 import until
from tests.support.resolved import resolved as resolve

pytestmark = pytest.mark.slow

# Images are not checked then, and of reservations nothing is known, as docs/security.md says.
MAY_BE_MISSING = {"ec2:DescribeImages", "ec2:DescribeCapacityReservations"}
NO_CALL = {"iam:PassRole"}  # AWS asks for it within other calls; moto never does
MACHINES = {"head": "m5.large", "t4": "g4dn.xlarge", "trn1": "trn1.2xlarge", "arm": "g5g.xlarge"}  # each default image
TEMPLATE = "golden"  # a launch template of the account
RESERVED = "cr-1"  # a reservation of the account


@pytest.fixture(scope="module")
def ec2() -> Iterator[LocalEC2]:
    with local_ec2(Latencies(boot_s=0, stop_s=0, terminate_s=0)) as local:
        yield local


@pytest.fixture
def account(ec2: LocalEC2, monkeypatch: pytest.MonkeyPatch) -> LocalEC2:
    """The local EC2 as an account in which Ray was never used; Ray's waits for AWS's own databases are skipped."""
    from ray.autoscaler._private.aws import config, node_provider

    monkeypatch.setenv("AWS_ENDPOINT_URL", ec2.endpoint_url)
    monkeypatch.setattr(config, "time", types.SimpleNamespace(sleep=lambda seconds: None))
    monkeypatch.setattr(node_provider, "TAG_BATCH_DELAY", 0)
    forget_ray(ec2)
    ec2.set_reservations(f"{RESERVED}:count=9,type=g4dn.xlarge")
    iam = client(ec2, "iam")
    iam.create_role(RoleName=HEAD_ROLE, AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName=HEAD_ROLE)
    iam.add_role_to_instance_profile(InstanceProfileName=HEAD_ROLE, RoleName=HEAD_ROLE)
    if not (api := client(ec2, "ec2")).describe_launch_templates()["LaunchTemplates"]:
        api.create_launch_template(LaunchTemplateName=TEMPLATE, LaunchTemplateData={"InstanceType": "g5.xlarge"})
    return ec2


def forget_ray(account: LocalEC2) -> None:
    """Remove what Ray made in the account."""
    iam, api = client(account, "iam"), client(account, "ec2")
    for profile in iam.list_instance_profiles()["InstanceProfiles"]:
        for role in profile["Roles"]:
            iam.remove_role_from_instance_profile(
                InstanceProfileName=profile["InstanceProfileName"], RoleName=role["RoleName"]
            )
        iam.delete_instance_profile(InstanceProfileName=profile["InstanceProfileName"])
    for role in iam.list_roles()["Roles"]:
        for attached in iam.list_attached_role_policies(RoleName=role["RoleName"])["AttachedPolicies"]:
            iam.detach_role_policy(RoleName=role["RoleName"], PolicyArn=attached["PolicyArn"])
        iam.delete_role(RoleName=role["RoleName"])
    for pair in api.describe_key_pairs()["KeyPairs"]:
        api.delete_key_pair(KeyName=pair["KeyName"])
    if machines := [one["InstanceId"] for one in machines_of(account)]:
        api.terminate_instances(InstanceIds=machines)
    for group in api.describe_security_groups()["SecurityGroups"]:
        if group["GroupName"] != "default":
            api.delete_security_group(GroupId=group["GroupId"])


def machines_of(account: LocalEC2) -> list[dict[str, Any]]:
    groups = client(account, "ec2").describe_instances()["Reservations"]
    return [one for group in groups for one in group["Instances"] if one["State"]["Name"] != "terminated"]


def config_of(head: dict[str, Any]) -> dict[str, Any]:
    node_types: dict[str, dict[str, Any]] = {name: {"InstanceType": machine} for name, machine in MACHINES.items()}
    node_types["head"] |= head
    node_types["reserved"] = {"InstanceType": "g4dn.xlarge"}
    node_types["templated"] = {"LaunchTemplate": {"LaunchTemplateName": TEMPLATE}}
    return {
        "cluster_name": CLUSTER,
        "max_workers": 4,
        "provider": {
            "type": "external",
            "module": "accel_scaling.providers.aws.AWSAcceleratorNodeProvider",
            "region": REGION,
            "capacity": {"reserved": [{"reserved": RESERVED}]},
        },
        "auth": {"ssh_user": "ubuntu"},
        "head_node_type": "head",
        "available_node_types": {name: {"node_config": one} for name, one in node_types.items()},
        **{key: [] for key in ("setup_commands", "head_setup_commands", "worker_setup_commands")},
    }


def resolved(head: dict[str, Any]) -> dict[str, Any]:
    """The config as `ray up` hands it to the head."""
    return resolve(config_of(head))


ROLE_MADE_BEFORE = {"IamInstanceProfile": {"Name": HEAD_ROLE}}


def life(account: LocalEC2, config: dict[str, Any], node_type: str) -> list[str]:
    """What both `ray up` and the autoscaler do with a machine until it is gone; which ones there were."""
    from ray.autoscaler._private.providers import _get_node_provider

    provider = _get_node_provider(config["provider"], config["cluster_name"], use_cache=False)
    kind = "head" if node_type == "head" else "worker"
    node_config = {**config["available_node_types"][node_type]["node_config"]}
    if kind == "head":
        node_config |= config["head_node"]
    tags = {"ray-node-kind": kind, "ray-node-type": kind, "ray-user-node-type": node_type, "ray-launch-config": "x"}
    assert "" not in provider._zones.by_zone(node_config["SubnetIds"]), (
        "where EC2 does not say them, zones have no names before machines come"
    )
    provider.create_node(node_config, tags, 1)
    (node,) = provider.non_terminated_nodes({"ray-node-type": kind})
    provider.set_node_tags(node, {"ray-node-status": "up-to-date"})
    provider.terminate_nodes([node])  # Ray's default: it is stopped
    until(lambda: (EventKind.STOPPED, node) in [(event.kind, event.instance_id) for event in account.events()])
    assert list(provider.create_node(node_config, tags, 1)) == [node], "it is started again"
    provider.non_terminated_nodes({})
    provider.end_for_good(node)
    return [node, *reserved_life(provider, config, tags)] if kind == "worker" else [node]


def reserved_life(provider: Any, config: dict[str, Any], tags: dict[str, str]) -> list[str]:
    """A machine that has its place in a reservation."""
    node_config = {**config["available_node_types"]["reserved"]["node_config"]}
    (node,) = provider.create_node(node_config, {**tags, "ray-user-node-type": "reserved"}, 1)
    provider.end_for_good(node)
    return [node]


def launcher_life(account: LocalEC2) -> list[str]:
    from accel_scaling.providers.aws import bootstrap

    offered = bootstrap._offered(REGION, None, ["m5.large"])
    assert offered == {"m5.large"}, "a type that the region does not have would be found only by the launch"
    return life(account, resolved(ROLE_MADE_BEFORE), "head")


def first_life(account: LocalEC2) -> list[str]:
    return life(account, resolved({}), "head")


Life = Callable[[LocalEC2], list[str]]
LIVES: dict[str, tuple[tuple[str, ...], Life]] = {
    "a launcher, whose head has a role of its own": ((LAUNCHER,), launcher_life),
    "a launcher, whose head gets the role that Ray makes": ((LAUNCHER, MAKES), first_life),
}


def owners(account: LocalEC2, machines: list[str]) -> dict[str, str]:
    """Whose the machines and security groups are, by their tags."""
    api = client(account, "ec2")
    found = api.describe_tags(Filters=[{"Name": "key", "Values": [TAG]}])["Tags"]
    return {**dict.fromkeys(machines, CLUSTER), **{tag["ResourceId"]: tag["Value"] for tag in found}}


def assert_needs_just(user: User, statements: list[dict[str, Any]], account: LocalEC2, machines: list[str]) -> None:
    assert user.refused == set()
    asked = [one for call in user.calls for one in asked_for(*call, owners(account, machines))]
    assert [one for one in asked if not allowed(statements, one)] == []
    assert {one.action for one in asked} == set(actions_of(statements))
    assert {action for action, _ in user.calls} == set(actions_of(statements)) - NO_CALL


@pytest.mark.parametrize("who", LIVES)
def test_the_policy_is_just_what_a_clusters_life_asks_for(
    who: str, account: LocalEC2, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, lived = LIVES[who]
    user = User(account, policy(*names))
    user.become(monkeypatch)
    with user:
        machines = lived(account)
    assert_needs_just(user, policy(*names), account, machines)


def test_the_heads_policy_is_just_what_its_autoscaler_asks_for(
    account: LocalEC2, monkeypatch: pytest.MonkeyPatch
) -> None:
    User(account, policy(LAUNCHER)).become(monkeypatch)
    config = resolved(ROLE_MADE_BEFORE)
    user = User(account, policy(HEAD))
    user.become(monkeypatch)
    with user:
        machines = life(account, config, "t4")
    assert_needs_just(user, policy(HEAD), account, machines)


def fails_without(action: str, account: LocalEC2, user: User, lived: Life) -> None:
    with user, pytest.raises(BaseException) as raised:  # noqa: PT011 - Ray wraps AWS's refusal in several ways
        lived(account)
    assert user.refused == {action}, f"{raised.type.__name__}: {raised.value}"


@pytest.mark.parametrize("action", [one for one in actions_of(policy(LAUNCHER)) if one not in NO_CALL | MAY_BE_MISSING])
def test_no_action_of_the_launchers_policy_can_be_left_out(
    action: str, account: LocalEC2, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = User(account, without(policy(LAUNCHER), action))
    user.become(monkeypatch)
    fails_without(action, account, user, launcher_life)


@pytest.mark.parametrize("action", [one for one in actions_of(policy(MAKES)) if one not in NO_CALL])
def test_no_action_can_be_left_out_where_ray_makes_the_role(
    action: str, account: LocalEC2, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = User(account, without(policy(LAUNCHER, MAKES), action))
    user.become(monkeypatch)
    fails_without(action, account, user, lambda _: [str(resolved({}))])


def test_no_action_of_the_heads_policy_can_be_left_out(account: LocalEC2, monkeypatch: pytest.MonkeyPatch) -> None:
    User(account, policy(LAUNCHER)).become(monkeypatch)
    config = resolved(ROLE_MADE_BEFORE)
    for action in set(actions_of(policy(HEAD))) - MAY_BE_MISSING:
        user = User(account, without(policy(HEAD), action))
        user.become(monkeypatch)
        fails_without(action, account, user, lambda one: life(one, config, "t4"))
        if left := [one["InstanceId"] for one in machines_of(account)]:
            client(account, "ec2").terminate_instances(InstanceIds=left)


def test_a_real_launch_of_a_spot_machine_is_let_through(account: LocalEC2, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.autoscaler._private.providers import _get_node_provider

    User(account, policy(LAUNCHER)).become(monkeypatch)
    config = resolved(ROLE_MADE_BEFORE)
    user = User(account, policy(HEAD))
    user.become(monkeypatch)
    spot = {**config["available_node_types"]["t4"]["node_config"], "InstanceMarketOptions": {"MarketType": "spot"}}
    tags = {"ray-node-kind": "worker", "ray-node-type": "worker", "ray-user-node-type": "t4", "ray-launch-config": "x"}
    with user:
        provider = _get_node_provider(config["provider"], config["cluster_name"], use_cache=False)
        provider.create_node(spot, tags, 1)
        (node,) = provider.non_terminated_nodes({"ray-node-type": "worker"})
        provider.end_for_good(node)
    asked = [one for call in user.calls for one in asked_for(*call, owners(account, [node]))]
    assert f"arn:aws:ec2:{REGION}:{ACCOUNT}:spot-instances-request/*" in {one.resource for one in asked}
    assert [one for one in asked if not allowed(policy(HEAD), one)] == []
    assert user.refused == set()


def test_moto_still_has_no_check_of_resources_and_conditions() -> None:
    """If this fails, the tests above may hand moto the files as they are."""
    from moto.iam.access_control import IAMPolicy, PermissionResult

    def verdict(action: str, **changes: Any) -> PermissionResult:
        one = {"Effect": "Allow", "Action": action, "Resource": "*", **changes}
        return IAMPolicy(json.dumps({"Statement": [one]})).is_action_permitted(action)

    assert verdict("ec2:StopInstances") is PermissionResult.PERMITTED
    assert verdict("ec2:StopInstances", Resource=MACHINE) is PermissionResult.NEUTRAL
    own = {"StringEquals": {f"aws:ResourceTag/{TAG}": CLUSTER}}
    assert verdict("ec2:StopInstances", Condition=own) is PermissionResult.PERMITTED, "of whatever machine"
    assert '"Condition"' not in as_moto_checks_it(policy(LAUNCHER))
