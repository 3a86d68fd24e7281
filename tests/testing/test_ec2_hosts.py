"""A machine that EC2 reports as running is a host that answers; one that it reports as terminated is gone."""

from __future__ import annotations

import json
import re
import shlex

import botocore.exceptions
import pytest

from accel_scaling.providers.aws.local_cloud import LocalEC2
from accel_scaling.testing import Fault
from accel_scaling.testing.hosts.events import EventKind
from accel_scaling.testing.hosts.settings import HostKind
from tests.support.local_ec2 import FAST, NVML, SSH, Client, isolated, sleepers, until

pytestmark = pytest.mark.slow
# By IMDSv2, as on a machine of EC2.
ZONE_ID = """
import os, urllib.request as web
at = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254") + "/latest/"
token = web.Request(at + "api/token", method="PUT", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"})
headers = {"X-aws-ec2-metadata-token": web.urlopen(token).read().decode()}
zone_id = web.Request(at + "meta-data/placement/availability-zone-id", headers=headers)
print(web.urlopen(zone_id).read().decode())
"""


@pytest.fixture(scope="module", params=[HostKind.PROCESSES, isolated])
def cloud(request, tmp_path_factory):
    with LocalEC2(tmp_path_factory.mktemp("cloud"), kind=request.param, latencies=FAST, shared="my/runs") as ec2:
        yield Client(ec2)


@pytest.fixture(autouse=True)
def _no_faults(request):
    yield
    if "cloud" in request.fixturenames:
        request.getfixturevalue("cloud").ec2.set_faults()


def test_a_running_machine_answers_and_has_the_devices_of_its_type(cloud):
    machine, address = cloud.up("g4dn.12xlarge")
    done = cloud.ssh(address, f"echo ~; {NVML}")
    home, devices = done.stdout.splitlines()
    assert devices == "4 T4", done.stderr
    assert address.startswith("172.31." if cloud.ec2.kind is HostKind.ISOLATED else "127.")
    if cloud.ec2.kind is HostKind.ISOLATED:
        assert home == "/home/ubuntu"
        assert cloud.ssh(address, "hostname").stdout.strip() == "ip-" + address.replace(".", "-")
    asked = cloud.ssh(address, "python3 -c " + shlex.quote(ZONE_ID))
    assert re.fullmatch(r"us[a-z0-9]+-az\d\n", asked.stdout), asked
    cloud.end(machine)


def test_a_plain_machine_has_no_devices(cloud):
    machine, address = cloud.up("m5.large")
    assert cloud.ssh(address, NVML).stdout.split()[0] == "0"
    cloud.end(machine)


def test_what_one_machine_writes_into_the_shared_folder_outlives_it_on_the_others(cloud):
    machine, address = cloud.up("m5.large")
    assert cloud.ssh(address, "mkdir ~/my/runs/one && echo 41 > ~/my/runs/one/step").returncode == 0
    other, other_address = cloud.up("m5.large")
    cloud.end(machine)
    assert cloud.ssh(other_address, "cat ~/my/runs/one/step").stdout == "41\n"
    cloud.end(other)


def test_the_exit_code_of_a_command_comes_back(cloud):
    machine, address = cloud.up("m5.large")
    assert cloud.ssh(address, "exit 7").returncode == 7
    cloud.end(machine)


def test_a_terminated_machine_is_gone_with_its_processes_and_files(cloud):
    machine, address = cloud.up("m5.large")
    cloud.ssh(address, "mkdir -p /tmp/x; setsid sleep 4321 >/dev/null 2>&1 </dev/null & echo $! > ~/pid")
    folder = cloud.ec2.host_file(machine, "pid").parent
    assert folder.exists()
    until(lambda: sleepers("4321"))
    cloud.end(machine)
    assert not sleepers("4321")
    assert not folder.exists()
    assert cloud.ssh(address, "true").returncode == 255


def test_a_stopped_machine_keeps_its_files_and_no_process(cloud):
    machine, address = cloud.up("m5.large")
    cloud.ssh(address, "echo kept > ~/file; setsid sleep 5432 >/dev/null 2>&1 </dev/null &")
    until(lambda: sleepers("5432"))
    cloud.api.stop_instances(InstanceIds=[machine])
    cloud.wait([machine], "stopped")
    assert not sleepers("5432")
    assert cloud.ssh(address, "true").returncode == 255
    cloud.api.start_instances(InstanceIds=[machine])
    cloud.wait([machine], "running")
    assert cloud.ssh(address, "cat ~/file").stdout == "kept\n"
    cloud.end(machine)


