"""The local Compute Engine's hosts: what a machine and each host of a slice is, in both kinds, and what is left."""

from __future__ import annotations

import shlex
import socket
import time
from pathlib import Path

import pytest

from accel_scaling.providers.gcp.local_cloud import LocalGCE
from accel_scaling.testing import Fault
from accel_scaling.testing.gce.fault_injection import CallFault, FaultInjection
from accel_scaling.testing.hosts.events import EventKind
from accel_scaling.testing.hosts.settings import HostKind, Latencies
from tests.support.gce_client import GPU, PARENT, PROJECT, Client
from tests.support.local_ec2 import NVML, SSH, isolated, sleepers, until

pytestmark = pytest.mark.slow

FAST = Latencies(boot_s=0.1, stop_s=0.1, terminate_s=0.1)
COUNTED = (
    "from ray._private.accelerators import TPUAcceleratorManager as m; print(m.get_current_node_num_accelerators())"
)
SPOT = {**GPU, "provisioningModel": "SPOT"}


class Cloud:
    """Google's client and ssh, as a node provider uses them."""

    def __init__(self, local: LocalGCE) -> None:
        self.local, self.google = local, Client(local.endpoint_url)
        key = local.directory / "laptop" / "key"
        local.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)])
        self.key, self.public = key, key.with_name("key.pub").read_text().strip()
        project = self.google.compute.projects()
        metadata = project.get(project=PROJECT).execute()["commonInstanceMetadata"]
        metadata["items"] = [{"key": "ssh-keys", "value": f"ubuntu:{self.public}"}]
        project.setCommonInstanceMetadata(project=PROJECT, body=metadata).execute()

    def up(self, name, machine_type="n2-standard-2", **more):
        operation = self.google.wait(self.google.insert(name, machine_type, **more))
        assert "error" not in operation, operation["error"]  # why it did not boot
        machine = self.google.get(name)
        assert machine["status"] == "RUNNING"
        return machine["networkInterfaces"][0]["networkIP"]

    def slice(self, name, kind):
        operation = self.google.slice(name, kind)
        until(lambda: self.google.slice_operation(operation).get("done"))
        ended = self.google.slice_operation(operation)
        assert "error" not in ended, ended["error"]
        assert self.node(name)["state"] == "READY"
        return [one["ipAddress"] for one in self.node(name)["networkEndpoints"]]

    def node(self, name):
        return self.google.nodes.get(name=f"{PARENT}/nodes/{name}").execute()

    def names(self):
        return {one["name"] for one in self.google.list().get("items", [])}

    def ssh(self, address, command):
        done = self.local.run(
            ["ssh", "-i", self.key, *SSH, f"ubuntu@{address}", command], capture_output=True, timeout=60
        )
        return done.stdout.strip() if done.returncode == 0 else f"exit {done.returncode}: {done.stderr}"


