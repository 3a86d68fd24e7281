"""The resources and conditions of docs/iam's policies: all that a launch may name, and nothing that belongs to others.

moto has no check of these. They are compared with single permissions by ``tests.support.iam.allowed``, which reads a
policy as AWS documents it.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from accel_scaling.clouds import SHIPPED_FOLDER
from tests.support.iam import (
    ACCOUNT,
    CLUSTER,
    HEAD,
    HEAD_ROLE,
    LAUNCHER,
    MACHINE,
    REGION,
    TAG,
    Asked,
    allowed,
    asked_for,
    policy,
)

pytestmark = pytest.mark.slow


def resource(kind: str) -> str:
    """Return the ARN of a resource that a launch may name, in the form of the Service Authorization Reference."""
    if kind == "group":
        return f"arn:aws:resource-groups:{REGION}:{ACCOUNT}:group/reserved"
    if kind == "license-configuration":
        return f"arn:aws:license-manager:{REGION}:{ACCOUNT}:license-configuration:lic-1"
    if kind == "elastic-inference":
        return f"arn:aws:elastic-inference:{REGION}:{ACCOUNT}:elastic-inference-accelerator/e-1"
    account = "" if kind in {"image", "snapshot"} else ACCOUNT
    return f"arn:aws:ec2:{REGION}:{account}:{kind}/one"


# The types of resources that RunInstances can name, by AWS's Service Authorization Reference; whether a cluster may.
LAUNCHED_WITH = {
    **dict.fromkeys(("image", "key-pair", "network-interface", "security-group", "subnet", "volume"), True),
    "instance": True,  # with the cluster's tag
    "spot-instances-request": True,
    "snapshot": True,  # a volume made of it
    "launch-template": True,
    "placement-group": True,
    "capacity-reservation": True,
    "group": True,  # a resource group of reservations
    "secondary-interface": True,
    "secondary-subnet": True,
    "elastic-gpu": False,  # AWS has ended it
    "elastic-inference": False,  # AWS has ended it
    "license-configuration": False,  # spends licences; nothing of Ray's names one
}


@pytest.mark.parametrize("name", [LAUNCHER, HEAD])
@pytest.mark.parametrize("kind", LAUNCHED_WITH)
def test_each_type_of_resource_of_a_launch_is_let_through_or_refused_on_purpose(name: str, kind: str) -> None:
    tags = {f"aws:RequestTag/{TAG}": CLUSTER} if kind == "instance" else {}
    assert allowed(policy(name), Asked("ec2:RunInstances", resource(kind), tags)) is LAUNCHED_WITH[kind]


def test_the_types_of_resources_of_a_launch_are_those_of_awss_reference() -> None:
    """cfn-lint, which comes with moto, has the reference as data."""
    specification = pytest.importorskip("cfnlint.data.AdditionalSpecs")
    reference = json.loads((Path(specification.__path__[0]) / "Policies.json").read_text(encoding="utf-8"))
    assert set(reference["ec2"]["Actions"]["runinstances"]["Resources"]) == set(LAUNCHED_WITH)


MACHINE_WITH_ALL = {
    "InstanceType": "p5.48xlarge",
    "ImageId": "ami-1",
    "KeyName": "mine",
    "NetworkInterfaces": [
        {"SubnetId": "subnet-1", "Groups": ["sg-1"], "InterfaceType": "efa"},
        {"NetworkInterfaceId": "eni-1"},
    ],
    "BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": "snap-1"}}],
    "LaunchTemplate": {"LaunchTemplateId": "lt-1"},
    "Placement": {"GroupName": "close"},
    "InstanceMarketOptions": {"MarketType": "spot"},
    "CapacityReservationSpecification": {
        "CapacityReservationTarget": {
            "CapacityReservationId": "cr-1",
            "CapacityReservationResourceGroupArn": f"arn:aws:resource-groups:{REGION}:{ACCOUNT}:group/reserved",
        }
    },
    "TagSpecifications": [
        {"ResourceType": "instance", "Tags": [{"Key": TAG, "Value": CLUSTER}]},
        *(
            {"ResourceType": kind, "Tags": [{"Key": "team", "Value": "vision"}]}
            for kind in ("volume", "network-interface", "spot-instances-request")
        ),
    ],
}


@pytest.mark.parametrize("name", [LAUNCHER, HEAD])
def test_a_launch_may_name_all_that_a_node_config_can(name: str) -> None:
    asked = list(asked_for("ec2:RunInstances", MACHINE_WITH_ALL, {}))
    assert [one for one in asked if not allowed(policy(name), one)] == []
    kinds = {one.resource.rpartition(":")[2].partition("/")[0] for one in asked}
    assert kinds == {kind for kind, may in LAUNCHED_WITH.items() if may} - {"secondary-interface", "secondary-subnet"}


OTHERS = {f"aws:ResourceTag/{TAG}": "another"}
OWN = {f"aws:ResourceTag/{TAG}": CLUSTER}
INTO_ANOTHER = {f"aws:RequestTag/{TAG}": "another"}
AT_LAUNCH = {"ec2:CreateAction": "RunInstances"}


@pytest.mark.parametrize("name", [LAUNCHER, HEAD])
@pytest.mark.parametrize(
    "asked",
    [
        *(Asked(f"ec2:{verb}Instances", MACHINE, OTHERS) for verb in ("Terminate", "Stop", "Start")),
        Asked("ec2:CreateTags", MACHINE, OTHERS),
        Asked("ec2:CreateTags", MACHINE),
        # A machine of your own that had another cluster's tag would be a worker there, with its files and tasks.
        Asked("ec2:CreateTags", MACHINE, {**OWN, **INTO_ANOTHER}),
        Asked("ec2:CreateTags", MACHINE, {**OTHERS, f"aws:RequestTag/{TAG}": CLUSTER}),
        Asked("ec2:CreateTags", MACHINE, {**AT_LAUNCH, **INTO_ANOTHER}),
        Asked("ec2:CreateTags", MACHINE, {f"aws:RequestTag/{TAG}": CLUSTER, "ec2:CreateAction": "CreateFleet"}),
        *(
            Asked("ec2:CreateTags", resource(kind), INTO_ANOTHER | AT_LAUNCH)
            for kind in ("volume", "network-interface")
        ),
        *(Asked("ec2:CreateTags", resource(kind)) for kind in ("volume", "spot-instances-request", "image", "subnet")),
        *(Asked(f"ec2:{verb}", MACHINE, OWN) for verb in ("DeleteTags", "ModifyInstanceAttribute", "CreateFleet")),
        Asked("ec2:RunInstances", MACHINE, {f"aws:RequestTag/{TAG}": "another"}),
        Asked("ec2:RunInstances", MACHINE),
        Asked("ec2:AuthorizeSecurityGroupIngress", f"arn:aws:ec2:{REGION}:{ACCOUNT}:security-group/sg-1", OTHERS),
        Asked("ec2:CreateKeyPair", f"arn:aws:ec2:{REGION}:{ACCOUNT}:key-pair/mine"),
        Asked("ssm:GetParameters", f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/password"),
        Asked("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/admin", {"iam:PassedToService": "ec2.amazonaws.com"}),
        Asked("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/{HEAD_ROLE}", {"iam:PassedToService": "lambda"}),
        Asked("ec2:DescribeInstances", "*", {"aws:RequestedRegion": "eu-west-1"}),
    ],
    ids=lambda asked: f"{asked.action} {asked.context}" if isinstance(asked, Asked) else asked,
)
def test_what_belongs_to_others_is_out_of_reach(name: str, asked: Asked) -> None:
    assert not allowed(policy(name), asked)


def test_the_parameters_that_may_be_read_are_those_that_name_default_images() -> None:

    with (SHIPPED_FOLDER / "node_images.csv").open(encoding="utf-8", newline="") as file:
        named = {row["image"] for row in csv.DictReader(file) if row["kind"] == "ssm"}
    (images,) = [one for one in policy(LAUNCHER) if one["Action"] == "ssm:GetParameters"]
    assert set(images["Resource"]) == {f"arn:aws:ssm:{REGION}::parameter{name}" for name in named}
