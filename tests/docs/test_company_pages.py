"""The cluster files of the pages about networks and capacity: every door takes them, and local clouds launch them."""

from __future__ import annotations

import copy
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from accel_scaling.boot import bundle
from accel_scaling.cluster.capacity import capacity_orders
from accel_scaling.providers.aws.capacity import with_capacity
from accel_scaling.providers.aws.local_cloud import LocalEC2
from accel_scaling.providers.base import cluster_config
from accel_scaling.providers.gcp.client import client
from accel_scaling.providers.gcp.local_cloud import LocalGCE
from accel_scaling.testing.gce.reservations import GceReservation
from tests.support import aws_provider, gcp_provider
from tests.support.aws_provider import EC2
from tests.support.documents import BLOCKS, ROOT, Block
from tests.support.doors import of_fill, of_plan, of_ray_up
from tests.support.gcp_provider import Google, google
from tests.support.resolved import resolved

PAGES = (
    "spot-and-on-demand",
    "reservations",
    "flex-start",
    "training-networks",
    "private-network",
    "without-internet",
    "pending",
)
NEEDED = {"setup_commands": [], "head_setup_commands": [], "worker_setup_commands": [], "max_workers": 8}
FILES = [
    block
    for block in BLOCKS
    if block.document.stem in PAGES and block.language == "yaml" and "cluster_name:" in block.body
]
X86 = "ami-12c6146b"  # an image of moto's
AWS, GCP = ([block for block in FILES if f".{cloud}." in block.body] for cloud in ("aws", "gcp"))


# What the account of the pages has.
RESERVATIONS = (
    "cr-0123456789abcdef0:kind=block,type=p5.48xlarge,count=4",
    "cr-0fedcba9876543210:type=p4d.24xlarge,count=2",
    "cr-0a:type=p4d.24xlarge,count=2,group=arn:aws:resource-groups:us-west-2:123456789012:group/a100",
)


def config_of(block: Block) -> dict[str, Any]:
    return {**NEEDED, **yaml.safe_load(block.body)}


def of_page(page: str, part: str) -> Block:
    """The cluster file of a page that has these words."""
    (block,) = [block for block in FILES if block.document.stem == page and part in block.body]
    return block


class Ssh:
    """Each command succeeds; the words of the last ones."""

    CalledProcessError = subprocess.CalledProcessError

    def __init__(self) -> None:
        self.words: list[str] = []

    def check_call(self, words: list[str], *_: Any, **__: Any) -> int:
        self.words += words
        return 0

    def check_output(self, words: list[str], *_: Any, **__: Any) -> bytes:
        self.words += words
        return b""


@pytest.fixture(scope="module")
def packed() -> Path:
    return bundle.build()


@pytest.mark.parametrize("block", FILES, ids=str)
def test_every_door_takes_the_file(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pip.conf").touch()
    config = config_of(block)
    assert (of_fill(config), of_plan(config), of_ray_up(config)) == (None, None, None)


@pytest.mark.parametrize(
    ("page", "part", "keys"),
    [
        ("reservations", "a100-group", set()),
        ("reservations", "b200-calendar", set()),
        ("training-networks", "Placement", {"NetworkInterfaces", "Placement", "SubnetIds", "SecurityGroupIds"}),
        ("training-networks", "resourcePolicies", {"networkInterfaces", "resourcePolicies"}),
        ("flex-start", "FLEX_START", set()),
        ("spot-and-on-demand", "priority", set()),
        ("spot-and-on-demand", "a10g: [spot, on-demand]", set()),
    ],
)
def test_a_rehearsal_leaves_out_what_the_page_says(page: str, part: str, keys: set[str]) -> None:
    block = of_page(page, part)
    cloud = LocalEC2 if block in AWS else LocalGCE
    left_out = cloud.adapted(config_of(block), "http://localhost")[1]
    assert {place.rpartition(".")[2] for place in left_out if ".node_config." in place} == keys


# Google Cloud: `ray up` prepares each file on a local Compute Engine, and a machine of each node type is created.


@pytest.fixture(scope="module")
def gce() -> Iterator[Google]:
    zones = ("us-central1-a", "us-central1-b", "us-west4-a")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gcp_provider, "ZONES", zones)
        with google() as at:
            calendar = GceReservation("my-calendar-reservation", "a4-highgpu-8g", 4, calendar=True)
            at.reserve(calendar, GceReservation("shared", "a2-highgpu-1g", 4, project="other-project"))
            yield at


def add_what_users_make(provider: dict[str, Any], gce: Google) -> None:
    """Put the subnetworks and the placement policy that the pages name into the project."""
    named = (provider.get("network") or {}).values()
    gce.injection.subnetworks = [name for network in named for names in network.values() for name in names]
    place = {"project": gcp_provider.PROJECT, "region": "us-central1"}
    if "training" not in gce.engine.placement_policies():
        client(provider, "compute").resourcePolicies().insert(**place, body={"name": "training"}).execute()


