"""What the local EC2 needs of this machine, and that it leaves nothing on it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from accel_scaling.errors import RehearsalError
from accel_scaling.providers.aws.local_cloud import LocalEC2
from accel_scaling.testing.hosts.host_records import marked_processes
from accel_scaling.testing.hosts.laptop import ray_ssh_folder
from accel_scaling.testing.hosts.settings import HostKind
from tests.support.local_ec2 import FAST, REPOSITORY, Client, isolated, sleepers, until
from tests.support.needs import NEEDS_ISOLATED_HOSTS

pytestmark = pytest.mark.slow


def test_the_end_of_the_block_leaves_nothing(tmp_path):
    with LocalEC2(tmp_path, kind=HostKind.PROCESSES, latencies=FAST) as ec2:
        client = Client(ec2)
        _, address = client.up("m5.large")
        client.ssh(address, "setsid sleep 6543 >/dev/null 2>&1 </dev/null &")
        until(lambda: sleepers("6543"))
        scratch, cloud_id = ec2._settings.scratch, ec2._settings.cloud_id
    assert not scratch.exists()
    assert not sleepers("6543")
    assert marked_processes(f"{cloud_id}/") == set()
    assert not ray_ssh_folder(cloud_id).exists()


PARENT = """
import sys, time
from pathlib import Path
from accel_scaling.providers.aws.local_cloud import LocalEC2
from accel_scaling.testing.hosts.settings import HostKind
with LocalEC2(Path(sys.argv[1]), kind=HostKind(sys.argv[2])) as ec2:
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


@pytest.mark.parametrize("kind", [HostKind.PROCESSES, isolated])
def test_a_killed_parent_leaves_nothing_after_a_moment(tmp_path, kind):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    argv = [sys.executable, "-c", PARENT.format(), str(tmp_path), kind.value]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environment) as parent:
        scratch, pid = parent.stdout.readline().split()
        until(lambda: sleepers("7654"))
        parent.send_signal(signal.SIGKILL)
    until(lambda: not Path(scratch).exists())
    until(lambda: not sleepers("7654"))
    until(lambda: not Path("/proc", pid).exists())


NO_CAPABILITY = ("setpriv", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs")
NOBODY = (*NO_CAPABILITY, "--reuid=65534", "--regid=65534", "--clear-groups")

# The interpreter may lie in root's home, which nobody may enter: seen from here, that home holds nothing else.
OPEN_THE_WAY = """set -e
mount --bind "$2" /mnt; mount -t tmpfs -o mode=755 none "$1"; mkdir -p "$2"; mount --bind /mnt "$2"
shift 2; exec "$@"
"""


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="drops what it must have first")
@pytest.mark.parametrize(
    ("drop", "reason"),
    [
        # Without the programs, those are the reason.
        pytest.param(NO_CAPABILITY, "unshare", marks=NEEDS_ISOLATED_HOSTS),
        (NOBODY, "not root"),
    ],
)
def test_without_privileges_hosts_are_processes_and_work(drop, reason):
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o777)
    code = f"""
import sys
from pathlib import Path
import tests.support.local_ec2 as t
from accel_scaling.providers.aws.local_cloud import LocalEC2
with LocalEC2(Path({str(folder)!r}) / "cloud", latencies=t.FAST) as ec2:
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


@pytest.mark.parametrize("kind", [HostKind.PROCESSES, isolated])
def test_a_package_that_is_installed_here_is_not_on_the_hosts(tmp_path, kind):
    folder = Path(tempfile.mkdtemp(dir="/srv" if kind is HostKind.ISOLATED else tmp_path))
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
    for kind in (HostKind.PROCESSES, None):
        assert len(LocalEC2(tmp_path, kind=kind).reason.splitlines()) == 1
