"""What the default images rely on in Ray's AWS provider."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import yaml

from accel_scaling import _ray
from tests._ray.test_contract import complete


def test_rays_clients_of_other_services_are_cached_by_region_and_credentials() -> None:
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
    client = _ray.aws_client("ssm", "eu-west-1", keys)
    assert (client.meta.service_model.service_name, client.meta.region_name) == ("ssm", "eu-west-1")
    assert _ray.aws_client("ssm", "eu-west-1", keys) is client


def test_ray_puts_its_own_image_where_there_is_none_and_for_latest_dlami_only() -> None:
    from ray.autoscaler._private.aws.config import DEFAULT_AMI, _check_ami

    images = {
        "none": {},
        "dlami": {"ImageId": "latest_dlami"},
        "ssm": {"ImageId": "resolve:ssm:/x"},
        "id": {"ImageId": "ami-1"},
    }
    config: dict[str, Any] = {
        "provider": {"region": "us-west-2"},
        "available_node_types": {name: {"node_config": dict(one)} for name, one in images.items()},
    }
    _check_ami(config)
    made = {name: one["node_config"]["ImageId"] for name, one in config["available_node_types"].items()}
    assert made == {
        "none": DEFAULT_AMI["us-west-2"],
        "dlami": DEFAULT_AMI["us-west-2"],
        "ssm": "resolve:ssm:/x",
        "id": "ami-1",
    }


def test_ray_merges_a_node_types_tags_with_its_own() -> None:
    from ray.autoscaler.tags import TAG_RAY_CLUSTER_NAME

    ours = [{"ResourceType": "instance", "Tags": [{"Key": "k", "Value": "v"}]}]
    made = [{"ResourceType": "instance", "Tags": [{"Key": TAG_RAY_CLUSTER_NAME, "Value": "c"}]}]
    _ray.aws_node_provider()._merge_tag_specs(made, ours)
    assert made == [
        {"ResourceType": "instance", "Tags": [{"Key": TAG_RAY_CLUSTER_NAME, "Value": "c"}, *ours[0]["Tags"]]}
    ]
    assert _ray.cluster_name_tag() == TAG_RAY_CLUSTER_NAME


def test_rays_launch_hash_follows_the_image_so_a_newer_one_would_replace_the_head() -> None:
    from ray.autoscaler._private.util import hash_launch_conf

    old, new = (hash_launch_conf({"ImageId": image}, {}) for image in ("ami-1", "ami-2"))
    assert old != new


def test_rays_cloudwatch_check_takes_the_image_for_an_id() -> None:
    asked: list[Any] = []
    client = SimpleNamespace(describe_images=lambda ImageIds: asked.append(ImageIds) or {"Images": [{}]})  # noqa: N803
    provider = SimpleNamespace(ec2=SimpleNamespace(meta=SimpleNamespace(client=client)))
    _ray.aws_node_provider()._check_ami_cwa_installation(provider, {"ImageId": "ami-1"})
    assert asked == [["ami-1"]]


class StoppedError(Exception):
    """Enough is seen."""


class Asking:
    """A provider that notes how a command is treated, and goes no further."""

    said: ClassVar[list[tuple[bool, ...]]] = []

    @staticmethod
    def fillout_available_node_types_resources(config: dict[str, Any]) -> dict[str, Any]:
        return config

    @staticmethod
    def bootstrap_config(config: dict[str, Any]) -> dict[str, Any]:
        Asking.said.append(
            (_ray.reads_only(), _ray.launched_by_ray_up(), _ray.may_launch_head(), _ray.leaves_ray_running())
        )
        raise StoppedError


UP = {"override_min_workers": None, "override_max_workers": None, "yes": True}


@pytest.mark.parametrize(
    ("command", "options", "reads"),
    [
        ("create_or_update_cluster", UP, False),
        ("create_or_update_cluster", {**UP, "no_restart": True}, False),
        ("teardown_cluster", {"yes": True, "workers_only": False, "keep_min_workers": False}, True),
        ("exec_cluster", {"cmd": "true"}, True),
        ("exec_cluster", {"cmd": "true", "start": True}, False),
    ],
)
def test_a_command_that_launches_nothing_is_told_from_one_that_does(
    command: str, options: dict[str, Any], reads: bool, tmp_path: Path
) -> None:
    from ray.autoscaler._private import commands

    config = complete()
    config["provider"]["module"] = f"{__name__}.Asking"
    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump(config))
    run = getattr(commands, command)
    wanted = inspect.signature(run).parameters
    rest = {"override_cluster_name": None, "no_restart": False, "restart_only": False, "no_config_cache": True}
    with pytest.raises(StoppedError):
        run(str(path), **{name: value for name, value in {**rest, **options}.items() if name in wanted})
    said, by_ray_up, launches, leaves = Asking.said.pop()
    assert said is reads, "Ray resolves configs elsewhere: _ray.reads_only is wrong"
    up = command == "create_or_update_cluster"
    assert by_ray_up is up, "Ray resolves configs elsewhere: _ray.launched_by_ray_up is wrong"
    assert launches is not reads, "Ray resolves configs elsewhere: _ray.may_launch_head is wrong"
    no_restart = options.get("no_restart", False)
    assert leaves is no_restart, "`ray up --no-restart` is called otherwise: _ray.leaves_ray_running is wrong"