def on_gce(block: Block, gce: Google, monkeypatch: pytest.MonkeyPatch, packed: Path) -> dict[str, dict[str, Any]]:
    """Launch a machine or slice of each worker of the file; node type -> in the form of Google."""
    monkeypatch.setattr(cluster_config, "_bundle", lambda *_: packed)
    config = config_of(block)
    config["provider"] |= {
        "project_id": gcp_provider.PROJECT,
        "api_endpoints": gce.url,
        "gcp_credentials": {"type": "anonymous"},
    }
    config["auth"] = {"ssh_user": "ubuntu", **(config.get("auth") or {})}
    add_what_users_make(config["provider"], gce)
    ready = resolved(config)
    provider = gcp_provider.provider_of(ready)
    made = {}
    for name, node_config in gcp_provider.node_configs(ready).items():
        if name != "head":
            (node,) = provider.create_node(node_config, gcp_provider.tags(name), 1)
            made[name] = {**gce.machines(), **gce.slices()}[node]
    return made


@pytest.mark.parametrize("block", GCP, ids=str)
def test_google_gets_what_the_file_says(
    block: Block, gce: Google, monkeypatch: pytest.MonkeyPatch, packed: Path
) -> None:
    made = on_gce(block, gce, monkeypatch, packed)
    for name, machine in made.items():
        config = config_of(block)
        written = config["available_node_types"][name]["node_config"]
        if name in (config["provider"].get("placement") or {}):
            assert written.keys().isdisjoint(("resourcePolicies", "networkInterfaces"))
            assert (len(machine["networkInterfaces"]), len(machine.pop("resourcePolicies"))) == (10, 1)
        ordered = name in (config["provider"].get("capacity") or {})
        for key in ("reservationAffinity", "resourcePolicies", "schedulingConfig"):
            assert ordered or machine.get(key) == written.get(key), (name, key)
        assert (written.get("scheduling") or {}).items() <= (machine.get("scheduling") or {}).items()


def test_private_machines_of_google_have_no_public_address(
    gce: Google, monkeypatch: pytest.MonkeyPatch, packed: Path
) -> None:
    made = on_gce(of_page("private-network", "networkConfig"), gce, monkeypatch, packed)
    assert made["v5e"]["networkConfig"]["enableExternalIps"] is False
    (interface,) = made["l4"]["networkInterfaces"]
    assert "accessConfigs" not in interface
    assert interface["subnetwork"].endswith("projects/host-project/regions/us-west4/subnetworks/ray")


def test_a_public_address_is_given_where_the_file_names_no_network(
    gce: Google, monkeypatch: pytest.MonkeyPatch, packed: Path
) -> None:
    made = on_gce(of_page("flex-start", "FLEX_START"), gce, monkeypatch, packed)
    assert made["h100-flex"]["networkInterfaces"][0]["accessConfigs"]


# AWS: the same on an EC2 of this process, with subnets, groups and images of its own for those of the pages.


@pytest.fixture(scope="module")
def ec2() -> Iterator[EC2]:
    with aws_provider.ec2_in_process() as region:
        iam = boto3.client("iam")
        for name in ("ray-autoscaler-v1", "ray-head-private"):
            iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")
            iam.create_instance_profile(InstanceProfileName=name)
            iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
        yield region


def on_ec2(block: Block, ec2: EC2, monkeypatch: pytest.MonkeyPatch, packed: Path) -> tuple[dict[str, Any], Any]:
    """The file as `ray up` resolves it, and its provider."""
    monkeypatch.setattr(cluster_config, "_bundle", lambda *_: packed)
    ec2.reset()
    ec2.reserve(*RESERVATIONS)
    client = boto3.client("ec2", region_name=aws_provider.REGION)
    group = client.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    text = block.body.replace("sg-0123456789abcdef0", group).replace("ami-0123456789abcdef0", X86)
    text = text.replace("subnet-0123456789abcdef0", ec2.subnets[aws_provider.A])
    if not client.describe_placement_groups(Filters=[{"Name": "group-name", "Values": ["training"]}])[
        "PlacementGroups"
    ]:
        client.create_placement_group(GroupName="training", Strategy="cluster")
    config = {**NEEDED, **yaml.safe_load(text)}
    for node_type in config["available_node_types"].values():
        node_type["node_config"].setdefault("ImageId", X86)
    ready = resolved(config)
    return ready, aws_provider.provider_of(ready["cluster_name"], **ready["provider"])


def bought(provider: dict[str, Any], name: str, node_config: dict[str, Any]) -> dict[str, Any]:
    """A node_config as its first capacity type buys it."""
    order = capacity_orders(provider).get(name)
    return with_capacity(name, node_config, order[0]) if order else node_config


