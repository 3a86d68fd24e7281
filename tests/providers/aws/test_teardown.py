"""`ray down` on EC2 ends what it can, whatever is wrong with the cluster file, and says what it could not."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
import click
import pytest
import yaml

from accel_scaling import timeouts
from accel_scaling.providers.base import teardown
from tests.support.aws_account import use_account

CLUSTER = "mine"
ROOT = Path(__file__).resolve().parents[3]
CONFIG: dict[str, Any] = {
    "cluster_name": CLUSTER,
    "max_workers": 4,
    "provider": {
        "type": "external",
        "module": "accel_scaling.providers.aws.AWSAcceleratorNodeProvider",
        "region": "us-west-2",
        "cache_stopped_nodes": False,
    },
    "auth": {"ssh_user": "ubuntu"},
    "head_node_type": "head",
    "available_node_types": {
        "head": {"node_config": {"InstanceType": "m5.large"}},
        "t4": {"node_config": {"InstanceType": "g4dn.xlarge"}},
    },
    **{key: [] for key in ("setup_commands", "head_setup_commands", "worker_setup_commands")},
}


@pytest.fixture(autouse=True)
def _account(monkeypatch: pytest.MonkeyPatch, moto_url: str, tmp_path: Path) -> Iterator[None]:
    """moto as this process's account; ssh to its machines never answers, and is waited for a moment only."""
    from ray.autoscaler._private import commands, providers

    (tmp_path / "bin").mkdir()
    ssh = tmp_path / "bin" / "ssh"
    ssh.write_text("#!/bin/sh\nexec sleep 600\n")
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    use_account(monkeypatch, moto_url)
    monkeypatch.setattr(commands, "POLL_INTERVAL", 0.01)
    monkeypatch.setattr(timeouts, "RAY_STOP_S", 0.2)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    providers._clear_provider_cache()
    yield
    providers._clear_provider_cache()
    if left := machines("running", "stopped"):
        ec2().terminate_instances(InstanceIds=left)


def ec2() -> Any:
    return boto3.client("ec2", "us-west-2")


def launched(kind: str, count: int = 1, **more: Any) -> list[str]:
    """Machines of the cluster, as a `ray up` before has made them."""
    tags = {"ray-cluster-name": CLUSTER, "ray-node-type": kind, "ray-user-node-type": "t4"}
    tags["ray-node-status"] = "up-to-date"
    answer = ec2().run_instances(
        ImageId="ami-12c6146b",
        InstanceType="g4dn.xlarge",
        MinCount=count,
        MaxCount=count,
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
        ],
        **more,
    )
    return [one["InstanceId"] for one in answer["Instances"]]


def machines(*states: str) -> list[str]:
    filters = [
        {"Name": "tag:ray-cluster-name", "Values": [CLUSTER]},
        {"Name": "instance-state-name", "Values": list(states)},
    ]
    answer = ec2().describe_instances(Filters=filters)
    return [one["InstanceId"] for group in answer["Reservations"] for one in group["Instances"]]


def down(tmp_path: Path, change: Callable[[dict[str, Any]], Any] = lambda _: None, **options: Any) -> None:
    """Run `ray down -y` with the file changed."""
    from ray.autoscaler._private import commands

    config = copy.deepcopy(CONFIG)
    change(config)
    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump(config))
    given = {"workers_only": False, "override_cluster_name": None, "keep_min_workers": False, **options}
    commands.teardown_cluster(str(path), yes=True, **given)
    assert not list(tmp_path.glob("ray-config-*")), "a cached copy of a config that was only read is left"


def t4(config: dict[str, Any]) -> dict[str, Any]:
    part: dict[str, Any] = config["available_node_types"]["t4"]
    return part


