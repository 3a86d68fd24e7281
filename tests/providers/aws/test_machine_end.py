"""Why an EC2 instance ended, and what the provider makes of it: on moto, in this process."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from moto import mock_aws
from moto.ec2.models import ec2_backends
from moto.ec2.models.instances import Instance, StateReason

from accel_scaling.providers.aws import machine_end
from accel_scaling.providers.base.machine_end import EndedBy
from accel_scaling.quarantine.gate import Gate
from tests.support.aws_account import use_account
from tests.support.aws_provider import image_of_moto

REGION = "us-west-2"


@pytest.fixture(name="ec2")
def ec2_fixture(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with mock_aws():
        use_account(monkeypatch)
        yield boto3.client("ec2", region_name=REGION)


def instance(node_id: str) -> Instance:
    (backend,) = (account[REGION] for account in ec2_backends.values() if REGION in account)
    found: Instance = backend.get_instance(node_id)
    return found


def launched(ec2: Any, count: int = 1) -> list[str]:
    made = ec2.run_instances(ImageId=image_of_moto(), MinCount=count, MaxCount=count, InstanceType="g4dn.xlarge")
    return [one["InstanceId"] for one in made["Instances"]]


def ended(node_id: str, code: str, sentence: str, state: str = "terminated") -> None:
    """EC2 has ended an instance by itself."""
    one = instance(node_id)
    one._state.name, one._state.code = state, {"terminated": 48, "stopped": 80, "shutting-down": 32}[state]
    one.state_reason = StateReason(f"{code}: {sentence}" if code else "", code)


CLOUD, SPOT, USER = EndedBy.CLOUD, EndedBy.INTERRUPTION, EndedBy.USER
ROWS = [
    ("Client.InternalError", "Client error on launch", CLOUD, False),
    ("Client.VolumeLimitExceeded", "Volume limit exceeded", CLOUD, True),
    ("Client.InvalidSnapshot.NotFound", "The specified snapshot was not found", CLOUD, False),
    ("Server.InternalError", "Internal error on launch", CLOUD, False),
    ("Client.InstanceInitiatedShutdown", "Instance initiated shutdown", CLOUD, False),
    ("Server.InsufficientInstanceCapacity", "Insufficient capacity", CLOUD, True),
    ("Server.SpotInstanceTermination", "Spot instance termination", SPOT, False),
    ("Server.SpotInstanceShutdown", "Spot instance shutdown", SPOT, False),
    ("Client.UserInitiatedShutdown", "User initiated shutdown", USER, False),
    ("", "", USER, False),
]


def test_ec2s_own_word_tells_who_ended_an_instance(ec2: Any) -> None:
    (node,) = launched(ec2)  # one is enough: moto takes a second for a launch
    for (code, sentence, by, sold_out), state in itertools.product(ROWS, ("terminated", "stopped", "shutting-down")):
        ended(node, code, sentence, state)
        end = machine_end.ends_of(ec2, [node])[node]
        assert (end.by, end.sold_out) == (by, sold_out), code
        if code:
            assert (end.code, end.message) == (code, sentence)


def test_an_instance_that_lives_has_not_ended_and_one_that_ec2_does_not_know_is_gone(ec2: Any) -> None:
    (node,) = launched(ec2)
    unknown = "i-0123456789abcdef0"
    ends = machine_end.ends_of(ec2, [node, unknown])
    assert {name: end.by for name, end in ends.items()} == {unknown: EndedBy.UNKNOWN}


def test_an_instance_that_a_person_terminates_is_the_users(ec2: Any) -> None:
    (node,) = launched(ec2)
    ec2.terminate_instances(InstanceIds=[node])
    assert machine_end.ends_of(ec2, [node])[node].by is EndedBy.USER


# The provider.

NODE = {"InstanceType": "g4dn.xlarge", "KeyName": "k"}
TYPE = {"max_workers": 4, "node_config": {}}


class Head:
    """The provider in the autoscaler of a head."""

    def __init__(self, ec2: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, **provider: Any) -> None:
        monkeypatch.setattr(sys, "argv", ["/ray/autoscaler/v2/monitor.py"])
        from accel_scaling.providers.aws import AWSAcceleratorNodeProvider

        self.path = folder / "ray_bootstrap_config.yaml"
        types = {"t4": TYPE, "head": {"node_config": {}}}
        self.path.write_text(yaml.safe_dump({"max_workers": 9, "provider": {}, "available_node_types": types}))
        config = {"type": "external", "region": REGION, "cache_stopped_nodes": False, **provider}
        self.provider = AWSAcceleratorNodeProvider(config, "c")
        self.now_s = 1_000_000.0
        self.provider.gate = Gate(config, self.path, folder / "state" / "quarantine.json", lambda: self.now_s)
        (subnet, *_) = ec2.describe_subnets()["Subnets"]
        self.node_config = {**NODE, "ImageId": image_of_moto(), "SubnetIds": [subnet["SubnetId"]]}
        self.ec2 = ec2

    @property
    def most(self) -> int:
        return int(yaml.safe_load(self.path.read_text())["available_node_types"]["t4"]["max_workers"])

    def launch(self, node_type: str = "t4", kind: str = "worker") -> str:
        tags = {
            "ray-node-type": kind,
            "ray-user-node-type": node_type,
            "ray-launch-config": "x",
            "ray-node-name": "n",
            "ray-node-status": "uninitialized",
        }
        (node,) = self.provider.create_node(self.node_config, tags, 1)
        return str(node)

    def round(self) -> list[str]:
        self.now_s += 5
        nodes: list[str] = self.provider.non_terminated_nodes({})
        return nodes

    def state(self, node_id: str) -> str:
        return str(instance(node_id)._state.name)


@pytest.fixture(name="head")
def head_fixture(ec2: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Head:
    return Head(ec2, tmp_path, monkeypatch)


def test_machines_that_ec2_ends_right_after_their_launch_are_said_at_once_and_quarantine_their_type(
    head: Head, caplog: pytest.LogCaptureFixture
) -> None:
    head.provider.joined_nodes = list
    launches = 0
    for _ in range(20):
        if head.most:
            ended(head.launch(), "Client.InternalError", "Client error on launch")
            launches += 1
        head.round()
    assert launches == 2
    assert caplog.text.count("of type t4 failed: Client.InternalError: Client error on launch") == 2


def test_without_the_permission_to_describe_subnets_a_quarantine_holds_anyway(
    head: Head, monkeypatch: pytest.MonkeyPatch
) -> None:
    head.provider.joined_nodes = list
    monkeypatch.setattr(head.provider._zones, "_ask", lambda _: None)
    launches = 0
    for _ in range(10):
        if head.most:
            node = head.launch()
            launches += 1
            head.round()
            head.provider.refuse(node, "DriverMissing", "DriverMissing: none")
        head.round()
    assert launches <= 3


def test_a_failed_machine_is_terminated_where_idle_ones_are_stopped(
    ec2: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = Head(ec2, tmp_path, monkeypatch, cache_stopped_nodes=True)
    head.provider.joined_nodes = list
    failed, idle = head.launch(), head.launch()
    head.round()
    runner = head.provider.starts
    for _ in range(3):
        head.provider.set_node_tags(failed, {"ray-node-status": "waiting-for-ssh"})
        runner.reachable(failed)
        head.provider.set_node_tags(failed, {"ray-node-status": "update-failed"})
    head.provider.terminate_nodes([failed, idle])
    assert (head.state(failed), head.state(idle)) == ("terminated", "stopped")


def test_when_ec2_does_not_answer_a_refusal_is_counted_and_the_machine_ended_later(
    head: Head, monkeypatch: pytest.MonkeyPatch
) -> None:
    head.provider.joined_nodes = list
    node = head.launch()
    head.round()

    def throttled(**_: Any) -> None:
        raise RuntimeError("RequestLimitExceeded")

    with monkeypatch.context() as patch:
        patch.setattr(head.provider.ec2.meta.client, "terminate_instances", throttled)
        patch.setattr(head.provider.ec2.meta.client, "describe_instances", throttled)
        head.provider.refuse(node, "DriverMissing", "DriverMissing: none")
    assert head.state(node) == "running"
    head.round()
    assert head.state(node) == "terminated"
    assert dict(head.provider.gate._store.read().judged) == {node: "DriverMissing"}


def test_only_a_head_that_ec2_gave_to_this_process_is_terminated(
    ec2: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = Head(ec2, tmp_path, monkeypatch, cache_stopped_nodes=True)
    monkeypatch.setattr(sys, "argv", ["ray"])  # `ray up`
    head.provider.gate = Gate({}, None, tmp_path / "none.json")
    first = head.launch("head", "head")
    head.provider.non_terminated_nodes({"ray-node-type": "head"})
    again = Head(ec2, tmp_path, monkeypatch, cache_stopped_nodes=True).provider
    again.gate = head.provider.gate
    again.non_terminated_nodes({"ray-node-type": "head"})
    assert "existed before" in str(again.refuse(first, "DriverMissing", "DriverMissing: none"))
    assert head.state(first) == "running"
    ec2.stop_instances(InstanceIds=[first])  # `ray down` with cache_stopped_nodes
    assert head.launch("head", "head") == first, "started again"
    head.provider.created_here.discard(first)  # as in the new process of the next `ray up`
    head.provider.non_terminated_nodes({"ray-node-type": "head"})
    assert "existed before" in str(head.provider.refuse(first, "DriverMissing", "DriverMissing: none"))
    second = head.launch("head", "head")
    head.provider.non_terminated_nodes({"ray-node-type": "head"})
    assert head.provider.refuse(second, "DriverMissing", "DriverMissing: none") is True
    assert head.state(second) == "terminated"