@pytest.fixture(name="cloud", params=[HostKind.PROCESSES, isolated], scope="module")
def cloud_fixture(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gce")
    with LocalGCE(folder, kind=request.param, latencies=FAST) as local:
        yield Cloud(local)


def asked(path):
    url = f"http://metadata.google.internal/computeMetadata/v1/{path}"
    code = f"import requests; print(requests.get({url!r}, headers={{'Metadata-Flavor': 'Google'}}).text)"
    return "python3 -c " + shlex.quote(code)


def test_a_machine_is_a_host_with_its_gpus_its_name_and_its_own_metadata(cloud):
    guests = [{"acceleratorType": "x/nvidia-tesla-t4", "acceleratorCount": 2}]
    l4 = cloud.up("l4", "g2-standard-4", scheduling=GPU)
    t4 = cloud.up("t4", "n1-standard-8", guestAccelerators=guests, scheduling=GPU)
    assert cloud.ssh(l4, NVML) == "1 L4"
    assert cloud.ssh(t4, NVML) == "2 T4"
    assert cloud.ssh(t4, asked("instance/name")) == "t4"
    assert cloud.ssh(l4, asked("instance/machine-type")).endswith("/g2-standard-4")
    if cloud.local.kind is HostKind.ISOLATED:
        assert cloud.ssh(l4, "hostname") == "l4"
    # A browser's request has no such header, and gets nothing.
    url = "http://metadata.google.internal/computeMetadata/v1/instance/name"
    bare = f"import requests; print(requests.get({url!r}).status_code)"
    assert cloud.ssh(l4, "python3 -c " + shlex.quote(bare)) == "403"


def test_a_slice_is_as_many_hosts_each_with_its_chips_and_its_number(cloud):
    from_ray = (
        "from ray._private.accelerators import TPUAcceleratorManager as m; "
        "print(m.get_current_node_tpu_pod_type(), m.get_current_node_tpu_worker_id(), "
        "m.get_current_node_tpu_topology(), m.get_current_node_tpu_name())"
    )
    for name, kind, topology in (("pod", "v4-16", "2x2x2"), ("lite", "v5litepod-16", "4x4")):
        addresses = cloud.slice(name, kind)
        seen = [cloud.ssh(address, "python3 -c " + shlex.quote(from_ray)) for address in addresses]
        assert seen == [f"{kind} {number} {topology} {name}" for number in range(len(addresses))]
        if cloud.local.kind is HostKind.ISOLATED:  # Ray looks into /dev itself, which plain processes share
            chips = [cloud.ssh(address, "python3 -c " + shlex.quote(COUNTED)) for address in addresses]
            assert chips == ["4"] * len(addresses)
        cloud.google.nodes.delete(name=f"{PARENT}/nodes/{name}").execute()
        until(lambda: "nodes" not in cloud.google.nodes.list(parent=PARENT).execute())
        assert cloud.ssh(addresses[0], "true").startswith("exit 255")


def test_a_deleted_or_preempted_machine_loses_its_power_and_its_processes(cloud):
    for name, end in (("gone", cloud.google.delete), ("taken", cloud.local.preempt)):
        scheduling = {**SPOT, "instanceTerminationAction": "DELETE"}
        address = cloud.up(name, "a2-highgpu-1g", scheduling=scheduling)
        seconds = f"86{time.monotonic_ns() % 10**6}"
        cloud.ssh(address, f"nohup sleep {seconds} >/dev/null 2>&1 &")
        until(lambda wanted=seconds: sleepers(wanted))
        end(name)
        until(lambda one=name: one not in cloud.names())
        until(lambda wanted=seconds: not sleepers(wanted))
        assert cloud.ssh(address, "true").startswith("exit 255")
        ended = [event.instance_id for event in cloud.local.events() if event.kind is EventKind.TERMINATED]
        assert name in ended


def test_faults_and_a_fault_injection_reach_the_cloud(cloud):
    cloud.local.set_faults("no-capacity:c3-standard-4@us-central1-a", Fault.fewer("g2-standard-48", 3))
    until(lambda: "error" in cloud.google.wait(cloud.google.insert(f"dry{time.monotonic_ns()}", "c3-standard-4")))
    address = cloud.up("lying", "g2-standard-48", scheduling=GPU)
    assert cloud.ssh(address, NVML) == "3 L4"
    cloud.local.inject(FaultInjection(call_faults=[CallFault("compute.instances.list", times=1, status=429)]))
    until(lambda: _fails(cloud.google.list))
    cloud.local.inject(FaultInjection())
    cloud.google.delete("lying")


def _fails(call):
    from googleapiclient.errors import HttpError

    try:
        call()
    except HttpError:
        return True
    return False


def test_a_machine_that_is_deleted_before_its_host_is_up_never_gets_one(tmp_path):
    with LocalGCE(tmp_path, kind=HostKind.PROCESSES, latencies=Latencies(boot_s=60.0)) as local:
        google = Client(local.endpoint_url)
        google.insert("a")
        until(lambda: google.get("a")["status"] == "STAGING")
        google.delete("a")
        until(lambda: "items" not in google.list())
        assert [event.kind for event in local.events() if event.instance_id] in ([EventKind.LAUNCHED], [])


def test_two_local_clouds_of_plain_processes_have_no_address_in_common(tmp_path):
    first, second = (LocalGCE(tmp_path / name, kind=HostKind.PROCESSES, latencies=FAST) for name in ("a", "b"))
    with first, second:
        assert first.settings.network != second.settings.network
        for local in (first, second):
            assert Cloud(local).up("same", "g2-standard-4", scheduling=GPU).startswith(f"{local.settings.network}.")


def test_a_host_that_does_not_boot_says_why_in_its_operation_and_in_the_events(tmp_path):
    with LocalGCE(tmp_path, kind=HostKind.PROCESSES, latencies=FAST) as local:
        google, port = Client(local.endpoint_url), local.settings.metadata_port
        with socket.create_server((f"{local.settings.network}.0.2", port)):
            operation = google.wait(google.insert("a"))
        (error,) = operation["error"]["errors"]
        why = f"no metadata server at {local.settings.network}.0.2:{port}: Address already in use"
        assert error == {"code": "INTERNAL_ERROR", "message": why}
        assert [event.error for event in local.events() if event.kind is EventKind.BOOT_FAILED] == [why]


def test_nothing_answers_and_nothing_is_left_when_it_is_over(tmp_path):
    with LocalGCE(tmp_path, kind=HostKind.PROCESSES, latencies=FAST) as local:
        google = Client(local.endpoint_url)
        google.wait(google.insert("a"))
        scratch, port = local.settings.scratch, int(local.endpoint_url.rpartition(":")[2])
        address = google.get("a")["networkInterfaces"][0]["networkIP"]
        with socket.create_connection((address, local.settings.metadata_port), timeout=5):
            pass
    assert not Path(scratch).exists()
    for at in (("127.0.0.1", port), (address, local.settings.metadata_port)):
        with pytest.raises(OSError):  # noqa: PT011 - refused, whatever the system calls it
            socket.create_connection(at, timeout=1)