@pytest.mark.parametrize("block", AWS, ids=str)
def test_ec2_is_asked_for_what_the_file_says(
    block: Block, ec2: EC2, monkeypatch: pytest.MonkeyPatch, packed: Path, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pip.conf").touch()
    ready, provider = on_ec2(block, ec2, monkeypatch, packed)
    for name, node_type in ready["available_node_types"].items():
        if name == "head":
            continue
        ec2.calls.clear()
        provider.create_node(node_type["node_config"], aws_provider.tags(name), 1)
        # The last: a group of reservations is tried in each zone.
        *_, request = [request for call, request in ec2.calls if call == "RunInstances"]
        body = json.dumps(request["body"])
        for key in ("CapacityReservationSpecification", "InstanceMarketOptions", "Placement", "NetworkInterface"):
            written = any(one.startswith(key) for one in bought(ready["provider"], name, node_type["node_config"]))
            assert (f'"{key}.' in body) == written, (name, key, body)


def test_a_sold_out_zone_is_asked_once_whatever_the_number_of_interfaces(
    ec2: EC2, monkeypatch: pytest.MonkeyPatch, packed: Path
) -> None:
    ready, provider = on_ec2(of_page("training-networks", "Placement"), ec2, monkeypatch, packed)
    ec2.sold_out("p4d.24xlarge")
    with pytest.raises(Exception, match="InsufficientInstanceCapacity"):
        provider.create_node(ready["available_node_types"]["a100"]["node_config"], aws_provider.tags("a100"), 1)
    assert ec2.count("RunInstances") == 1


def test_ssh_goes_over_the_bastion_to_the_private_address(
    ec2: EC2, monkeypatch: pytest.MonkeyPatch, packed: Path
) -> None:
    ready, provider = on_ec2(of_page("private-network", "IamInstanceProfile"), ec2, monkeypatch, packed)
    provider.create_node(ready["available_node_types"]["a10g"]["node_config"], aws_provider.tags("a10g"), 1)
    (node,) = provider.non_terminated_nodes({})
    ssh = Ssh()
    use_internal_ips = ready["provider"]["use_internal_ips"]
    runner = provider.get_command_runner("", node, ready["auth"], ready["cluster_name"], ssh, use_internal_ips)
    runner.run("uptime")
    assert "ProxyCommand=ssh -W %h:%p ec2-user@bastion.example.com" in ssh.words
    assert f"ubuntu@{ec2.machines()[node].private_ip}" in ssh.words


def test_the_services_that_are_called_are_those_of_the_page(
    ec2: EC2, monkeypatch: pytest.MonkeyPatch, packed: Path
) -> None:
    from botocore.client import BaseClient

    called: set[str] = set()
    make = BaseClient._make_request

    def noted(self: Any, *call: Any) -> Any:
        called.add(self.meta.service_model.service_name)
        return make(self, *call)

    monkeypatch.setattr(BaseClient, "_make_request", noted)
    ready, provider = on_ec2(of_page("private-network", "IamInstanceProfile"), ec2, monkeypatch, packed)
    at_ray_up = set(called)
    called.clear()
    provider.create_node(ready["available_node_types"]["a10g"]["node_config"], aws_provider.tags("a10g"), 1)
    provider.terminate_nodes(provider.non_terminated_nodes({}))
    assert called == {"ec2"}, "the head calls nothing else"
    assert at_ray_up == {"ec2"}, "and your machine, where the head has a role and each node type an image"


def test_the_commands_of_the_page_are_those_that_the_fill_writes() -> None:
    from accel_scaling.fill.defaults import with_keys_needed_by_ray

    text = (ROOT / "docs" / "without-internet.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| (?:head: )?`(.+?)`", text, re.MULTILINE)[:3]
    config = with_keys_needed_by_ray(copy.deepcopy(yaml.safe_load(AWS[0].body)))
    commands = [*config["setup_commands"][-2:], *config["head_setup_commands"]]
    for beginning, command in zip(shown, commands, strict=True):
        assert command.startswith(beginning.replace("\\|", "|").split(" ||")[0].strip()), command


def test_the_policy_of_the_page_about_loosening_is_taken() -> None:
    (block,) = [one for one in BLOCKS if one.document.stem == "loosen-the-check" and one.language == "yaml"]
    config = {**NEEDED, "cluster_name": "loose", **yaml.safe_load(block.body), "head_node_type": "head"}
    names = ("head", *config["provider"]["confirmation"]["node_types"])
    config["available_node_types"] = {name: {"node_config": {"InstanceType": "g5.xlarge"}} for name in names}
    assert (of_fill(config), of_plan(config), of_ray_up(config)) == (None, None, None)
