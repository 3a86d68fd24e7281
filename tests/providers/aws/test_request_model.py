"""A node_config of AWS is checked against botocore's model of RunInstances in every command, before it costs money."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.cluster.cluster import read_config
from accel_scaling.errors import AccelScalingError, ClusterConfigError
from accel_scaling.fill.fill import fill
from accel_scaling.providers.aws import request_model
from tests.support.cluster import MODULE

KEY = "available_node_types.t4.node_config"


def cluster(**node_config: Any) -> dict[str, Any]:
    return {
        "cluster_name": "mine",
        "provider": {"type": "external", "module": MODULE, "region": "us-west-2"},
        "head_node_type": "head",
        "max_workers": 2,
        "available_node_types": {
            "head": {"node_config": {"InstanceType": "m5.large"}},
            "t4": {"node_config": {"InstanceType": "g4dn.xlarge", **copy.deepcopy(node_config)}},
        },
        **{key: [] for key in ("setup_commands", "head_setup_commands", "worker_setup_commands")},
    }


SPOT = {"MarketType": "spot"}
DISK = {"DeviceName": "/dev/sda1"}
INTERFACE = {"DeviceIndex": 0, "SubnetId": "subnet-1", "Groups": ["sg-1"]}


@pytest.mark.parametrize(
    ("node_config", "sentence"),
    [
        # Keys.
        (
            {"IamInstanceProfil": {"Name": "x"}},
            "IamInstanceProfil is not a key that EC2 knows; nearest: IamInstanceProfile",
        ),
        ({"SubnetIDs": ["subnet-1"]}, "SubnetIDs is not a key that EC2 knows; nearest: SubnetIds"),
        ({"Monitoring": {"Enable": True}}, "Monitoring.Enable is not a key that EC2 knows; nearest: Enabled"),
        (
            {"BlockDeviceMappings": [{**DISK, "EBS": {}}]},
            "BlockDeviceMappings[0].EBS is not a key that EC2 knows; nearest: Eb",
        ),
        ({5: "x"}, "5 is not a key that EC2 knows"),
        ({"SubnetId": "subnet-1"}, "SubnetId is overwritten by Ray with one of SubnetIds; write SubnetIds, a list"),
        ({"SecurityGroups": ["web"]}, "SecurityGroups works without a subnet only"),
        ({"ClientToken": "x"}, "ClientToken makes EC2 treat each launch as the first one; leave it out"),
        ({"DryRun": True}, "DryRun makes EC2 launch nothing; leave it out"),
        # Kinds.
        (
            {"InstanceMarketOptions": {**SPOT, "SpotOptions": {"MaxPrice": 0.2}}},
            "SpotOptions.MaxPrice is 0.2; expected text: write '0.2', in quotes",
        ),
        (
            {"BlockDeviceMappings": [{**DISK, "Ebs": {"VolumeSize": "200"}}]},
            "BlockDeviceMappings[0].Ebs.VolumeSize is '200'; expected a whole number: write 200, without quotes",
        ),
        (
            {"BlockDeviceMappings": [{**DISK, "Ebs": {"VolumeSize": True}}]},
            "Ebs.VolumeSize is True; expected a whole number",
        ),
        ({"BlockDeviceMappings": {**DISK}}, "expected a list, [...]"),
        ({"BlockDeviceMappings": [{**DISK, "Ebs": {"VolumeType": "GP3"}}]}, "VolumeType is 'GP3'; EC2 spells it gp3"),
        ({"EbsOptimized": "true"}, "EbsOptimized is 'true'; expected true or false: write true, without quotes"),
        (
            {"IamInstanceProfile": "arn:aws:iam::1:instance-profile/x"},
            "expected keys, {Arn: arn:aws:iam::1:instance-profile/x}",
        ),
        ({"IamInstanceProfile": "x"}, "IamInstanceProfile is 'x'; expected keys, {Name: x}"),
        ({"KeyName": None}, "KeyName is None; expected text, or leave it out"),
        ({"KeyName": 5}, "KeyName is 5; expected text: write '5', in quotes"),
        ({"ImageId": {"a": "b"}}, "ImageId is {'a': 'b'}; expected text"),
        ({"ImageId": ["ami-1"]}, "ImageId is ['ami-1']; expected text"),
        ({"SecurityGroupIds": "sg-1"}, "SecurityGroupIds is 'sg-1'; expected a list, [...]"),
        ({"UserData": {"a": 1}}, "UserData is {'a': 1}; expected text"),
        # What Ray reads.
        ({"SubnetIds": "subnet-1"}, "SubnetIds is 'subnet-1'; expected a list of subnets, [subnet-1]"),
        ({"SubnetIds": []}, "SubnetIds is []; expected a list of subnets"),
        (
            {"NetworkInterfaces": [INTERFACE], "SubnetIds": ["subnet-1"]},
            "SubnetIds beside NetworkInterfaces: Ray",
        ),
        ({"NetworkInterfaces": [INTERFACE], "SecurityGroupIds": ["sg-1"]}, "SecurityGroupIds beside NetworkInterfaces"),
        ({"NetworkInterfaces": [{"DeviceIndex": 0, "Groups": ["sg-1"]}]}, "NetworkInterfaces[0].SubnetId is missing"),
        ({"NetworkInterfaces": [INTERFACE, {"SubnetId": "subnet-1"}]}, "NetworkInterfaces[1].Groups is missing"),
        ({"LaunchTemplate": {"Version": 1}}, "takes one of LaunchTemplateId and LaunchTemplateName; it has neither"),
        (
            {"LaunchTemplate": {"LaunchTemplateId": "lt-1", "LaunchTemplateName": "x"}},
            "it has LaunchTemplateId and LaunchTemplateName",
        ),
        ({"TagSpecifications": [{"Tags": []}]}, "TagSpecifications[0].ResourceType is missing"),
        (
            {"TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "a"}]}]},
            "TagSpecifications[0].Tags[0].Value is missing",
        ),
    ],
)
def test_what_boto_or_ray_would_refuse_is_named_with_its_key(node_config: dict[Any, Any], sentence: str) -> None:
    config = cluster()
    config["available_node_types"]["t4"]["node_config"] |= node_config
    with pytest.raises(ClusterConfigError) as error:
        read_config(config)
    assert str(error.value).startswith(f"{KEY}.")
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "node_config",
    [
        {"ImageId": None},
        {"ImageId": "latest_dlami", "KeyName": "mine", "MinCount": 1, "MaxCount": "many"},
        {"BlockDeviceMappings": [{**DISK, "Ebs": {"VolumeSize": 200, "VolumeType": "gp9"}}]},
        {"InstanceMarketOptions": {**SPOT, "SpotOptions": {"MaxPrice": "0.2", "ValidUntil": "2030-01-01"}}},
        {"LaunchTemplate": {"LaunchTemplateName": "x", "Version": 3}},
        {"NetworkInterfaces": [INTERFACE, {**INTERFACE, "DeviceIndex": 1, "InterfaceType": "interface"}]},
        {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"], "IamInstanceProfile": {"Arn": "arn:x"}},
        {"TagSpecifications": [{"ResourceType": "volume", "Tags": [{"Key": "a", "Value": "b"}]}], "UserData": b"x"},
        {"CapacityReservationSpecification": {"CapacityReservationTarget": {"CapacityReservationId": "cr-1"}}},
        {"MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 2}, "EbsOptimized": True},
    ],
)
def test_what_boto_takes_is_taken(node_config: dict[str, Any]) -> None:
    read_config(cluster(**node_config))


def test_boto_itself_refuses_what_is_refused_here_as_the_wrong_kind() -> None:
    """The verdict is botocore's: its own validator is asked about the same values."""
    from botocore.validate import ParamValidator

    shape = request_model._run_instances()
    for node_config, right in (
        ({"InstanceMarketOptions": {"SpotOptions": {"MaxPrice": 0.2}}}, False),
        ({"InstanceMarketOptions": {"SpotOptions": {"MaxPrice": "0.2"}}}, True),
        ({"IamInstanceProfile": "x"}, False),
        ({"Placement": {"Tenancy": "default", "PartitionNumber": 1}}, True),
        ({"Unknown": 1}, False),
    ):
        report = ParamValidator().validate({"MinCount": 1, "MaxCount": 1, **node_config}, shape)
        assert report.has_errors() is not right
        if right:
            request_model.check("x", node_config)
        else:
            with pytest.raises(ClusterConfigError):
                request_model.check("x", node_config)


