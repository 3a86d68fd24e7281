"""boto3 and ssh on a local EC2, for the tests of its hosts."""

from __future__ import annotations

import time
from pathlib import Path

import boto3
import pytest

from accel_scaling.testing.hosts.settings import HostKind, Latencies
from tests.support.needs import NEEDS_ISOLATED_HOSTS

FAST = Latencies(boot_s=0.1, stop_s=0.1, terminate_s=0.1)
SSH_OPTIONS = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ConnectTimeout=3")
SSH = tuple(word for option in SSH_OPTIONS for word in ("-o", option))
REPOSITORY = Path(__file__).parents[2]

isolated = pytest.param(HostKind.ISOLATED, marks=[pytest.mark.root, NEEDS_ISOLATED_HOSTS])


class Client:
    """boto3 and ssh, as a node provider uses them."""

    def __init__(self, ec2):
        self.ec2 = ec2
        named = {"region_name": "us-west-2", "aws_access_key_id": "x", "aws_secret_access_key": "x"}
        self.api = boto3.client("ec2", endpoint_url=ec2.endpoint_url, **named)
        self.key = ec2.directory / "laptop" / "key.pem"
        self.key.write_text(self.api.create_key_pair(KeyName="key")["KeyMaterial"])
        self.key.chmod(0o600)
        self.subnet = self.api.describe_subnets()["Subnets"][0]["SubnetId"]

    def launch(self, instance_type, least=1, most=1):
        asked = {"ImageId": "ami-0a2b85e15b7c0ac34", "KeyName": "key", "SubnetId": self.subnet}
        reply = self.api.run_instances(InstanceType=instance_type, MinCount=least, MaxCount=most, **asked)
        return [one["InstanceId"] for one in reply["Instances"]]

    def wait(self, ids, state):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            found = self.api.describe_instances(InstanceIds=ids)["Reservations"]
            machines = [one for reservation in found for one in reservation["Instances"]]
            if all(one["State"]["Name"] == state for one in machines):
                return machines
            time.sleep(0.05)
        raise AssertionError(f"{ids} did not become {state}: {[one['State'] for one in machines]}")

    def up(self, instance_type):
        (machine,) = self.wait(self.launch(instance_type), "running")
        return machine["InstanceId"], machine["PrivateIpAddress"]

    def end(self, *ids):
        self.api.terminate_instances(InstanceIds=list(ids))
        self.wait(list(ids), "terminated")

    def ssh(self, address, command):
        argv = ["ssh", "-i", self.key, *SSH, f"ubuntu@{address}", command]
        return self.ec2.run(argv, capture_output=True, timeout=60)


NVML = (
    'python -c "from ray._private.accelerators import NvidiaGPUAcceleratorManager as m;'
    'print(m.get_current_node_num_accelerators(), m.get_current_node_accelerator_type())"'
)


def sleepers(seconds):
    lines = [content(path) for path in Path("/proc").glob("[0-9]*/cmdline")]
    return [line for line in lines if line == b"sleep\0" + seconds.encode() + b"\0"]


def content(path):
    try:
        return path.read_bytes()
    except OSError:  # the process has ended since
        return b""


def until(done, seconds=20):
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it is still there"
        time.sleep(0.1)
