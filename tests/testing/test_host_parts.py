"""The parts of the local EC2 that need no cloud: faults, events, and what the shims make of Ray's command lines."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest

from accel_scaling.errors import RehearsalError
from accel_scaling.testing.devices.device_files import install
from accel_scaling.testing.devices.ec2_machines import hardware_of
from accel_scaling.testing.faults import Fault, granted, read_faults, write_faults
from accel_scaling.testing.hosts import shim_ray, shim_remote
from accel_scaling.testing.hosts.events import EventKind, EventLog, read_events
from accel_scaling.testing.hosts.host_records import (
    HostRecord,
    delete_record,
    kill_marked,
    look_up,
    marked_processes,
    write_record,
)
from accel_scaling.testing.hosts.hosts import hardware_at_boot
from accel_scaling.testing.hosts.settings import MARKER_VARIABLE


def test_faults_survive_their_file(tmp_path):
    faults = (
        Fault.no_capacity("p5.48xlarge"),
        Fault.capacity("g5.xlarge", 2),
        Fault.other("g6.xlarge", "NVIDIA L40S"),
        Fault.fewer("g4dn.12xlarge", 3),
        Fault.not_yet("inf2.xlarge"),
    )
    write_faults(tmp_path / "faults.json", faults)
    assert read_faults(tmp_path / "faults.json") == faults


def test_without_a_file_nothing_is_wrong(tmp_path):
    assert read_faults(tmp_path / "faults.json") == ()


@pytest.mark.parametrize(
    ("machine_type", "requested", "live", "count"),
    [("free", 7, 9, 7), ("sold_out", 1, 0, 0), ("few", 4, 0, 2), ("few", 4, 1, 1), ("few", 4, 5, 0)],
)
def test_a_cloud_grants_what_capacity_leaves(machine_type, requested, live, count):
    faults = (Fault.no_capacity("sold_out"), Fault.capacity("few", 2))
    assert granted(faults, machine_type, requested, live) == count


def test_events_are_read_back_in_order_and_a_half_written_one_is_left(tmp_path):
    log = EventLog(tmp_path / "events")
    log.launch_request("g5.xlarge", 3, 1, "subnet-1", error=None)
    log.instance(EventKind.BOOTED, "i-1", "g5.xlarge", "127.77.0.4")
    with (tmp_path / "events").open("a") as file:
        file.write('{"time": 1')
    asked, booted = read_events(tmp_path / "events")
    assert (asked.kind, asked.count, asked.granted) == (EventKind.ASKED, 3, 1)
    assert (booted.kind, booted.instance_id, booted.address) == (EventKind.BOOTED, "i-1", "127.77.0.4")


def test_a_fault_changes_what_the_driver_says_at_boot(tmp_path):
    def driver(fault):
        write_faults(tmp_path / "faults", [fault] if fault else [])
        root = tmp_path / (fault.kind.value if fault else "good")
        install(root, hardware_at_boot(hardware_of("g4dn.12xlarge"), "g4dn.12xlarge", tmp_path / "faults"))
        config = root / "etc/accel-emulated-nvml"
        return config.read_text().splitlines()[0] if config.exists() else None

    assert driver(None).startswith("4 ")
    assert driver(Fault.fewer("g4dn.12xlarge", 3)).startswith("3 ")
    assert driver(Fault.other("g4dn.12xlarge", "NVIDIA L4")).endswith(" NVIDIA L4")
    assert driver(Fault.no_devices("g4dn.12xlarge")) is None


def test_a_mixed_machine_is_one_device_of_another_name(tmp_path):
    write_faults(tmp_path / "faults", [Fault.parse("mixed:g4dn.12xlarge=NVIDIA L4")])
    hardware = hardware_at_boot(hardware_of("g4dn.12xlarge"), "g4dn.12xlarge", tmp_path / "faults")
    assert hardware.names == ["Tesla T4"] * 3 + ["NVIDIA L4"]
    install(tmp_path / "machine", hardware)
    answers = (tmp_path / "machine/etc/accel-emulated-nvml").read_text().splitlines()
    assert answers[1].startswith("device 3 ")
    assert answers[1].endswith(" NVIDIA L4")


def test_ssh_is_understood_as_ray_calls_it():
    line = (
        "-tt -i /k.pem -o StrictHostKeyChecking=no -o ControlPath=/tmp/x/%C -L 8265:localhost:8265 "
        "ubuntu@127.77.0.4 bash --login -c -i 'echo hi'"
    )
    assert shim_remote.parse_ssh(line.split(" ")) == shim_remote.SshCall("127.77.0.4", "bash --login -c -i 'echo hi'")


def test_ssh_without_a_command_asks_for_a_shell():
    assert shim_remote.parse_ssh(["-i", "k", "127.77.0.4"]) == shim_remote.SshCall("127.77.0.4", None)


def test_rsync_is_understood_as_ray_calls_it():
    rules = ["--exclude", "*.pyc", "--filter", "dir-merge,- .gitignore"]
    argv = ["--rsh", "ssh -i k", "-avz", *rules, "a/", "u@1.2.3.4:~/b"]
    call = shim_remote.parse_rsync(argv)
    assert (call.source, call.target, call.excludes) == ("a/", "u@1.2.3.4:~/b", ("*.pyc",))
    assert call.rules == ("--exclude", "*.pyc", "--filter", "dir-merge,- .gitignore")


@pytest.mark.needs("rsync")
@pytest.mark.parametrize("source", ["from", "from/"])
def test_the_copy_without_rsync_is_the_copy_of_rsync(tmp_path, source):
    tree = tmp_path / "from"
    (tree / "deep").mkdir(parents=True)
    (tree / "deep" / "one.txt").write_text("1")
    (tree / "skip.pyc").write_text("2")
    for name in ("real", "ours"):
        (tmp_path / name).mkdir()
    subprocess.run(["rsync", "-a", "--exclude", "*.pyc", f"{tmp_path}/{source}", f"{tmp_path}/real"], check=True)
    assert shim_remote.copy_with_python(f"{tmp_path}/{source}", f"{tmp_path}/ours", ("*.pyc",)) == 0
    real, ours = ({one.relative_to(top) for one in top.rglob("*")} for top in (tmp_path / "real", tmp_path / "ours"))
    assert real == ours
    assert any(one.name == "one.txt" for one in ours)


def test_rsync_refuses_to_write_outside_the_host(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ACCEL_SCALING_SCRATCH", str(tmp_path))
    (tmp_path / "net").mkdir()
    write_record(tmp_path, HostRecord("i-1", "127.77.0.4", tmp_path / "0-4", {}))
    (tmp_path / "a").write_text("x")
    assert shim_remote.rsync(["-avz", str(tmp_path / "a"), "u@127.77.0.4:/etc/a"]) == shim_remote.FILE_ERROR
    assert "/etc/a is outside the home of the plain-process host 127.77.0.4" in capsys.readouterr().err


def test_a_struck_host_refuses_connections(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ACCEL_SCALING_SCRATCH", str(tmp_path))
    (tmp_path / "net").mkdir()
    write_record(tmp_path, HostRecord("i-1", "127.77.0.4", tmp_path, {}))
    assert look_up(tmp_path, "127.77.0.4") is not None
    delete_record(tmp_path, "127.77.0.4")
    assert shim_remote.ssh(["u@127.77.0.4", "true"]) == 255
    assert "Connection refused" in capsys.readouterr().err


def test_ray_start_is_kept_to_its_host():
    asked = ["start", "--address=127.77.0.4:6379", "--object-manager-port", "8076"]
    argv = shim_ray.start_arguments(asked, "127.77.0.5", "/tmp/h/tmp")
    assert "8076" not in argv
    assert {"--node-ip-address=127.77.0.5", "--object-manager-port=0", "--temp-dir=/tmp/h/tmp/ray"} <= set(argv)
    assert "--include-dashboard=false" not in argv  # only heads have one


def test_a_second_head_on_the_machine_gets_a_port_that_its_workers_find(tmp_path, monkeypatch):
    (tmp_path / "net").mkdir()
    monkeypatch.setattr(shim_ray, "is_free", lambda port: False)
    head = shim_ray.for_head(["start", "--head", "--port=6379"], tmp_path, "127.77.0.4")
    given = head[-1].removeprefix("--port=")
    assert given != "6379"
    worker = shim_ray.for_worker(["start", "--address=127.77.0.4:6379"], tmp_path)
    assert worker[-1] == f"--address=127.77.0.4:{given}"


def test_of_two_heads_that_start_at_once_only_one_gets_a_port_though_nothing_listens_yet():
    port = shim_ray.free_port()
    code = (
        "import os, sys; from accel_scaling.testing.hosts.shim_ray import claim; "
        f"print(claim({port}), flush=True); os.execv('/bin/cat', ['cat'])"
    )
    ray_start = [sys.executable, "-c", code]
    with subprocess.Popen(ray_start, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "True\n"
        assert shim_ray.is_free(port)
        assert subprocess.run(ray_start, check=False, input="", capture_output=True, text=True).stdout == "False\n"
        first.stdin.close()
    assert subprocess.run(ray_start, check=False, input="", capture_output=True, text=True).stdout == "True\n"


def test_marked_processes_are_found_with_their_descendants_and_killed():
    marker = "test-mark/i-1"
    code = "import subprocess; p = subprocess.Popen(['sleep', '100'], env={}); print('up', flush=True); p.wait()"
    environment = {MARKER_VARIABLE: marker, "PATH": "/usr/bin:/bin"}
    child = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "up\n"
    assert len(marked_processes("test-mark/")) == 2
    assert marked_processes("test-mark/i-2") == set()
    kill_marked(marker)
    assert child.wait(10) == -9
    assert marked_processes("test-mark/") == set()


def test_a_machine_type_that_nobody_knows_is_an_error_that_names_it(tmp_path):
    with pytest.raises(RehearsalError, match=r"zz9\.large"):
        hardware_of("zz9.large")


def test_an_interactive_shell_is_not_asked_for_without_a_terminal():
    command = "bash --login -c -i " + shlex.quote("echo 'a b'")
    assert shim_remote._without_interactive(command) == "bash --login -c " + shlex.quote("echo 'a b'")