@pytest.mark.parametrize("command", ["fill", "plan", "rehearse"])
def test_every_command_says_the_same(tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    from accel_scaling.cli.main import main

    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump(cluster(InstanceMarketOptions={**SPOT, "SpotOptions": {"MaxPrice": 0.2}})))
    more = ["--demand", "T4"] if command == "plan" else []
    assert main([command, str(path), *more]) == 2
    said = capsys.readouterr().err
    assert f"{KEY}.InstanceMarketOptions.SpotOptions.MaxPrice is 0.2; expected text: write '0.2', in quotes" in said


@pytest.mark.parametrize("zones", [["us-west-2a", "us-west-2b"], {"a": 1}, 5])
def test_zones_that_are_no_text_are_refused_with_the_form_that_ray_takes(zones: Any) -> None:
    config = cluster()
    config["provider"]["availability_zone"] = zones
    with pytest.raises(
        ClusterConfigError, match=r"^provider\.availability_zone takes .*; write us-west-2a,us-west-2b$"
    ):
        fill(config, shipped_catalog())


def test_a_value_of_any_size_has_a_short_sentence() -> None:
    bomb: Any = "x"
    for _ in range(9):
        bomb = [bomb] * 9
    for node_config in ({"ImageId": bomb}, {"KeyName": "k" * 100_000 + "\n", "Monitoring": "m" * 100_000}):
        with pytest.raises(AccelScalingError) as error:
            read_config(cluster(**node_config))
        assert len(str(error.value)) < 1000


def test_without_botocore_there_is_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "botocore" else find(name, *rest)
    )
    request_model._run_instances.cache_clear()
    read_config(cluster(Unknown=1))
    request_model._run_instances.cache_clear()
