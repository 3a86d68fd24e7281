"""The AWS provider against the local EC2's API: launches, refusals, the config cache, and `ray up`'s bad input."""

from __future__ import annotations

import copy
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from accel_scaling.boot.start_prefix import has_boot_check
from accel_scaling.cluster.ray_requirement import with_version_of_this_machine
from accel_scaling.errors import UnknownInstanceTypeError
from accel_scaling.providers.aws.local_cloud import LocalEC2
from accel_scaling.testing import Fault
from accel_scaling.testing.hosts.events import EventKind
from tests.support.aws_account import use_account
from tests.support.resolved import resolved as resolve

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = yaml.safe_load((ROOT / "example_clusters" / "aws-gpu.yaml").read_text())


@pytest.fixture
def account(local_ec2: LocalEC2, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalEC2]:
    """The local EC2 as this process's AWS account, without faults; its machines are gone after the test."""
    use_account(monkeypatch, local_ec2.endpoint_url)
    local_ec2.set_faults()
    yield local_ec2
    if left := [node for machine in ("g4dn.xlarge", "g5.xlarge", "m5.large") for node in live(local_ec2, machine)]:
        client_of(local_ec2).terminate_instances(InstanceIds=left)


@pytest.fixture(name="resolved")
def resolved_fixture(account: LocalEC2) -> dict[str, Any]:
    """The example as `ray up` resolves it."""
    return resolve(EXAMPLE)


def provider_of(config: dict[str, Any]) -> Any:
    from ray.autoscaler._private.providers import _get_node_provider

    return _get_node_provider(config["provider"], config["cluster_name"], use_cache=False)


def tags(kind: str, node_type: str) -> dict[str, str]:
    return {
        "ray-node-type": kind,
        "ray-user-node-type": node_type,
        "ray-launch-config": "x",
        "ray-node-name": "n",
        "ray-node-status": "uninitialized",
    }


def launch(config: dict[str, Any], node_type: str, count: int, kind: str = "worker") -> dict[str, Any]:
    """Launch as both autoscalers do."""
    node_config = config["available_node_types"][node_type]["node_config"]
    made: dict[str, Any] = provider_of(config).create_node(node_config, tags(kind, node_type), count)
    return made


def client_of(account: LocalEC2) -> Any:
    import boto3

    return boto3.client("ec2", region_name="us-west-2", endpoint_url=account.endpoint_url)


def live(account: LocalEC2, machine: str) -> list[str]:
    filters = [
        {"Name": "instance-type", "Values": [machine]},
        {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]},
    ]
    answer = client_of(account).describe_instances(Filters=filters)
    return [one["InstanceId"] for group in answer["Reservations"] for one in group["Instances"]]


def test_a_resolved_config_has_promises_defaults_the_package_and_the_boot_check(resolved: dict[str, Any]) -> None:
    t4 = resolved["available_node_types"]["t4"]
    assert t4["resources"]["accelerator_type:T4"] == 1
    assert t4["node_config"]["SubnetIds"]
    (content,) = Path(resolved["file_mounts"]["~/.accel_scaling_bundle"]).iterdir()
    assert (content / "accel_scaling" / "providers" / "aws" / "provider.py").is_file()
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        starts = [command for command in resolved[key] if "ray start" in command]
        assert len(starts) == 1
        assert has_boot_check(starts[0])
        assert f"ACCEL_SCALING_BUNDLE=~/.accel_scaling_bundle/{content.name}; " in starts[0]


def test_set_up_commands_run_once_on_workers(resolved: dict[str, Any]) -> None:
    from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig

    resolved.pop("head_node")  # as Ray does when it writes the head's config
    on_the_head = AutoscalingConfig(resolved, skip_content_hash=True)
    written = with_version_of_this_machine(EXAMPLE)["setup_commands"]
    assert on_the_head.get_worker_setup_commands("t4") == written


def test_all_machines_that_were_asked_for_come(account: LocalEC2, resolved: dict[str, Any]) -> None:
    assert len(launch(resolved, "t4", 3)) == 3
    assert len(live(account, "g4dn.xlarge")) == 3


def test_a_short_launch_keeps_what_came_and_raises_awss_own_reason(account: LocalEC2, resolved: dict[str, Any]) -> None:
    from ray.autoscaler.node_launch_exception import NodeLaunchException

    account.set_faults(Fault.capacity("g4dn.xlarge", 2))
    with pytest.raises(NodeLaunchException) as error:
        launch(resolved, "t4", 4)
    assert error.value.category == "InsufficientInstanceCapacity"
    assert "2 of 4 x g4dn.xlarge launched and kept" in error.value.description
    assert "We currently do not have sufficient g4dn.xlarge capacity" in error.value.description
    assert len(live(account, "g4dn.xlarge")) == 2


