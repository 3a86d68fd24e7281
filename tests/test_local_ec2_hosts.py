"""A machine that EC2 reports as running is a host that answers; one that it reports as terminated is gone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import boto3
import botocore.exceptions
import pytest

from accel_scaling.errors import RehearsalError
from accel_scaling.local_ec2.ec2 import Kind, Latencies, LocalEC2
from accel_scaling.local_ec2.events import EventKind
from accel_scaling.local_ec2.faults import Faults, fewer, no_devices
from accel_scaling.local_ec2.kinds import isolation_obstacle
from accel_scaling.local_ec2.marked import marked_processes

FAST = Latencies(boot_s=0.1, stop_s=0.1, terminate_s=0.1)
SSH_OPTIONS = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ConnectTimeout=3")
SSH = tuple(word for option in SSH_OPTIONS for word in ("-o", option))
REPOSITORY = Path(__file__).parents[1]

NO_ISOLATION = isolation_obstacle(Path(sys.executable))
isolated = pytest.param(
    Kind.ISOLATED, marks=[pytest.mark.root, pytest.mark.skipif(bool(NO_ISOLATION), reason=str(NO_ISOLATION))]
)


@pytest.fixture(scope="module", params=[Kind.PROCESSES, isolated])
def cloud(request, tmp_path_factory):
    with LocalEC2(tmp_path_factory.mktemp("cloud"), kind=request.param, latencies=FAST) as ec2:
        yield Client(ec2)


@pytest.fixture(autouse=True)
def _no_faults(request):
    yield
    if "cloud" in request.fixturenames:
        request.getfixturevalue("cloud").ec2.set_faults(Faults())


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


def test_a_running_machine_answers_and_has_the_devices_of_its_type(cloud):
    machine, address = cloud.up("g4dn.12xlarge")
    done = cloud.ssh(address, f"echo ~; {NVML}")
    home, devices = done.stdout.splitlines()
    assert devices == "4 T4", done.stderr
    assert address.startswith("172.31." if cloud.ec2.kind is Kind.ISOLATED else "127.")
    if cloud.ec2.kind is Kind.ISOLATED:
        assert home == "/home/ubuntu"
        assert cloud.ssh(address, "hostname").stdout.strip() == "ip-" + address.replace(".", "-")
    cloud.end(machine)


def test_a_plain_machine_has_no_devices(cloud):
    machine, address = cloud.up("m5.large")
    assert cloud.ssh(address, NVML).stdout.split()[0] == "0"
    cloud.end(machine)


def test_the_exit_code_of_a_command_comes_back(cloud):
    machine, address = cloud.up("m5.large")
    assert cloud.ssh(address, "exit 7").returncode == 7
    cloud.end(machine)


def test_a_terminated_machine_is_gone_with_its_processes_and_files(cloud):
    machine, address = cloud.up("m5.large")
    cloud.ssh(address, "mkdir -p /tmp/x; setsid sleep 4321 >/dev/null 2>&1 </dev/null & echo $! > ~/pid")
    folder = cloud.ec2.host_file(machine, "pid").parent
    assert folder.exists()
    _until(lambda: _sleepers("4321"))
    cloud.end(machine)
    assert not _sleepers("4321")
    assert not folder.exists()
    assert cloud.ssh(address, "true").returncode == 255


def test_a_stopped_machine_keeps_its_files_and_no_process(cloud):
    machine, address = cloud.up("m5.large")
    cloud.ssh(address, "echo kept > ~/file; setsid sleep 5432 >/dev/null 2>&1 </dev/null &")
    _until(lambda: _sleepers("5432"))
    cloud.api.stop_instances(InstanceIds=[machine])
    cloud.wait([machine], "stopped")
    assert not _sleepers("5432")
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
    cloud.ec2.set_faults(Faults(no_capacity=frozenset({"p4d.24xlarge"})))
    with pytest.raises(botocore.exceptions.ClientError) as refusal:
        cloud.launch("p4d.24xlarge")
    assert refusal.value.response["Error"]["Code"] == "InsufficientInstanceCapacity"
    asked = [event for event in cloud.ec2.events() if event.kind is EventKind.ASKED][-1]
    assert (asked.instance_type, asked.granted, asked.error) == ("p4d.24xlarge", 0, "InsufficientInstanceCapacity")
    cloud.ec2.set_faults(Faults())
    cloud.end(*cloud.launch("p4d.24xlarge"))


def test_capacity_for_two_of_four_gives_two_and_refuses_a_minimum_of_three(cloud):
    cloud.ec2.set_faults(Faults(capacity={"g5.xlarge": 2}))
    with pytest.raises(botocore.exceptions.ClientError):
        cloud.launch("g5.xlarge", least=3, most=4)
    ids = cloud.launch("g5.xlarge", least=1, most=4)
    assert len(ids) == 2
    cloud.wait(ids, "running")
    cloud.end(*ids)


def test_a_lying_machine_lies_from_its_next_boot(cloud):
    cloud.ec2.set_faults(Faults(hardware={"g4dn.12xlarge": fewer(3), "g5.xlarge": no_devices()}))
    fewer_machine, fewer_address = cloud.up("g4dn.12xlarge")
    none_machine, none_address = cloud.up("g5.xlarge")
    assert cloud.ssh(fewer_address, NVML).stdout.split()[0] == "3"
    assert cloud.ssh(none_address, NVML).stdout.split()[0] == "0"
    cloud.end(fewer_machine, none_machine)


def test_neuron_machines_have_the_driver_s_tool(cloud):
    machine, address = cloud.up("inf2.24xlarge")
    path = "/opt/aws/neuron/bin/neuron-ls"
    if cloud.ec2.kind is Kind.PROCESSES:  # without a root of its own
        path = "../devices" + path
    assert cloud.ec2.host_file(machine, path).exists()
    if cloud.ec2.kind is Kind.ISOLATED:
        assert len(json.loads(cloud.ssh(address, "/opt/aws/neuron/bin/neuron-ls --json-output").stdout)) == 6
    cloud.end(machine)


def test_a_retired_type_can_still_be_launched_and_is_offered_somewhere(cloud):
    filters = [{"Name": "instance-type", "Values": ["p2.xlarge"]}]
    offered = cloud.api.describe_instance_type_offerings(LocationType="availability-zone", Filters=filters)
    assert offered["InstanceTypeOfferings"]
    ids = cloud.launch("p2.xlarge")
    cloud.wait(ids, "running")
    cloud.end(*ids)


def test_the_end_of_the_block_leaves_nothing(tmp_path):
    before = _traces()
    with LocalEC2(tmp_path, kind=Kind.PROCESSES, latencies=FAST) as ec2:
        client = Client(ec2)
        _, address = client.up("m5.large")
        client.ssh(address, "setsid sleep 6543 >/dev/null 2>&1 </dev/null &")
        _until(lambda: _sleepers("6543"))
        scratch, cloud_id = ec2._settings.scratch, ec2._settings.cloud_id
    assert not scratch.exists()
    assert not _sleepers("6543")
    assert marked_processes(f"{cloud_id}/") == set()
    assert _traces() <= before


PARENT = """
import sys, time
from pathlib import Path
from accel_scaling.local_ec2.ec2 import LocalEC2, Kind
sys.path.insert(0, str(Path({tests!r})))
with LocalEC2(Path(sys.argv[1]), kind=Kind(sys.argv[2])) as ec2:
    import boto3
    api = boto3.client("ec2", region_name="us-west-2", endpoint_url=ec2.endpoint_url,
                       aws_access_key_id="x", aws_secret_access_key="x")
    (one,) = api.run_instances(ImageId="ami-1", InstanceType="g4dn.xlarge", MinCount=1, MaxCount=1)["Instances"]
    api.get_waiter("instance_running").config.delay = 1
    api.get_waiter("instance_running").wait(InstanceIds=[one["InstanceId"]], WaiterConfig={{"Delay": 1}})
    sleeper = ec2.popen(["sleep", "7654"])
    print(ec2._settings.scratch, ec2._process._process.pid, flush=True)
    time.sleep(100)
