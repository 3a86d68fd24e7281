"""What a cluster file names in the account is asked about at `ray up`, and Ray's own refusals are one sentence each."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
import click
import pytest

from accel_scaling.providers.aws import account_checks, ray_steps
from accel_scaling.providers.aws.provider import AWSAcceleratorNodeProvider
from tests.support.aws_account import use_account
from tests.support.aws_up import make_rays_profile
from tests.support.cluster import MODULE
from tests.support.resolved import resolved

REGION = "us-west-2"
X86, ARM = "ami-12c6146b", "ami-0arm0000000000001"
T4 = "available_node_types.t4.node_config"

pytestmark = pytest.mark.needs("ssh", "rsync")


@pytest.fixture(autouse=True)
def _account(monkeypatch: pytest.MonkeyPatch, moto_url: str, tmp_path: Path) -> Iterator[None]:
    """moto as this process's account, with Ray's instance profile, whose making takes Ray half a minute."""
    use_account(monkeypatch, moto_url)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    make_rays_profile()
    yield
    for pair in ec2().describe_key_pairs()["KeyPairs"]:
        ec2().delete_key_pair(KeyName=pair["KeyName"])


def ec2() -> Any:
    return boto3.client("ec2", REGION)


def config_of(machine: str = "g4dn.xlarge", *, provider: Any = None, auth: Any = None, **t4: Any) -> dict[str, Any]:
    return {
        "cluster_name": "mine",
        "max_workers": 2,
        "provider": {"type": "external", "module": MODULE, "region": REGION, **(provider or {})},
        "auth": {"ssh_user": "ubuntu", **(auth or {})},
        "head_node_type": "head",
        "available_node_types": {
            "head": {"node_config": {"InstanceType": "m5.large", "ImageId": X86}, "resources": {}},
            "t4": {"node_config": {"InstanceType": machine, "ImageId": X86, **t4}, "resources": {}},
        },
        **{key: [] for key in ("setup_commands", "head_setup_commands", "worker_setup_commands")},
    }


def sentence_of(config: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(click.ClickException) as error:
        resolved(config)
    assert "\n" not in error.value.message
    assert type(error.value) is click.ClickException, "Ray's own kind prints nothing"
    said = capsys.readouterr()
    assert "PANIC" not in said.out + said.err
    return error.value.message


def private_key(name: str = "own.pem") -> dict[str, str]:
    path = Path.home() / name
    path.touch()
    return {"ssh_private_key": str(path)}


def test_a_right_file_passes_and_every_node_type_has_its_subnets() -> None:
    made = resolved(config_of())
    assert made["available_node_types"]["t4"]["node_config"]["SubnetIds"]


# --- images ---


def test_an_image_of_another_architecture_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    said = sentence_of(config_of("g5g.xlarge"), capsys)
    assert said.startswith(
        f"{T4}.ImageId is {X86}, an image for x86_64, and g5g.xlarge is arm64; name an image for arm64"
    )


@pytest.mark.parametrize("image", ["ami-0123456789abcdef9", "ami-nonsense"])
def test_an_image_that_the_region_lacks_is_named(capsys: pytest.CaptureFixture[str], image: str) -> None:
    said = sentence_of(config_of(ImageId=image), capsys)
    assert said.startswith(f"{T4}.ImageId: ")
    assert image in said
    assert said.endswith(", in us-west-2)")


# --- zones ---


def test_a_zone_without_the_machine_type_is_refused_where_no_other_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    said = sentence_of(config_of("g5.xlarge", provider={"availability_zone": "us-west-2d"}), capsys)
    assert said == (
        "available_node_types.t4: EC2 has no g5.xlarge in us-west-2d (provider.availability_zone); in this region it "
        "is in us-west-2a, us-west-2b, us-west-2c"
    )


def test_the_zones_of_named_subnets_count(capsys: pytest.CaptureFixture[str]) -> None:
    subnets = {one["AvailabilityZone"]: one["SubnetId"] for one in ec2().describe_subnets()["Subnets"]}
    said = sentence_of(config_of("trn1.2xlarge", SubnetIds=[subnets["us-west-2a"]]), capsys)
    assert "EC2 has no trn1.2xlarge in us-west-2a (the zones of its SubnetIds)" in said


def test_a_named_zone_that_lacks_it_beside_one_that_has_it_is_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    resolved(config_of("g5.xlarge", provider={"availability_zone": "us-west-2a,us-west-2d"}))
    note = "available_node_types.t4: EC2 has no g5.xlarge in us-west-2d; it is launched in us-west-2a only"
    said = capsys.readouterr()
    assert note in said.out + said.err


def test_zones_that_nobody_has_named_are_no_note(capsys: pytest.CaptureFixture[str]) -> None:
    resolved(config_of("g5.xlarge"))
    said = capsys.readouterr()
    assert "EC2 has no" not in said.out + said.err


def test_what_the_account_may_not_ask_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from accel_scaling.cluster.cluster import read_config

    def refuse(*_: Any, **__: Any) -> Any:
        answer: Any = {"Error": {"Code": "UnauthorizedOperation", "Message": "no"}}
        raise botocore.exceptions.ClientError(answer, "Any")

    config = config_of("g5g.xlarge", SubnetIds=["subnet-1"], provider={"availability_zone": "us-west-2d"})
    cluster = read_config(config)
    with monkeypatch.context() as account:
        account.setattr("botocore.client.BaseClient._make_api_call", refuse)
        account_checks.check_named(cluster, config)
        assert account_checks.check_zones(cluster, config) == []


# --- what Ray would stop at ---


@pytest.mark.parametrize(
    ("named", "sentence"),
    [
        ({"SubnetIds": ["subnet-0123456789abcdef0"]}, f"{T4}.SubnetIds: The subnet ID 'subnet-0123456789abcdef0' does"),
        ({"SecurityGroupIds": ["sg-0123456789abcdef0"]}, f"{T4}.SecurityGroupIds: The security group '"),
    ],
)
def test_what_is_not_in_the_account_is_named_with_its_key(
    capsys: pytest.CaptureFixture[str], named: dict[str, Any], sentence: str
) -> None:
    assert sentence_of(config_of(**named), capsys).startswith(sentence)


def test_a_key_pair_that_is_not_in_the_account_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    said = sentence_of(config_of(auth=private_key(), KeyName="gone"), capsys)
    assert said.startswith(("available_node_types.head.node_config.KeyName is missing", f"{T4}.KeyName: "))


def test_a_private_key_without_its_key_pair_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    said = sentence_of(config_of(auth=private_key()), capsys)
    assert said.startswith("available_node_types.head.node_config.KeyName is missing: auth.ssh_private_key is a key of")


def test_a_private_key_that_is_not_on_this_machine_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    said = sentence_of(config_of(auth={"ssh_private_key": "~/gone.pem"}), capsys)
    assert said.startswith("auth.ssh_private_key is ~/gone.pem, which is not on this machine")


def test_a_private_subnet_is_one_sentence_with_its_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    vpc = ec2().describe_vpcs()["Vpcs"][0]["VpcId"]
    subnet = ec2().create_subnet(VpcId=vpc, CidrBlock="172.31.200.0/24")["Subnet"]["SubnetId"]
    try:
        said = sentence_of(config_of(SubnetIds=[subnet]), capsys)
    finally:
        ec2().delete_subnet(SubnetId=subnet)
    assert said.startswith("Ray cannot prepare the cluster on AWS: No usable subnets found for node type t4")
    assert "write use_internal_ips: true" in said or "`use_internal_ips: true`" in said


def test_no_default_vpc_is_one_sentence_with_its_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    config = config_of(provider={"region": "us-east-2"})
    for node_type in config["available_node_types"].values():
        node_type["node_config"].pop("ImageId")
    other = boto3.client("ec2", "us-east-2")
    for subnet in other.describe_subnets()["Subnets"]:
        other.delete_subnet(SubnetId=subnet["SubnetId"])
    from accel_scaling.errors import ClusterConfigError

    with pytest.raises(ClusterConfigError) as error:
        ray_steps.prepared({**config, "head_node": {}})
    assert str(error.value).endswith("or make a default VPC: `aws ec2 create-default-vpc`")


def test_a_role_that_may_not_be_made_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make = botocore.client.BaseClient._make_api_call  # type: ignore[attr-defined]

    def refuse(self: Any, operation: str, parameters: Any) -> Any:
        if operation != "GetInstanceProfile":
            return make(self, operation, parameters)
        answer: Any = {"Error": {"Code": "AccessDenied", "Message": "User: me is not authorized"}}
        raise botocore.exceptions.ClientError(answer, operation)

    monkeypatch.setattr("botocore.client.BaseClient._make_api_call", refuse)
    said = sentence_of(config_of(), capsys)
    assert said == (
        "your AWS credentials lack the permission for GetInstanceProfile (AccessDenied: User: me is not authorized); "
        "docs/security.md#aws has the "
        "policies that a cluster needs"
    )


def test_a_launch_template_that_is_gone_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    said = sentence_of(config_of(LaunchTemplate={"LaunchTemplateId": "lt-0123456789abcdef0"}), capsys)
    assert "lt-0123456789abcdef0" in said
    assert said.startswith("available_node_types.t4.node_config.LaunchTemplate: ")
    assert "(InvalidLaunchTemplateId.NotFound, in us-west-2)" in said


@pytest.mark.parametrize("error", [AssertionError("Failed to create role"), KeyError("Roles"), IndexError("list")])
def test_an_assertion_of_rays_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    from ray.autoscaler._private.aws import config as rays

    def fail(_: Any) -> Any:
        raise error

    monkeypatch.setattr(rays, "_configure_iam_role", fail)
    assert sentence_of(config_of(), capsys).startswith("Ray cannot prepare the cluster on AWS: ")
    assert AWSAcceleratorNodeProvider.bootstrap_config is not None
