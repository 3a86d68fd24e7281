"""What Ray's own tests check of its AWS provider, checked of ours by the public doors, on an EC2 of this process.

docs/design-decisions.md lists where ours differs on purpose. CloudWatch, launch templates and the block before the
question have files of their own.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from tests.support.aws_provider import EC2, MODULE, REGION, A, B, image_of_moto, node_config, provider_of, tags
from tests.support.resolved import refusal, resolved

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True, scope="module")
def policies_of_aws() -> Iterator[None]:
    """moto knows AWS's own policies only where it is told to, before it begins."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
        yield


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.autoscaler._private.aws.config.time", SimpleNamespace(sleep=lambda seconds: None))


@pytest.fixture(name="image", scope="module")
def image_fixture(shared_region: EC2) -> str:
    return image_of_moto()


def cluster(image: str, *, provider: dict[str, Any] | None = None, **node_configs: dict[str, Any]) -> dict[str, Any]:
    types = {"head": {}, "worker": {}, **node_configs}
    machine = {"InstanceType": "m5.large", "ImageId": image}
    return {
        "cluster_name": f"as-ray-{abs(hash(str(sorted(node_configs.items())))) % 10**6}",
        "max_workers": 4,
        "provider": {"type": "external", "module": MODULE, "region": REGION, **(provider or {})},
        "auth": {"ssh_user": "ubuntu"},
        "head_node_type": "head",
        "available_node_types": {name: {"node_config": {**machine, **one}} for name, one in types.items()},
        **{key: [] for key in ("setup_commands", "head_setup_commands", "worker_setup_commands")},
    }


def of(config: dict[str, Any], key: str, node_type: str = "worker") -> Any:
    return config["available_node_types"][node_type]["node_config"][key]


def api() -> Any:
    return boto3.client("ec2", region_name=REGION)


