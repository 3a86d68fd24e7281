"""Launch templates: what EC2 says they hold is merged as Ray's own provider merges it, by `ray up` and its fill."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from accel_scaling.cluster.cluster import catalog_of
from accel_scaling.errors import MachineInTemplateError
from accel_scaling.fill.fill import fill
from accel_scaling.plan.run import PlanArguments, plan_cluster
from accel_scaling.providers.aws.local_cloud import LocalEC2
from accel_scaling.testing.ec2.images import IMAGES
from tests.support.aws_account import use_account
from tests.support.aws_provider import MODULE, REGION, error_of
from tests.support.resolved import refusal, resolved

pytestmark = pytest.mark.slow

IMAGE = IMAGES["x86_64"]
GOLDEN = {"ImageId": IMAGE, "InstanceType": "g5.xlarge"}
SPOT = {"MarketType": "spot", "SpotOptions": {"MaxPrice": "1"}}


@pytest.fixture
def calls(local_ec2: LocalEC2, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The local EC2 as this process's AWS account; the names of the calls that are made."""
    use_account(monkeypatch, local_ec2.endpoint_url)
    boto3.setup_default_session()
    made: list[str] = []
    boto3.DEFAULT_SESSION.events.register("provide-client-params.*.*", lambda model, **_: made.append(model.name))
    return made


def template(name: str, *versions: dict[str, Any]) -> str:
    """Make a launch template with these versions in EC2; return its id."""
    api = boto3.client("ec2", region_name=REGION)
    made = api.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=versions[0])["LaunchTemplate"]
    for version in versions[1:]:
        api.create_launch_template_version(LaunchTemplateName=name, LaunchTemplateData=version)
    return str(made["LaunchTemplateId"])


def cluster(kind: str = "external", **workers: dict[str, Any]) -> dict[str, Any]:
    provider = {"type": kind, "region": REGION, "cache_stopped_nodes": False}
    if kind == "external":
        provider["module"] = MODULE
    return {
        "cluster_name": "templates",
        "max_workers": 4,
        "provider": provider,
        "auth": {"ssh_user": "ubuntu"},
        "head_node_type": "head",
        "available_node_types": {
            "head": {"node_config": {"InstanceType": "m5.large", "ImageId": IMAGE}},
            **{name: {"node_config": one} for name, one in workers.items()},
        },
        **{key: [] for key in ("setup_commands", "head_setup_commands", "worker_setup_commands")},
    }


def worker(config: dict[str, Any], name: str = "gpu") -> dict[str, Any]:
    one: dict[str, Any] = config["available_node_types"][name]
    return one