"""


@pytest.mark.parametrize("kind", [Kind.PROCESSES, isolated])
def test_a_killed_parent_leaves_nothing_after_a_moment(tmp_path, kind):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    script = PARENT.format(tests=str(REPOSITORY / "tests"))
    argv = [sys.executable, "-c", script, str(tmp_path), kind.value]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environment) as parent:
        scratch, pid = parent.stdout.readline().split()
        _until(lambda: _sleepers("7654"))
        parent.send_signal(signal.SIGKILL)
    _until(lambda: not Path(scratch).exists())
    _until(lambda: not _sleepers("7654"))
    _until(lambda: not Path("/proc", pid).exists())


NO_CAPABILITY = ("setpriv", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs")
NOBODY = (*NO_CAPABILITY, "--reuid=65534", "--regid=65534", "--clear-groups")

# The interpreter may lie in root's home, which nobody may enter: seen from here, that home holds nothing else.
OPEN_THE_WAY = """set -e
mount --bind "$2" /mnt; mount -t tmpfs -o mode=755 none "$1"; mkdir -p "$2"; mount --bind /mnt "$2"
shift 2; exec "$@"
"""


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="drops what it must have first")
@pytest.mark.parametrize(("drop", "reason"), [(NO_CAPABILITY, "unshare"), (NOBODY, "not root")])
def test_without_privileges_hosts_are_processes_and_work(drop, reason):
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o777)
    code = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(REPOSITORY / "tests")!r})
import test_local_ec2_hosts as t
with t.LocalEC2(Path({str(folder)!r}) / "cloud", latencies=t.FAST) as ec2:
    client = t.Client(ec2)
    machine, address = client.up("g4dn.12xlarge")
    print(ec2.kind.value, "|", ec2.reason, "|", client.ssh(address, t.NVML).stdout.strip())
    client.end(machine)
"""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "HOME": str(folder), "TMPDIR": str(folder)}
    base = Path(sys.base_prefix)
    closed = next((one for one in reversed(base.parents) if one.stat().st_mode & 0o001 == 0), None)
    way = ("unshare", "--mount", "sh", "-c", OPEN_THE_WAY, "sh", str(closed), str(base)) if closed else ()
    try:
        argv = [*way, *drop, sys.executable, "-c", code]
        done = subprocess.run(argv, capture_output=True, text=True, env=environment, timeout=120, check=False)
        assert done.stdout.startswith(f"processes | plain processes on loopback addresses: {reason}"), done.stderr
        assert done.stdout.strip().endswith("| 4 T4"), done.stderr
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("kind", [Kind.PROCESSES, isolated])
def test_a_package_that_is_installed_here_is_not_on_the_hosts(tmp_path, kind):
    folder = Path(tempfile.mkdtemp(dir="/srv" if kind is Kind.ISOLATED else tmp_path))
    try:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], check=True)
        python = folder / "env" / "bin" / "python"
        (site,) = (folder / "env" / "lib").glob("python*/site-packages")
        (site / "__editable__.accel_scaling-0.1.0.pth").write_text(f"{REPOSITORY}\n")
        (site / "development.pth").write_text(f"# a comment\n{REPOSITORY}\n/usr/share\n")
        show = "import accel_scaling"
        assert subprocess.run([python, "-c", show], cwd="/", check=False).returncode == 0
        with LocalEC2(tmp_path / "cloud", kind=kind, python=python, latencies=FAST) as ec2:
            client = Client(ec2)
            _, address = client.up("m5.large")
            assert client.ssh(address, "which python").stdout.strip() == str(python)
            assert "No module named 'accel_scaling'" in client.ssh(address, f"python -c '{show}'").stderr
        assert subprocess.run([python, "-c", show], cwd="/", check=False).returncode == 0
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("kind", [isolated])
def test_an_environment_in_tmp_is_none_for_isolated_hosts(kind):
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        with pytest.raises(RehearsalError, match="each host has its own"):
            LocalEC2(Path(folder) / "cloud", kind=kind, python=Path(folder) / "bin" / "python")


def test_the_reason_for_the_kind_is_one_line(tmp_path):
    for kind in (Kind.PROCESSES, None):
        assert len(LocalEC2(tmp_path, kind=kind).reason.splitlines()) == 1


def _sleepers(seconds):
    lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if _readable(path)]
    return [line for line in lines if line == b"sleep\0" + seconds.encode() + b"\0"]


def _readable(path):
    try:
        return bool(path.read_bytes())
    except OSError:
        return False


def _traces():
    return set(Path("/tmp").glob("ray_ssh_*"))


def _until(done, seconds=20):
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it is still there"
        time.sleep(0.1)