@pytest.mark.parametrize(
    "change",
    [
        lambda config: None,
        lambda config: config["provider"].update(catalog="gone.csv"),
        lambda config: config["provider"].update(catalog={"a": 1}),
        lambda config: config["provider"].update(quarantine={"strikes": "many"}),
        lambda config: config["provider"].update(quarentine={}, confirmation={"on_mismatch": "shrug"}),
        lambda config: config["provider"].update(availability_zone=["us-west-2a"]),
        lambda config: t4(config)["node_config"].update(InstanceType="g4dn.xlrge"),
        lambda config: t4(config).update(node_config={}),
        lambda config: t4(config)["node_config"].update(ImageId={"a": "b"}, MaxPrice=1),
        lambda config: t4(config).update(resources={"GPU": -1}, labels=5),
        lambda config: config.update(head_node_type="nobody"),
        lambda config: config["auth"].update(ssh_private_key="~/gone.pem"),
        lambda config: config.update(file_mounts=[]),
    ],
)
def test_ray_down_ends_all_whatever_is_wrong_with_the_file(tmp_path: Path, change: Callable[..., Any]) -> None:
    launched("head")
    launched("worker", 2)
    down(tmp_path, change)
    assert machines("pending", "running", "stopped") == []


def test_a_broken_catalog_of_the_home_keeps_no_machine(tmp_path: Path) -> None:
    (Path.home() / ".accel_scaling").mkdir()
    (Path.home() / ".accel_scaling" / "aws_mine.csv").write_text("this,is\nno,catalog,at,all\n")
    launched("head")
    down(tmp_path)
    assert machines("pending", "running") == []


def test_stopped_machines_end_too_unless_the_file_keeps_them(tmp_path: Path) -> None:
    launched("head")
    stopped = launched("worker", 2)
    ec2().stop_instances(InstanceIds=stopped)
    down(tmp_path, lambda config: config["provider"].update(cache_stopped_nodes=True))
    assert len(machines("stopped")) == 3
    down(tmp_path)
    assert machines("stopped", "running") == []


def test_ray_down_names_the_machines_that_it_ends_and_those_that_are_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (head,) = launched("head")
    protected, other = launched("worker", 2)
    ec2().modify_instance_attribute(InstanceId=protected, DisableApiTermination={"Value": True})
    with pytest.raises(click.ClickException):
        down(tmp_path)
    ec2().modify_instance_attribute(InstanceId=protected, DisableApiTermination={"Value": False})
    said = capsys.readouterr().out
    assert "Running `ray stop` before the machines end, for at most 0.2 s on each" in said
    # Off a terminal Ray's logger writes time and place before ` -- `.
    first, left = [line.partition(" -- ")[2] for line in said.splitlines() if protected in line]
    assert first.startswith("Terminating 3 machines: t4 ")
    assert {head, other} <= set(first.replace(",", " ").split())
    assert left == f"1 of 3 machines left: t4 {protected}"


def test_workers_alone_end_where_only_they_are_meant(tmp_path: Path) -> None:
    (head,) = launched("head")
    launched("worker", 2)
    down(tmp_path, workers_only=True)
    assert machines("running") == [head]


def test_a_machine_that_cannot_be_ended_keeps_no_other_one_and_is_named(tmp_path: Path) -> None:
    launched("head")
    protected, *_ = launched("worker", 5)
    ec2().modify_instance_attribute(InstanceId=protected, DisableApiTermination={"Value": True})
    with pytest.raises(click.ClickException) as error:
        down(tmp_path)
    assert machines("running") == [protected]
    ec2().modify_instance_attribute(InstanceId=protected, DisableApiTermination={"Value": False})
    said = error.value.message
    assert said.startswith(
        f"some machines are not terminated, and you still pay for them: {protected} could not be ended: AWS"
    )
    assert "\n" not in said


def test_an_endpoint_that_never_answers_is_one_sentence_within_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silent_url: str
) -> None:
    began = time.monotonic()
    with monkeypatch.context() as silent:
        silent.setattr(timeouts, "READ_ANSWER_S", 0.3)
        silent.setenv("AWS_ENDPOINT_URL", silent_url)
        with pytest.raises(click.ClickException, match=r"EC2 did not answer within 0\.3 s; is the network up"):
            down(tmp_path)
    assert time.monotonic() - began < 10


def test_no_network_is_said_with_botos_own_error_within_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray's own clients would try 13 times, with waits that double."""
    began = time.monotonic()
    with monkeypatch.context() as away:
        away.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        with pytest.raises(click.ClickException) as error:
            down(tmp_path)
    assert error.value.message.startswith("AWS cannot be reached: Could not connect to the endpoint URL")
    assert time.monotonic() - began < timeouts.READ_ANSWER_S


