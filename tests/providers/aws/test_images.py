"""Default images on AWS, looked up in the local EC2's Systems Manager: which, when, and one sentence where not."""

from __future__ import annotations

import copy
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from accel_scaling.providers.aws.local_cloud import LocalEC2
from accel_scaling.testing.ec2.moto_patches import image_id
from tests.support.aws_account import use_account
from tests.support.iam import check_permissions_after
from tests.support.resolved import refusal, resolved

pytestmark = pytest.mark.slow

REGION = "us-west-2"
BASE = "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id"
# Beside Neuron machines, whose images are Ubuntu 24.04 alone: Ray needs one Python on all nodes.
BESIDE_NEURON = "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id"
ARM = "/aws/service/deeplearning/ami/arm64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id"
NEURON = "/aws/service/neuron/dlami/base/ubuntu-24.04/latest/image_id"
OWN = "/golden/image"


@pytest.fixture
def account(local_ec2: LocalEC2, monkeypatch: pytest.MonkeyPatch) -> LocalEC2:
    """The local EC2 as this process's AWS account."""
    use_account(monkeypatch, local_ec2.endpoint_url)
    return local_ec2


def client(account: LocalEC2, service: str) -> Any:
    import boto3

    return boto3.client(service, region_name=REGION, endpoint_url=account.endpoint_url)


def cluster(**node_configs: dict[str, Any]) -> dict[str, Any]:
    """A cluster file with these workers beside an m5.large, which `head` may change."""
    node_types = {"head": {"InstanceType": "m5.large"}, **node_configs}
    return {
        "cluster_name": "images",
        "max_workers": 4,
        "provider": {
            "type": "external",
            "module": "accel_scaling.providers.aws.AWSAcceleratorNodeProvider",
            "region": REGION,
            "cache_stopped_nodes": False,
        },
        "auth": {"ssh_user": "ubuntu"},
        "head_node_type": "head",
        "available_node_types": {name: {"node_config": one} for name, one in node_types.items()},
        **{key: [] for key in ("setup_commands", "head_setup_commands", "worker_setup_commands")},
    }


def image_ids(config: dict[str, Any]) -> dict[str, str]:
    return {name: one["node_config"]["ImageId"] for name, one in config["available_node_types"].items()}


def put(account: LocalEC2, value: str) -> None:
    client(account, "ssm").put_parameter(Name=OWN, Value=value, Type="String", Overwrite=True)


def test_each_node_type_gets_the_image_with_its_familys_driver(account: LocalEC2) -> None:
    types = {"p4d": "p4d.24xlarge", "trn1": "trn1.2xlarge", "g5g": "g5g.xlarge", "arm": "m7g.large"}
    made = resolved(cluster(**{name: {"InstanceType": one} for name, one in types.items()}))
    assert image_ids(made) == {
        "head": image_id(BESIDE_NEURON),
        "p4d": image_id(BESIDE_NEURON),
        "trn1": image_id(NEURON),
        "g5g": image_id(ARM),
        "arm": image_id(ARM),
    }


def test_an_image_that_the_user_names_stays_and_rays_latest_dlami_means_what_it_does(account: LocalEC2) -> None:
    from ray.autoscaler._private.aws.config import DEFAULT_AMI

    own = {"InstanceType": "trn1.2xlarge", "ImageId": "ami-0123456789abcdef0"}
    dlami = {"InstanceType": "g5.xlarge", "ImageId": "latest_dlami"}
    made = resolved(cluster(own=own, dlami=dlami))
    assert image_ids(made) == {
        "head": image_id(BASE),
        "own": "ami-0123456789abcdef0",
        "dlami": DEFAULT_AMI[REGION],
    }
    assert "TagSpecifications" not in made["available_node_types"]["own"]["node_config"]