@pytest.mark.parametrize("count", [0, 1001, 9999])
@pytest.mark.parametrize("keeps", [True, False], ids=["stop", "terminate"])
@pytest.mark.parametrize("spot", ["none", "some", "all"])
def test_many_machines_end_in_one_call_of_each_kind(region: EC2, count: int, spot: str, *, keeps: bool) -> None:
    provider = provider_of(cache_stopped_nodes=keeps)
    nodes = [f"i-{number}" for number in range(count)]
    share = {"none": 0, "some": count // 3, "all": count}[spot]
    machines = {
        name: SimpleNamespace(id=name, spot_instance_request_id="sir" if number < share else "", tags=[])
        for number, name in enumerate(nodes)
    }
    provider._get_cached_node = machines.__getitem__
    calls: list[tuple[str, list[str]]] = []
    client = provider.ec2.meta.client
    client.terminate_instances = lambda InstanceIds: calls.append(("terminate", InstanceIds))  # noqa: N803
    client.stop_instances = lambda InstanceIds: calls.append(("stop", InstanceIds))  # noqa: N803
    try:
        provider.terminate_nodes(nodes)
    finally:
        del client.terminate_instances, client.stop_instances
    # EC2 takes 1,000 in one call of boto3's: Ray sends them in pieces.
    ended = {kind: [one for what, some in calls if what == kind for one in some] for kind in ("terminate", "stop")}
    assert ended["terminate"] == (nodes[:share] if keeps else nodes)
    assert ended["stop"] == (nodes[share:] if keeps else [])
    assert all(some and len(some) <= 1000 for _, some in calls)


def test_a_machine_that_no_list_has_shown_yet_is_found_by_its_id(region: EC2) -> None:
    (node_id,) = provider_of().create_node(node_config(region), tags(), 1)
    another = provider_of()
    assert another.is_terminated(node_id) is False
    assert another.node_tags(node_id)["ray-user-node-type"] == "a10g"


def test_tags_that_are_set_at_once_go_in_one_call_and_one_after_another_in_their_own(region: EC2) -> None:
    provider = provider_of()
    nodes = list(provider.create_node(node_config(region), tags(), 4))
    provider.non_terminated_nodes({})
    provider.set_node_tags(nodes[0], {"a": "1"})
    provider.set_node_tags(nodes[0], {"b": "2"})
    serial = region.count("CreateTags")
    together = threading.Barrier(len(nodes))

    def set_one(node_id: str) -> None:
        together.wait()
        provider.set_node_tags(node_id, {"c": "3"})

    threads = [threading.Thread(target=set_one, args=(node,)) for node in nodes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert serial == 2
    assert region.count("CreateTags") - serial == 1
    assert [provider.node_tags(node)["c"] for node in nodes] == ["3"] * 4


def test_subnets_are_in_the_order_of_the_zones_that_the_file_names(region: EC2, image: str) -> None:
    made = resolved(cluster(image, provider={"availability_zone": f"{B},{A}"}))
    assert of(made, "SubnetIds") == [region.subnets[B], region.subnets[A]]


def test_subnets_of_one_vpc_only_are_used(region: EC2, image: str) -> None:
    vpc = api().create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    other = api().create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24", AvailabilityZone=A)["Subnet"]["SubnetId"]
    api().modify_subnet_attribute(SubnetId=other, MapPublicIpOnLaunch={"Value": True})
    used = of(resolved(cluster(image)), "SubnetIds")
    vpcs = {one["VpcId"] for one in api().describe_subnets(SubnetIds=used)["Subnets"]}
    assert len(vpcs) == 1
    api().delete_subnet(SubnetId=other)


@pytest.mark.parametrize("form", ["Name", "Arn"])
def test_a_role_that_the_head_names_is_left_as_it_is_and_iam_is_not_asked(region: EC2, image: str, form: str) -> None:
    value = {"Name": "mine", "Arn": "arn:aws:iam::123456789012:instance-profile/mine"}[form]
    region.calls.clear()
    made = resolved(cluster(image, head={"IamInstanceProfile": {form: value}}))
    assert of(made, "IamInstanceProfile", "head") == {form: value}
    assert "IamInstanceProfile" not in made["head_node"]
    assert {"GetInstanceProfile", "CreateRole", "CreateInstanceProfile"} & {name for name, _ in region.calls} == set()


def test_a_role_is_made_once_and_given_to_the_head_alone(region: EC2, image: str) -> None:
    first, second = (resolved(cluster(image)) for _ in range(2))
    profile = first["head_node"]["IamInstanceProfile"]["Arn"]
    assert profile.endswith(":instance-profile/ray-autoscaler-v1")
    assert second["head_node"]["IamInstanceProfile"]["Arn"] == profile
    assert "IamInstanceProfile" not in first["available_node_types"]["worker"]["node_config"]
    assert region.count("CreateRole") <= 1


def test_a_private_key_of_ones_own_needs_the_name_of_its_pair(region: EC2, image: str, tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("x")
    config = cluster(image)
    config["auth"]["ssh_private_key"] = str(tmp_path / "key.pem")
    assert "node_config.KeyName is missing" in refusal(config)
    # User data may write the key.
    for node_type in config["available_node_types"].values():
        node_type["node_config"]["UserData"] = "#cloud-config"
    assert "KeyName" not in resolved(config)["available_node_types"]["worker"]["node_config"]


def rules(group_id: str) -> list[dict[str, Any]]:
    (group,) = api().describe_security_groups(GroupIds=[group_id])["SecurityGroups"]
    found: list[dict[str, Any]] = group["IpPermissions"]
    return found


def test_all_node_types_share_one_new_group_that_lets_each_other_and_ssh_in(region: EC2, image: str) -> None:
    made = resolved(cluster(image, third={}))
    groups = {name: of(made, "SecurityGroupIds", name) for name in ("head", "worker", "third")}
    assert groups["head"] == groups["worker"] == groups["third"]
    (group,) = groups["head"]
    from_group = [pair["GroupId"] for rule in rules(group) for pair in rule.get("UserIdGroupPairs", [])]
    assert from_group == [group]
    assert [rule["FromPort"] for rule in rules(group) if rule.get("IpRanges")] == [22]


def test_a_group_of_the_files_own_name_and_rules_is_made(region: EC2, image: str) -> None:
    mine = {"FromPort": 8265, "ToPort": 8265, "IpProtocol": "TCP", "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
    section = {"GroupName": "of-mine", "IpPermissions": [mine]}
    made = resolved(cluster(image, provider={"security_group": section}))
    (group,) = of(made, "SecurityGroupIds")
    (found,) = api().describe_security_groups(GroupIds=[group])["SecurityGroups"]
    assert found["GroupName"] == "of-mine"
    assert {rule.get("FromPort") for rule in found["IpPermissions"] if rule.get("IpRanges")} == {22, 8265}


def test_groups_and_subnets_that_the_file_names_are_used_as_they_are(region: EC2, image: str) -> None:
    subnet = region.subnets[A]
    vpc = api().describe_subnets(SubnetIds=[subnet])["Subnets"][0]["VpcId"]
    own = {
        name: api().create_security_group(GroupName=f"own-{name}", Description="x", VpcId=vpc)["GroupId"]
        for name in ("head", "worker")
    }
    config = cluster(
        image, **{name: {"SecurityGroupIds": [group], "SubnetIds": [subnet]} for name, group in own.items()}
    )
    made = resolved(config)
    assert {name: of(made, "SecurityGroupIds", name) for name in own} == {name: [group] for name, group in own.items()}
    assert of(made, "SubnetIds") == [subnet]


def test_interfaces_that_contradict_or_lack_something_are_refused(region: EC2, image: str) -> None:
    interface = {"DeviceIndex": 0, "SubnetId": region.subnets[A], "Groups": ["sg-1"]}
    for key, value in (("SubnetIds", [region.subnets[A]]), ("SecurityGroupIds", ["sg-1"])):
        assert f"worker.node_config.{key} beside NetworkInterfaces" in refusal(
            cluster(image, worker={"NetworkInterfaces": [interface], key: value})
        )
    for key in ("SubnetId", "Groups"):
        lacking = {name: value for name, value in interface.items() if name != key}
        assert f"NetworkInterfaces[0].{key} is missing" in refusal(
            cluster(image, worker={"NetworkInterfaces": [lacking]})
        )


def test_a_machine_with_interfaces_is_launched_with_them_alone(region: EC2, image: str) -> None:
    group = api().describe_security_groups()["SecurityGroups"][0]["GroupId"]
    interface = {"DeviceIndex": 0, "SubnetId": region.subnets[A], "Groups": [group]}
    made = resolved(cluster(image, worker={"NetworkInterfaces": [interface]}))
    region.calls.clear()
    provider_of("interfaces").create_node(made["available_node_types"]["worker"]["node_config"], tags("worker"), 1)
    (sent,) = [str(request["body"]) for name, request in region.calls if name == "RunInstances"]
    assert "NetworkInterface.1.SubnetId" in sent
    assert "'SubnetId'" not in sent
    assert "SecurityGroupId.1" not in sent.replace("NetworkInterface.1.SecurityGroupId.1", "")