def test_a_region_that_is_missing_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match=r"provider\.region is missing"):
        down(tmp_path, lambda config: config["provider"].pop("region"))


@pytest.mark.parametrize("command", ["get_head_node_ip", "get_worker_node_ips"])
def test_the_addresses_of_a_cluster_are_read_in_spite_of_a_broken_catalog_and_policy(
    tmp_path: Path, command: str
) -> None:
    from ray.autoscaler._private import commands

    launched("head")
    launched("worker")
    config = copy.deepcopy(CONFIG)
    config["provider"] |= {"catalog": "gone.csv", "quarantine": {"strikes": "many"}}
    (tmp_path / "cluster.yaml").write_text(yaml.safe_dump(config))
    assert getattr(commands, command)(str(tmp_path / "cluster.yaml"))


def test_a_listing_that_aws_refuses_is_one_sentence_at_the_keyboard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ray.autoscaler._private import commands

    (tmp_path / "cluster.yaml").write_text(yaml.safe_dump(CONFIG))

    def refuse(*_: Any, **__: Any) -> Any:
        answer: Any = {"Error": {"Code": "ExpiredToken", "Message": "The token is expired"}}
        raise botocore.exceptions.ClientError(answer, "DescribeInstances")

    with monkeypatch.context() as account:
        account.setattr("botocore.client.BaseClient._make_api_call", refuse)
        with pytest.raises(click.ClickException) as error:
            commands.get_head_node_ip(str(tmp_path / "cluster.yaml"))
    assert error.value.message.startswith("AWS refused the credentials (ExpiredToken: The token is expired); they have")
    said = capsys.readouterr()
    assert "PANIC" not in said.out + said.err


def test_ray_exec_reaches_the_head_with_its_key_in_spite_of_a_broken_catalog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray.autoscaler._private import command_runner, commands

    ec2().create_key_pair(KeyName="ray-autoscaler_us-west-2")
    key = Path.home() / ".ssh" / "ray-autoscaler_us-west-2.pem"
    key.parent.mkdir()
    key.touch()
    launched("head", KeyName="ray-autoscaler_us-west-2")
    ran: list[list[str]] = []
    monkeypatch.setattr(command_runner, "run_cmd_redirected", lambda cmd, **_: ran.append(cmd))
    config = copy.deepcopy(CONFIG)
    config["provider"] |= {"catalog": "gone.csv"}
    (tmp_path / "cluster.yaml").write_text(yaml.safe_dump(config))
    commands.exec_cluster(str(tmp_path / "cluster.yaml"), cmd="true")
    ec2().delete_key_pair(KeyName="ray-autoscaler_us-west-2")
    assert ran[0][ran[0].index("-i") + 1] == str(key)


def test_ray_down_exits_with_1_and_names_what_is_left(tmp_path: Path, moto_url: str) -> None:
    launched("head")
    (protected,) = launched("worker")
    ec2().modify_instance_attribute(InstanceId=protected, DisableApiTermination={"Value": True})
    (tmp_path / "bin" / "ssh").write_text("#!/bin/sh\nexit 255\n")
    config = copy.deepcopy(CONFIG)
    config["provider"]["catalog"] = "gone.csv"
    (tmp_path / "cluster.yaml").write_text(yaml.safe_dump(config))
    ray = Path(sys.executable).with_name("ray")
    env = {**os.environ, "AWS_ENDPOINT_URL": moto_url, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [ray, "down", "-y", tmp_path / "cluster.yaml"], capture_output=True, text=True, env=env, check=False, cwd=ROOT
    )
    assert machines("running") == [protected]
    ec2().modify_instance_attribute(InstanceId=protected, DisableApiTermination={"Value": False})
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    said = done.stderr.strip().splitlines()[-1]
    assert said.startswith("Error: some machines are not terminated, and you still pay for them: ")
    assert protected in said


# --- the parts ---


def test_what_does_not_end_in_time_is_left_behind_and_errors_come_through() -> None:
    with pytest.raises(teardown.SilentError, match=r"it did not answer within 0\.05 s"):
        teardown.within(0.05, lambda: time.sleep(2), "it did not answer")
    with pytest.raises(ZeroDivisionError):
        teardown.within(5, lambda: 1 // 0, "it did not answer")
    assert teardown.within(5, lambda: None, "it did not answer") is None