def test_ray_takes_machines_with_a_default_image_and_keeps_the_users_own_tags(account: LocalEC2) -> None:
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "team", "Value": "ml"}]}]
    made = resolved(cluster(trn1={"InstanceType": "trn1.2xlarge", "TagSpecifications": tags}))
    (machine,) = launched(account, made, "trn1")
    assert machine["ImageId"] == image_id(NEURON)
    found = {tag["Key"]: tag["Value"] for tag in machine["Tags"]}
    assert (found["team"], found["accel-scaling-image"]) == ("ml", NEURON)
    client(account, "ec2").terminate_instances(InstanceIds=[machine["InstanceId"]])


def test_a_cluster_keeps_its_image_while_its_machines_live_though_aws_publishes_a_newer_one(account: LocalEC2) -> None:
    put(account, "ami-00000000000000001")
    config = cluster(head={"InstanceType": "m5.large", "ImageId": f"resolve:ssm:{OWN}"})
    first = resolved(config)
    (head,) = launched(account, first, "head", kind="head")
    put(account, "ami-00000000000000002")
    assert resolved(config)["available_node_types"] == first["available_node_types"], "Ray would replace the head"
    other = {**copy.deepcopy(config), "cluster_name": "another"}
    assert image_ids(resolved(other)) == {"head": "ami-00000000000000002"}
    client(account, "ec2").terminate_instances(InstanceIds=[head["InstanceId"]])
    assert image_ids(resolved(config)) == {"head": "ami-00000000000000002"}


def launched(account: LocalEC2, config: dict[str, Any], node_type: str, kind: str = "worker") -> list[dict[str, Any]]:
    """Launch one machine as Ray does; return it as EC2 describes it."""
    from ray.autoscaler._private.providers import _get_node_provider

    provider = _get_node_provider(config["provider"], config["cluster_name"], use_cache=False)
    tags = {"ray-node-type": kind, "ray-user-node-type": node_type, "ray-launch-config": "x", "ray-node-name": "n",
            "ray-node-status": "uninitialized"}  # fmt: skip
    provider.create_node(config["available_node_types"][node_type]["node_config"], tags, 1)
    filters = [
        {"Name": "tag:ray-cluster-name", "Values": [config["cluster_name"]]},
        {"Name": "tag:ray-user-node-type", "Values": [node_type]},
        {"Name": "instance-state-name", "Values": ["pending", "running"]},
    ]
    answer = client(account, "ec2").describe_instances(Filters=filters)
    return [one for group in answer["Reservations"] for one in group["Instances"]]


def test_a_type_whose_driver_is_in_no_image_is_refused_before_anything_is_launched(account: LocalEC2) -> None:
    text = refusal(cluster(g4ad={"InstanceType": "g4ad.xlarge"}))
    assert text.startswith("available_node_types.g4ad (g4ad.xlarge): there is no default image for Radeon-Pro-V520; ")
    assert "write node_config.ImageId" in text
    assert "AMD's driver" in text
    with_own = resolved(cluster(g4ad={"InstanceType": "g4ad.xlarge", "ImageId": "ami-0123456789abcdef0"}))
    assert image_ids(with_own)["g4ad"] == "ami-0123456789abcdef0"


def test_a_parameter_that_the_region_lacks_is_one_sentence(account: LocalEC2) -> None:
    text = refusal(cluster(t4={"InstanceType": "g4dn.xlarge", "ImageId": "resolve:ssm:/not/there"}))
    assert text == (
        "available_node_types.t4: the parameter /not/there of AWS Systems Manager, which names the image, does not "
        "exist in us-west-2; write the id of an image in node_config.ImageId, or choose another region"
    )


def test_a_parameter_that_names_no_image_is_one_sentence(account: LocalEC2) -> None:
    put(account, "ubuntu")
    text = refusal(cluster(t4={"InstanceType": "g4dn.xlarge", "ImageId": f"resolve:ssm:{OWN}"}))
    assert f"the parameter {OWN} of AWS Systems Manager, which names the image, is 'ubuntu', which is no" in text


