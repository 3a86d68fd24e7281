"""Faults between the launch of a machine and its join, as a node provider meets them on both local clouds."""

from __future__ import annotations

import functools
import itertools

import pytest

from accel_scaling.providers.aws.local_cloud import LocalEC2
from accel_scaling.providers.gcp.local_cloud import LocalGCE
from accel_scaling.testing import Fault
from accel_scaling.testing.hosts.events import EventKind
from accel_scaling.testing.hosts.settings import HostKind
from accel_scaling.testing.hosts.start_faults import FAILING_SETUP, SETUP_COMMAND
from tests.support import gce_client
from tests.support.local_ec2 import FAST, SSH, Client, isolated, until

pytestmark = pytest.mark.slow

KINDS = [HostKind.PROCESSES, isolated]


@pytest.fixture(name="ec2", params=KINDS, scope="module")
def ec2_fixture(request, tmp_path_factory):
    with LocalEC2(tmp_path_factory.mktemp("cloud"), kind=request.param, latencies=FAST) as ec2:
        yield Client(ec2)


@pytest.fixture(name="gce", params=KINDS, scope="module")
def gce_fixture(request, tmp_path_factory):
    with LocalGCE(tmp_path_factory.mktemp("cloud"), kind=request.param, latencies=FAST) as gce:
        yield gce, gce_client.Client(gce.endpoint_url)


def test_ec2_ends_a_machine_at_launch_and_says_why_in_its_state_reason(ec2):
    ec2.ec2.set_faults(Fault.ends_at_launch("g5.xlarge"))
    (machine,) = ec2.launch("g5.xlarge")
    (ended,) = ec2.wait([machine], "terminated")
    reason = {"Code": "Server.InternalError", "Message": "Client.InternalError: Client error on launch"}
    assert ended["StateReason"] == reason
    ec2.ec2.set_faults("ends-at-launch:g5.xlarge=Server.SpotInstanceTermination")
    (machine,) = ec2.launch("g5.xlarge")
    (ended,) = ec2.wait([machine], "terminated")
    assert ended["StateReason"]["Code"] == "Server.SpotInstanceTermination"
    kinds = [event.kind for event in ec2.ec2.events() if event.instance_id == machine]
    assert kinds == [EventKind.LAUNCHED, EventKind.TERMINATED]


def test_a_machine_without_ssh_runs_and_answers_nobody(ec2):
    ec2.ec2.set_faults(Fault.no_ssh("g5.xlarge"))
    machine, address = ec2.up("g5.xlarge")
    assert ec2.ssh(address, "true").returncode == 255
    ec2.end(machine)


def test_the_set_up_command_fails_on_the_machines_of_one_type_only(ec2):
    ec2.ec2.set_faults(Fault.setup_fails("g5.xlarge"))
    bad, bad_address = ec2.up("g5.xlarge")
    good, good_address = ec2.up("m5.large")
    done = ec2.ssh(bad_address, SETUP_COMMAND)
    assert (done.returncode, done.stderr.strip().splitlines()[-1]) == (100, FAILING_SETUP)
    assert ec2.ssh(good_address, SETUP_COMMAND).returncode == 0
    ec2.end(bad, good)


def test_google_ends_a_machine_and_a_slice_at_launch(gce):
    local, google = gce
    local.set_faults(Fault.ends_at_launch("n2-standard-2"), Fault.ends_at_launch("v4-16"))
    google.wait(google.insert("ended"))
    until(lambda: google.get("ended")["status"] == "TERMINATED")
    assert google.get("ended")["statusMessage"]
    google.slice("slice", "v4-16")
    node = google.nodes.get(name=f"{gce_client.PARENT}/nodes/slice")
    until(lambda: node.execute()["state"] == "TERMINATED")
    assert not [event for event in local.events() if event.kind is EventKind.BOOTED]


def test_a_machine_of_google_without_ssh_runs_and_answers_nobody(gce):
    local, google = gce
    local.set_faults(Fault.no_ssh("n2-standard-2"))
    google.wait(google.insert("silent"))
    machine = google.get("silent")
    assert machine["status"] == "RUNNING"
    address = machine["networkInterfaces"][0]["networkIP"]
    done = local.run(["ssh", *SSH, f"ubuntu@{address}", "true"], capture_output=True, timeout=60)
    assert done.returncode == 255
    assert "refused" in done.stderr
    google.wait(google.delete("silent"))


def test_a_flex_start_machine_of_google_waits_and_then_boots(gce):
    local, google = gce
    local.set_faults("waits:a2-highgpu-1g=1h")
    flex = {"provisioningModel": "FLEX_START", "maxRunDuration": {"seconds": "600"}, "onHostMaintenance": "TERMINATE"}

    def kinds(name: str) -> list[EventKind]:
        return [event.kind for event in local.events() if event.instance_id == name]

    asked = {"scheduling": flex, "params": {"requestValidForDuration": {"seconds": "600"}}}
    # The cloud's process reads the fault in its next step: machines before it come at once.
    for number in itertools.count():
        name = f"later-{number}"
        operation = google.insert(name, "a2-highgpu-1g", **asked)
        until(functools.partial(kinds, name))
        if kinds(name) == [EventKind.HAPPENED]:
            break
    local.set_faults()
    google.wait(operation)
    assert google.get(name)["status"] == "RUNNING"
    assert kinds(name) == [EventKind.HAPPENED, EventKind.LAUNCHED, EventKind.BOOTED]
    assert local.host_file(name, "x").name == "x", "its address is that of its boot"


def test_ray_start_fails_after_its_start_hook_and_names_a_cause(ec2):
    ec2.ec2.set_faults(Fault.start_fails("m5.large"))
    machine, address = ec2.up("m5.large")
    ec2.ssh(address, 'mkdir hooks && echo \'def hook(*_): open("hooked", "w")\' > hooks/hooks.py')
    done = ec2.ssh(address, "PYTHONPATH=$HOME/hooks:$PYTHONPATH RAY_START_HOOK=hooks.hook ray start --head 2>&1")
    assert done.returncode == 1, done.stdout
    assert "/fault-start-fails does not exist" in done.stdout
    assert ec2.ec2.host_file(machine, "hooked").exists()
    ec2.end(machine)
