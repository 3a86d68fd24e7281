"""What happens to machines of a local cloud after their boot: `notice:TYPE@20s`, `sick:TYPE@20s`, `xid:TYPE@20s=79`."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from accel_scaling.boot.sick_devices import sick_in
from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.errors import RehearsalError
from accel_scaling.families.inventory import detect
from accel_scaling.fill.promise import promise_for
from accel_scaling.testing import local_cloud
from accel_scaling.testing.devices.device_files import change, install
from accel_scaling.testing.devices.drivers import NVML_CONFIG
from accel_scaling.testing.devices.ec2_machines import hardware_of
from accel_scaling.testing.faults import Fault, FaultKind, of_devices, read_faults, write_faults
from accel_scaling.testing.file_machines import Machines
from accel_scaling.testing.hosts.hosts import sick, with_xid
from accel_scaling.testing.hosts.later_faults import Booted, LaterFaults, sickener


@pytest.mark.parametrize("word", ["notice", "sick"])
def test_the_words_of_the_command_line_say_when_and_of_how_many_machines(word: str) -> None:
    kind = FaultKind(word)
    assert Fault.parse(f"{word}:g5.xlarge") == Fault(kind, "g5.xlarge", count=1, after_s=20.0)
    assert Fault.parse(f"{word}:g5.xlarge@5s=3") == Fault(kind, "g5.xlarge", count=3, after_s=5.0)
    for text in ("@x", "@5s=x", "@5s="):
        if text == "@5s=":
            assert Fault.parse(f"{word}:g5.xlarge{text}").count == 1
            continue
        with pytest.raises(RehearsalError, match=rf"expected {word}:TYPE@SECONDS"):
            Fault.parse(f"{word}:g5.xlarge{text}")


LOST, ECC = "one of its devices fails", "the memory of one of its devices fails"
WHOLE = "; the whole driver fails, which counts after 5 min"


@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        ("g4dn.xlarge@5s=lost", "Unhealthy", LOST),
        ("p4d.24xlarge@5s=ecc", "Unhealthy", ECC),
        ("p4d.24xlarge@5s=hangs", "NotYet", f"its driver hangs{WHOLE}"),
        ("trn1.32xlarge@5s", "Unhealthy", ECC),
        ("trn1.32xlarge@5s=lost", "Unhealthy", f"{LOST}{WHOLE}"),
        ("g4ad.xlarge@5s", "Unhealthy", f"{LOST}{WHOLE}"),
        ("dl1.24xlarge@5s=lost", "Unhealthy", LOST),
    ],
)
def test_a_device_fails_as_the_fault_says_and_a_rehearsal_says_when_that_counts(
    fault: str, code: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_faults(tmp_path / "faults.json", [Fault.parse(f"sick:{fault}")])
    (one,) = read_faults(tmp_path / "faults.json")
    hardware = hardware_of(one.machine_type)
    for name, value in install(tmp_path / "root", hardware).items():
        monkeypatch.setenv(name, value)
    promised = promise_for(shipped_catalog().machine_type("aws", one.machine_type)).resources
    assert sick_in(promised, detect()) is None
    assert sickener(functools.partial(change, tmp_path / "root"), hardware)(one.cause or "") == says
    found = sick_in(promised, detect())
    assert found is not None
    assert (found.code, found.sure) == (code, WHOLE not in says)


def test_a_cause_that_nobody_knows_or_that_a_driver_cannot_show_is_said() -> None:
    for text in ("sick:g5.xlarge@5s=lame", "notice:g5.xlarge@5s=lost"):
        with pytest.raises(RehearsalError, match=r"expected (sick|notice):TYPE@SECONDS=?"):
            Fault.parse(text)
    with pytest.raises(RehearsalError, match="MACHINES may also be one of lost, ecc, hangs"):
        Fault.parse("sick:g5.xlarge@5s=lame")
    with pytest.raises(RehearsalError, match="only these drivers can show it"):
        sick(hardware_of("g4ad.xlarge"), "ecc")


def test_an_xid_has_its_number() -> None:
    assert Fault.parse("xid:g5.xlarge@5s=79") == Fault.xid("g5.xlarge", 79, 5.0)
    for text in ("xid:g5.xlarge", "xid:g5.xlarge@5s", "xid:g5.xlarge@5s=x"):
        with pytest.raises(RehearsalError, match="expected xid:TYPE@SECONDS or xid:TYPE@SECONDS=XID"):
            Fault.parse(text)


@pytest.mark.parametrize(("value", "seconds"), [("15m", 900.0), ("90s", 90.0), ("90", 90.0), ("2h", 7200.0)])
def test_a_wait_for_capacity_says_how_long(value: str, seconds: float) -> None:
    assert Fault.parse(f"waits:a3-highgpu-8g={value}") == Fault.waits("a3-highgpu-8g", seconds)
    for wrong in ("", "=", "=m", "=1d", "=-5"):
        with pytest.raises(RehearsalError, match="expected a duration after `=`"):
            Fault.parse(f"waits:a3-highgpu-8g{wrong}")


def test_a_wait_for_capacity_is_refused_where_machines_do_not_wait() -> None:
    Machines({"a3-highgpu-8g": 8}).check(Fault.waits("a3-highgpu-8g", 60))
    with pytest.raises(RehearsalError, match="machines of this cloud do not wait"):
        Machines({"g5.xlarge": 1}, waits=False).check(Fault.waits("g5.xlarge", 60))


def test_a_fault_that_would_never_come_is_refused() -> None:
    machines = Machines({"g5.xlarge": 1, "m5.large": 0})
    machines.check(Fault.notice("m5.large"))
    machines.check(Fault.sick("g5.xlarge"))
    for text in ("no-capacity:g5.xlarge/spot", "no-capacity:g5.xlarge@us-west-2a/spot", "capacity:g5.xlarge/spot=2"):
        machines.check(Fault.parse(text))
    for text, says in (("capacity:g5.xlarge@us-west-2a=2", "for one zone"), ("fewer:g5.xlarge/spot=0", "spot or on-")):
        with pytest.raises(
            RehearsalError, match=f"only no-capacity.* can be {says if 'zone' in says else 'for ' + says}"
        ):
            machines.check(Fault.parse(text))
    with pytest.raises(RehearsalError, match=r"m5\.large has no accelerators"):
        machines.check(Fault.sick("m5.large"))
    with pytest.raises(RehearsalError, match=r"no node type of the file has a g6\.xlarge"):
        machines.check(Fault.notice("g6.xlarge"))


def test_each_of_the_first_machines_has_it_once_and_in_time(tmp_path: Path) -> None:
    now_s, told = 0.0, list[str]()
    faults = LaterFaults(tmp_path / "faults.json", lambda: now_s)
    write_faults(tmp_path / "faults.json", [Fault.notice("g5", 20, 2), Fault.sick("g5", 5), Fault.xid("g5", 79, 6)])
    assert of_devices([Fault.sick("g5", 5)], "g5") is None, "its devices are well at the boot"

    def boots(name: str) -> None:
        faults.booted(
            name,
            Booted(
                "g5",
                lambda: told.append(f"{name} told"),
                lambda cause: told.append(f"{name} sick") or f"a device is {cause or 'sick'}",  # type: ignore[func-returns-value]
                lambda xid: told.append(f"{name} {xid}"),
                now_s,
            ),
        )

    boots("a")
    faults.step()
    assert told == []
    now_s = 6
    assert faults.step() == [("a", "a device is sick"), ("a", "its driver reports XID 79")]
    now_s = 21
    assert [what for what, _ in faults.step()] == ["a"]
    faults.ended("a")
    boots("b")
    boots("c")
    now_s = 50
    faults.step()
    assert told == ["a sick", "a 79", "a told", "b told"]


@pytest.mark.parametrize("machine", ["g4dn.xlarge", "trn1.32xlarge", "p4d.24xlarge"])
def test_a_machine_that_runs_has_a_device_that_failed(
    machine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hardware = hardware_of(machine)
    for name, value in install(tmp_path, hardware).items():
        monkeypatch.setenv(name, value)
    (before,) = detect()
    library = next(tmp_path.glob("usr/lib*/**/libnvidia-ml.so.1"), None)
    identity = library and library.stat().st_mtime_ns
    change(tmp_path, sick(hardware))
    (after,) = detect()
    assert (before.trouble, bool(after.trouble)) == ("", True)
    assert (library and library.stat().st_mtime_ns) == identity, "a process has it open"


def test_a_tpu_says_no_more_than_its_nodes() -> None:
    from accel_scaling.testing.devices.gcp_machines import hardware_of_tpu

    with pytest.raises(RehearsalError, match="device nodes"):
        sick(hardware_of_tpu("v4-8")[0])


def test_an_error_of_the_driver_is_for_those_who_wait_for_it_and_changes_no_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hardware = hardware_of("g4dn.12xlarge")
    for name, value in install(tmp_path, hardware).items():
        monkeypatch.setenv(name, value)
    change(tmp_path, with_xid(hardware, 79))
    assert "xid 3 79" in (tmp_path / NVML_CONFIG).read_text()
    (after,) = detect()
    assert (after.trouble, after.driver_count) == ("", 4)
    with pytest.raises(RehearsalError, match="only NVIDIA's driver reports XIDs"):
        with_xid(hardware_of("trn1.32xlarge"), 79)


def test_a_machine_of_the_local_ec2_hears_of_its_interruption_by_imdsv2(tmp_path: Path) -> None:
    import http.client
    import time

    import boto3

    with local_cloud("aws", directory=tmp_path / "cloud", hosts="processes", faults=["notice:m5.large@0s"]) as cloud:
        ec2 = boto3.client(
            "ec2", region_name="us-west-2", endpoint_url=cloud.endpoint_url,
            aws_access_key_id="x", aws_secret_access_key="x",
        )  # fmt: skip
        asked = ec2.run_instances(InstanceType="m5.large", ImageId="ami-12345678", MinCount=1, MaxCount=1)
        address, until_s = asked["Instances"][0]["PrivateIpAddress"], time.monotonic() + 30
        answer = ""
        while "terminate" not in answer and time.monotonic() < until_s:
            time.sleep(0.2)
            connection = http.client.HTTPConnection(address, 8989, timeout=5)
            try:
                connection.request("PUT", "/latest/api/token", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"})
                token = connection.getresponse().read().decode()
                connection.close()
                path, header = "/latest/meta-data/spot/instance-action", {"X-aws-ec2-metadata-token": token}
                connection.request("GET", path, headers=header)
                answer = connection.getresponse().read().decode()
                connection.close()
                connection.request("GET", path)
                assert connection.getresponse().status == 401, "without a token nobody is told"
            except ConnectionError:
                continue  # it has not booted
            finally:
                connection.close()
        assert '"action": "terminate"' in answer
        assert [one.error for one in cloud.events() if one.kind.value == "happened"] == [
            "the cloud announces that it takes it back"
        ]