@pytest.fixture
def without_ssm(account: LocalEC2, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process as a user who may do everything with EC2 and IAM, and nothing with Systems Manager."""
    iam = client(account, "iam")
    user = f"no-ssm-{uuid.uuid4()}"
    iam.create_user(UserName=user)
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": ["ec2:*", "iam:*"], "Resource": "*"}],
    }
    iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=user)["AccessKey"]
    use_account(monkeypatch, account.endpoint_url, key["AccessKeyId"], key["SecretAccessKey"])
    check_permissions_after(account, "0")
    try:
        yield
    finally:
        check_permissions_after(account, "inf")


def test_who_may_not_look_parameters_up_is_told_the_permission_and_the_way_round(without_ssm: None) -> None:
    text = refusal(cluster(trn1={"InstanceType": "trn1.2xlarge"}))
    assert "ssm:GetParameters" in text
    assert "available_node_types.head and available_node_types.trn1" in text
    assert "node_config.ImageId" in text


@pytest.mark.needs("rsync")
def test_ray_down_and_similar_ones_work_for_who_may_not_look_images_up(without_ssm: None, tmp_path: Path) -> None:
    from ray.autoscaler._private import commands

    file = tmp_path / "cluster.yaml"
    file.write_text(yaml.safe_dump(cluster(trn1={"InstanceType": "trn1.2xlarge"})))
    commands.teardown_cluster(
        str(file), yes=True, workers_only=False, override_cluster_name=None, keep_min_workers=False
    )
    with pytest.raises(RuntimeError, match=r"Head node of cluster .* not found"):
        commands.exec_cluster(str(file), cmd="true", no_config_cache=True)
    with pytest.raises(click.ClickException, match="ssm:GetParameters"):
        commands.exec_cluster(str(file), cmd="true", start=True, no_config_cache=True)
    with pytest.raises(click.ClickException, match="ssm:GetParameters"):
        commands.create_or_update_cluster(str(file), None, None, False, False, True, None, True)  # as `ray up -y`


def test_nothing_is_looked_up_where_every_image_is_named(account: LocalEC2, monkeypatch: pytest.MonkeyPatch) -> None:
    from accel_scaling import _ray
    from accel_scaling.cluster.cluster import read_config
    from accel_scaling.providers.aws.bootstrap import resolved

    monkeypatch.setattr(_ray, "aws_client", lambda service, *_: pytest.fail(f"{service} was asked"))
    named = {"ImageId": "ami-0123456789abcdef0"}
    config = cluster(head={"InstanceType": "m5.large", **named}, trn1={"InstanceType": "trn1.2xlarge", **named})
    assert resolved(read_config(config)) == config


def test_the_fill_uses_no_network_and_writes_ec2s_own_form() -> None:
    from accel_scaling.catalog.load import shipped_catalog
    from accel_scaling.fill.fill import fill

    config, _ = fill(cluster(trn1={"InstanceType": "trn1.2xlarge"}), shipped_catalog())
    assert config["available_node_types"]["trn1"]["node_config"]["ImageId"] == f"resolve:ssm:{NEURON}"
    stock = {**cluster(trn1={"InstanceType": "trn1.2xlarge"}), "provider": {"type": "aws", "region": REGION}}
    config, _ = fill(stock, shipped_catalog())
    assert "ImageId" not in config["available_node_types"]["trn1"]["node_config"], "Ray's own head could not look it up"


def test_who_has_not_filled_the_config_before_gets_the_default_image(account: LocalEC2) -> None:
    from accel_scaling.providers.aws import AWSAcceleratorNodeProvider

    made = AWSAcceleratorNodeProvider.bootstrap_config(copy.deepcopy(cluster(gpu={"InstanceType": "g5.xlarge"})))
    assert image_ids(made) == {"head": image_id(BASE), "gpu": image_id(BASE)}