def test_a_sold_out_type_raises_awss_own_reason(account: LocalEC2, resolved: dict[str, Any]) -> None:
    from ray.autoscaler.node_launch_exception import NodeLaunchException

    account.set_faults(Fault.no_capacity("g4dn.xlarge"))
    with pytest.raises(
        NodeLaunchException, match=r"We currently do not have sufficient g4dn\.xlarge capacity"
    ) as error:
        launch(resolved, "t4", 1)
    assert error.value.category == "InsufficientInstanceCapacity"


def test_a_head_that_cannot_be_launched_is_one_sentence(account: LocalEC2, resolved: dict[str, Any]) -> None:
    account.set_faults(Fault.no_capacity("m5.large"))
    with pytest.raises(click.ClickException) as error:
        launch(resolved, "head", 1, kind="head")
    assert error.value.message.startswith(
        "the head node (m5.large) could not be launched: InsufficientInstanceCapacity"
    )


def test_a_refused_machine_is_terminated_though_the_config_would_stop_it(
    account: LocalEC2, resolved: dict[str, Any]
) -> None:
    resolved["provider"]["cache_stopped_nodes"] = True  # Ray's default
    provider = provider_of(resolved)
    node_config = resolved["available_node_types"]["t4"]["node_config"]
    (node_id,) = provider.create_node(node_config, tags("worker", "t4"), 1)
    provider.non_terminated_nodes({})
    provider.refuse(node_id, "DriverMissing", "DriverMissing: no driver")
    assert live(account, "g4dn.xlarge") == []