def test_a_fresh_host_does_not_hold_this_package_and_takes_one_that_is_put_there(cloud):
    machine, address = cloud.up("m5.large")
    absent = cloud.ssh(address, "cd ~ && python -c 'import accel_scaling'")
    assert absent.returncode == 1
    assert "No module named 'accel_scaling'" in absent.stderr
    put = "mkdir -p ~/bundle/accel_scaling && touch ~/bundle/accel_scaling/__init__.py"
    use = "export PYTHONPATH=$HOME/bundle${PYTHONPATH:+:$PYTHONPATH}"
    show = "python -c 'import accel_scaling as a; print(a.__file__)'"
    assert "bundle/accel_scaling" in cloud.ssh(address, f"{put}; {use}; {show}").stdout
    cloud.end(machine)


def test_rsync_carries_folders_both_ways(cloud, tmp_path):
    machine, address = cloud.up("m5.large")
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "file").write_text("content")
    rsync = ["rsync", "--rsh", f"ssh -i {cloud.key} {' '.join(SSH)}", "-avz"]
    cloud.ec2.run([*rsync, f"{tmp_path}/one/", f"ubuntu@{address}:~/two/"], check=True, capture_output=True)
    assert cloud.ec2.host_file(machine, "two/file").read_text() == "content"
    cloud.ec2.run([*rsync, f"ubuntu@{address}:~/two/", f"{tmp_path}/three"], check=True, capture_output=True)
    assert (tmp_path / "three" / "file").read_text() == "content"
    cloud.end(machine)


def test_a_sold_out_type_is_refused_as_ec2_does_and_the_request_is_told(cloud):
    cloud.ec2.set_faults(Fault.no_capacity("p4d.24xlarge"))
    with pytest.raises(botocore.exceptions.ClientError) as refusal:
        cloud.launch("p4d.24xlarge")
    assert refusal.value.response["Error"]["Code"] == "InsufficientInstanceCapacity"
    asked = [event for event in cloud.ec2.events() if event.kind is EventKind.ASKED][-1]
    assert (asked.instance_type, asked.granted, asked.error) == ("p4d.24xlarge", 0, "InsufficientInstanceCapacity")
    cloud.ec2.set_faults()
    cloud.end(*cloud.launch("p4d.24xlarge"))


def test_capacity_for_two_of_four_gives_two_and_refuses_a_minimum_of_three(cloud):
    cloud.ec2.set_faults(Fault.capacity("g5.xlarge", 2))
    with pytest.raises(botocore.exceptions.ClientError):
        cloud.launch("g5.xlarge", least=3, most=4)
    ids = cloud.launch("g5.xlarge", least=1, most=4)
    assert len(ids) == 2
    cloud.wait(ids, "running")
    cloud.end(*ids)


def test_a_machine_with_a_fault_has_it_from_its_next_boot(cloud):
    cloud.ec2.set_faults(Fault.fewer("g4dn.12xlarge", 3), Fault.no_devices("g5.xlarge"))
    fewer_machine, fewer_address = cloud.up("g4dn.12xlarge")
    none_machine, none_address = cloud.up("g5.xlarge")
    assert cloud.ssh(fewer_address, NVML).stdout.split()[0] == "3"
    assert cloud.ssh(none_address, NVML).stdout.split()[0] == "0"
    cloud.end(fewer_machine, none_machine)


def test_neuron_machines_have_the_driver_s_tool(cloud):
    machine, address = cloud.up("inf2.24xlarge")
    path = "/opt/aws/neuron/bin/neuron-ls"
    if cloud.ec2.kind is HostKind.PROCESSES:  # without a root of its own
        path = "../devices" + path
    assert cloud.ec2.host_file(machine, path).exists()
    if cloud.ec2.kind is HostKind.ISOLATED:
        assert len(json.loads(cloud.ssh(address, "/opt/aws/neuron/bin/neuron-ls --json-output").stdout)) == 6
    cloud.end(machine)


def test_a_retired_type_can_still_be_launched_and_is_offered_somewhere(cloud):
    filters = [{"Name": "instance-type", "Values": ["p2.xlarge"]}]
    offered = cloud.api.describe_instance_type_offerings(LocationType="availability-zone", Filters=filters)
    assert offered["InstanceTypeOfferings"]
    ids = cloud.launch("p2.xlarge")
    cloud.wait(ids, "running")
    cloud.end(*ids)