# The content, and what the node_config has beside it.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "image and type": (GOLDEN, {}),
    "the node_config's own type wins": (GOLDEN, {"InstanceType": "g4dn.xlarge"}),
    "spot, a key, and a role": (
        {**GOLDEN, "InstanceMarketOptions": SPOT, "KeyName": "mine", "IamInstanceProfile": {"Name": "r"}},
        {},
    ),
    "a disk": ({**GOLDEN, "BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 200}}]}, {}),
    "tags of the user": (
        {**GOLDEN, "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "team", "Value": "a"}]}]},
        {},
    ),
}


@pytest.mark.parametrize(("by", "version"), [("name", "$Latest"), ("id", "$Default"), ("id", 2), ("name", None)])
def test_a_template_is_found_by_name_and_id_and_each_form_of_version(calls: list[str], by: str, version: Any) -> None:
    name = f"golden-{by}-{version}"
    made = template(name, GOLDEN, {**GOLDEN, "InstanceType": "g4dn.xlarge"})
    spec: dict[str, Any] = {"LaunchTemplateName": name} if by == "name" else {"LaunchTemplateId": made}
    if version is not None:
        spec["Version"] = version
    gpu = worker(resolved(cluster(gpu={"LaunchTemplate": spec})))
    machine, chip = ("g4dn.xlarge", "T4") if version in ("$Latest", 2) else ("g5.xlarge", "A10G")
    assert (gpu["node_config"]["InstanceType"], gpu["node_config"]["ImageId"]) == (machine, IMAGE)
    assert gpu["node_config"]["LaunchTemplate"] == {**spec, "Version": str(version or "$Default")}
    assert gpu["resources"][f"accelerator_type:{chip}"] == 1
    assert gpu["labels"]["accel-scaling.io/instance-type"] == machine


@pytest.mark.parametrize("case", CASES)
def test_a_launch_sends_what_rays_own_provider_would_send(calls: list[str], case: str) -> None:
    from ray.autoscaler._private.aws.config import bootstrap_aws

    content, own = CASES[case]
    if "KeyName" in content:
        boto3.client("ec2", region_name=REGION).create_key_pair(KeyName=content["KeyName"])
    name = f"case-{list(CASES).index(case)}"
    template(name, content)
    node_config = {"LaunchTemplate": {"LaunchTemplateName": name, "Version": "$Latest"}, **own}
    ours = worker(resolved(cluster(gpu=node_config)))
    stock = worker(bootstrap_aws({**cluster("aws", gpu=node_config), "cluster_name": "stock"}))
    # Each cluster has its own security group.
    mine, rays = ({**one["node_config"], "SecurityGroupIds": []} for one in (ours, stock))
    assert mine == rays
    assert ours["labels"]["ray.io/market-type"] == ("spot" if "InstanceMarketOptions" in content else "on-demand")


def test_ec2_is_asked_once_for_each_template(calls: list[str]) -> None:
    template("shared", GOLDEN)
    template("other", {"ImageId": IMAGE, "InstanceType": "g4dn.xlarge"})
    named = {"a": "shared", "b": "shared", "c": "other"}
    resolved(cluster(**{one: {"LaunchTemplate": {"LaunchTemplateName": name}} for one, name in named.items()}))
    assert calls.count("DescribeLaunchTemplateVersions") == 2
    resolved(cluster(d=GOLDEN))
    assert calls.count("DescribeLaunchTemplateVersions") == 2, "a file without templates asks for none"


def test_a_template_without_an_image_gets_the_default_image_of_its_machine(calls: list[str]) -> None:
    template("bare", {"InstanceType": "g5.xlarge"})
    gpu = worker(resolved(cluster(gpu={"LaunchTemplate": {"LaunchTemplateName": "bare"}})))
    assert gpu["node_config"]["ImageId"].startswith("ami-")
    assert gpu["node_config"]["ImageId"] != IMAGE
    tags = gpu["node_config"]["TagSpecifications"][0]["Tags"]
    assert "base-oss-nvidia-driver-gpu" in {tag["Key"]: tag["Value"] for tag in tags}["accel-scaling-image"]


def test_user_data_of_a_template_is_sent_once_by_the_template_and_lets_a_key_of_the_users_own_be(
    calls: list[str], tmp_path: Path
) -> None:
    (tmp_path / "key.pem").write_text("x")
    template("cloud-init", {**GOLDEN, "UserData": base64.b64encode(b"#!/bin/sh\n").decode()})
    config = cluster(gpu={"LaunchTemplate": {"LaunchTemplateName": "cloud-init"}})
    config["auth"]["ssh_private_key"] = str(tmp_path / "key.pem")
    worker(config, "head")["node_config"]["UserData"] = "#cloud-config\n"
    made = resolved(config)
    assert "UserData" not in worker(made)["node_config"], "in base64, which boto3 would encode again"
    assert worker(made, "head")["node_config"]["UserData"] == "#cloud-config\n"


def test_what_ec2_says_and_takes_in_no_launch_is_left_to_the_template(
    calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from accel_scaling import _ray

    options = {"State": "applied", "HttpTokens": "required"}
    content = {**GOLDEN, "MetadataOptions": options, "RamDiskId": "ari-1", "LaunchTemplate": {}}
    monkeypatch.setattr(_ray, "aws_template_content", lambda *_: content)  # moto keeps no such keys
    made = worker(resolved(cluster(gpu={"LaunchTemplate": {"LaunchTemplateName": "x"}})))["node_config"]
    assert made["MetadataOptions"] == {"HttpTokens": "required"}
    assert "RamDiskId" not in made


def test_a_template_that_is_missing_refused_or_of_no_type_is_one_sentence(
    calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from accel_scaling import _ray

    template("image-only", {"ImageId": IMAGE})
    template("one-version", GOLDEN)
    key = "available_node_types.gpu.node_config"
    named = {"LaunchTemplate": {"LaunchTemplateName": "image-only"}}
    assert refusal(cluster(gpu=named)).startswith(f"{key}.InstanceType is missing, and its LaunchTemplate (image-only)")
    said = refusal(cluster(gpu={"LaunchTemplate": {"LaunchTemplateName": "nowhere"}}))
    assert said.startswith(f"{key}.LaunchTemplate: ")
    assert "NotFound" in said
    said = refusal(cluster(gpu={"LaunchTemplate": {"LaunchTemplateName": "one-version", "Version": "7"}}))
    assert said.startswith(f"{key}.LaunchTemplate")
    both = {"LaunchTemplateName": "one-version", "LaunchTemplateId": "lt-1"}
    assert "takes one of LaunchTemplateId and LaunchTemplateName" in refusal(cluster(gpu={"LaunchTemplate": both}))

    def refused(*_: Any) -> None:
        raise error_of("UnauthorizedOperation", 403, "DescribeLaunchTemplateVersions")

    monkeypatch.setattr(_ray, "aws_template_content", refused)
    assert "your AWS credentials lack the permission ec2:DescribeLaunchTemplateVersions" in refusal(
        cluster(gpu={"LaunchTemplate": {"LaunchTemplateName": "one-version"}})
    )


def test_who_may_not_ask_ec2_says_so_in_one_note_and_puts_no_image_in() -> None:
    named = {"LaunchTemplateName": "golden", "Version": "$Latest"}
    config = cluster(whole={"LaunchTemplate": named}, typed={"InstanceType": "g5.xlarge", "LaunchTemplate": named})
    config["available_node_types"]["whole"]["resources"] = {"GPU": 1}
    filled, notes = fill(config, catalog_of(config))
    assert worker(filled, "whole") == worker(config, "whole")
    assert "ImageId" not in worker(filled, "typed")["node_config"]
    assert worker(filled, "typed")["resources"]["accelerator_type:A10G"] == 1
    about = [note for note in notes if "LaunchTemplate" in note]
    assert [note.partition(" ")[0].rstrip(":").split(".")[1] for note in about] == ["whole", "typed"]
    assert "write InstanceType" in about[0]
    planned, _ = plan_cluster(config, catalog_of(config), PlanArguments(("A10G",)))
    assert "whole" not in planned.types
    assert any("write InstanceType" in note for note in planned.notes)


def test_a_head_of_a_template_can_be_filled_and_not_be_planned_or_rehearsed() -> None:
    config = cluster(gpu=GOLDEN)
    config["available_node_types"]["head"]["node_config"] = {"LaunchTemplate": {"LaunchTemplateName": "golden"}}
    assert fill(config, catalog_of(config))[1]
    with pytest.raises(MachineInTemplateError, match="write InstanceType"):
        plan_cluster(config, catalog_of(config), PlanArguments(("A10G",)))


@pytest.mark.parametrize("own", [{}, {"InstanceType": "g5.xlarge"}], ids=["whole", "typed"])
def test_a_filled_file_and_the_file_itself_come_to_the_same(calls: list[str], own: dict[str, Any]) -> None:
    name = f"both-{len(own)}"
    template(name, {**GOLDEN, "InstanceMarketOptions": SPOT})
    config = cluster(gpu={"LaunchTemplate": {"LaunchTemplateName": name}, **own})
    filled, _ = fill(config, catalog_of(config))
    from_file, from_filled = (worker(resolved(one)) for one in (config, yaml.safe_load(yaml.safe_dump(filled))))
    assert from_file == from_filled
    assert from_file["labels"]["ray.io/market-type"] == "spot"
    assert json.dumps(from_file), "what `ray up` writes to its cache"


def test_a_rehearsal_needs_the_type_in_the_file() -> None:
    from accel_scaling.cluster.cluster import read_config

    config = cluster(gpu={"LaunchTemplate": {"LaunchTemplateName": "golden"}})
    assert LocalEC2.place_of(config) == REGION
    with pytest.raises(MachineInTemplateError, match="write InstanceType"):
        read_config(config).check_told()