def test_the_first_broken_machine_is_kept_for_inspection_where_the_file_says_so_until_ray_down(
    account: LocalEC2, resolved: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved["provider"]["confirmation"] = {"keep_for_inspection": True}
    path = tmp_path / "ray_bootstrap_config.yaml"
    path.write_text(yaml.safe_dump(resolved))
    with monkeypatch.context() as autoscaler:
        autoscaler.setattr(sys, "argv", ["monitor.py", f"--autoscaling-config={path}"])
        provider = provider_of(resolved)
        nodes = provider.create_node(resolved["available_node_types"]["t4"]["node_config"], tags("worker", "t4"), 2)
        provider.non_terminated_nodes({})
        for node_id in nodes:
            provider.refuse(node_id, "DriverMissing", "DriverMissing: no driver")
        assert provider.non_terminated_nodes({}) == [], "the autoscaler does not see it"
    (kept,) = live(account, "g4dn.xlarge")
    assert provider_of(resolved).non_terminated_nodes({}) == [kept], "`ray down` does"


def test_a_machine_whose_start_fails_without_a_verdict_is_a_strike_of_its_type_and_is_terminated_but_no_head_is(
    account: LocalEC2, resolved: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ray_bootstrap_config.yaml"
    path.write_text(yaml.safe_dump(resolved))
    monkeypatch.setattr(sys, "argv", ["monitor.py", f"--autoscaling-config={path}"])
    provider = provider_of(resolved)
    node_configs = {name: one["node_config"] for name, one in resolved["available_node_types"].items()}
    (head,) = provider.create_node(node_configs["head"], tags("head", "head"), 1)
    workers = provider.create_node(node_configs["t4"], tags("worker", "t4"), 2)
    provider.non_terminated_nodes({})
    for _ in range(3):  # so often v2 installs
        assert all(provider.refuse(node, "NoVerdict", "NoVerdict: nothing is known") for node in workers)
    assert not provider.refuse(head, "NoVerdict", "NoVerdict: nothing is known")
    assert (live(account, "g4dn.xlarge"), live(account, "m5.large")) == ([], [head])
    (left_alone,) = provider.gate._store.read().record("t4").quarantines
    assert (left_alone.reason, left_alone.times) == ("NoVerdict", 1), "two machines are two strikes, not six"


def test_a_changed_catalog_takes_effect_in_spite_of_rays_config_cache(
    account: LocalEC2, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray.autoscaler._private.commands import _bootstrap_config

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    row = "instance_type,vcpus,memory_mib,arch,accelerator,count\ng4dn.xlarge,{},16384,x86_64,T4,1\n"
    catalog = tmp_path / "aws-mine.csv"
    config = copy.deepcopy(EXAMPLE)
    config["provider"]["catalog"] = str(catalog)
    seen = []
    for vcpus in (4, 3):
        catalog.write_text(row.format(vcpus))
        resolved = _bootstrap_config(copy.deepcopy(config))  # with Ray's cache
        provider_of(resolved)  # every command makes the provider next
        seen.append(resolved["available_node_types"]["t4"]["resources"]["CPU"])
    assert seen == [4, 3]


def test_a_rehearsal_has_images_of_each_machines_architecture_in_place_of_the_users_own(account: LocalEC2) -> None:
    config = changed(machine="g5g.xlarge")
    for node_type in config["available_node_types"].values():
        node_type["node_config"]["ImageId"] = "ami-of-the-users-account"
    local, _ = LocalEC2.adapted(config, account.endpoint_url)
    images = {name: one["node_config"]["ImageId"] for name, one in local["available_node_types"].items()}
    assert images["t4"] != images["head"]
    made = resolve({**local, "auth": {"ssh_user": "ubuntu"}})  # `ray up` asks EC2 about them
    assert made["available_node_types"]["t4"]["node_config"]["ImageId"] == images["t4"]


def test_a_caller_of_the_fill_gets_the_error_itself() -> None:
    from accel_scaling.providers.aws.provider import AWSAcceleratorNodeProvider

    config = copy.deepcopy(EXAMPLE)
    config["available_node_types"]["t4"]["node_config"]["InstanceType"] = "g4dn.xlrge"
    with pytest.raises(UnknownInstanceTypeError):
        AWSAcceleratorNodeProvider.fillout_available_node_types_resources(config)


def ray_up(tmp_path: Path, config: dict[str, Any], *, env: dict[str, str]) -> tuple[int, str]:
    """Run `ray up` as a user does; return its exit code and the last line that it says."""
    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump(config))
    ray = Path(sys.executable).with_name("ray")
    done = subprocess.run(
        [ray, "up", "-y", "--no-config-cache", path], capture_output=True, text=True, env=env, check=False, cwd=ROOT
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done.returncode, done.stderr.strip().splitlines()[-1]


def user_environment(account: LocalEC2 | None = None) -> dict[str, str]:
    env = {
        "HOME": str(Path.home()),
        "PATH": "/usr/bin:/bin",
        "AWS_EC2_METADATA_DISABLED": "true",
        "PYTHONPATH": str(ROOT),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    if account is not None:
        env |= {"AWS_ENDPOINT_URL": account.endpoint_url, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    return env


def changed(**changes: Any) -> dict[str, Any]:
    """The example with the T4 node type's node_config or the provider changed."""
    config = copy.deepcopy(EXAMPLE)
    if "machine" in changes:
        config["available_node_types"]["t4"]["node_config"] = (
            {"InstanceType": changes["machine"]} if changes["machine"] else {}
        )
    config["provider"] |= changes.get("provider", {})
    return {**config, **changes.get("top", {})}


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (
            changed(machine="g4dn.xlrge"),
            "Error: available_node_types.t4: instance type 'g4dn.xlrge' of aws is not in the catalog",
        ),
        (changed(machine=None), "Error: available_node_types.t4.node_config.InstanceType is missing"),
        (changed(provider={"region": None}), "Error: provider.region is missing"),
        (changed(provider={"catalog": "nowhere.csv"}), "Error: nowhere.csv"),
        (changed(top={"head_node_type": "x"}), "Error: head_node_type is 'x'"),
        pytest.param(
            changed(),
            "Error: no AWS credentials (Unable to locate credentials); set AWS_PROFILE or",
            marks=pytest.mark.needs("rsync"),
        ),
    ],
)
def test_ray_up_stops_at_bad_input_with_one_sentence(tmp_path: Path, config: dict[str, Any], sentence: str) -> None:
    code, said = ray_up(tmp_path, config, env=user_environment())
    assert code == 1
    assert said.startswith(sentence)


@pytest.mark.needs("rsync")
def test_ray_up_stops_at_a_region_without_the_type(tmp_path: Path) -> None:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        env = user_environment() | {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
        }
        config = changed(machine="p4de.24xlarge", provider={"region": "eu-west-1"})
        code, said = ray_up(tmp_path, config, env=env)
    finally:
        server.stop()
    assert code == 1
    assert said.startswith("Error: available_node_types.t4: EC2 does not offer p4de.24xlarge in eu-west-1; the")


@pytest.mark.needs("rsync")
def test_ray_up_says_in_one_sentence_that_the_head_is_sold_out(account: LocalEC2, tmp_path: Path) -> None:
    account.set_faults(Fault.no_capacity("m5.large"))
    code, said = ray_up(tmp_path, EXAMPLE, env=user_environment(account))
    assert code == 1
    assert said.startswith("Error: the head node (m5.large) could not be launched: InsufficientInstanceCapacity")
    assert [event.kind for event in account.events()][-1] is EventKind.ASKED
