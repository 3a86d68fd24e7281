"""The boot check counts EFA and RDMA devices: what is missing, and what a container was not given."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from accel_scaling.boot import start_hook
from accel_scaling.boot.admission import ON_MISMATCH, admitted_resources
from accel_scaling.boot.network_devices import EXPECTED, with_expected, with_network
from accel_scaling.boot.verdicts import Verdict, VerdictWord
from accel_scaling.families.inventory import SYSROOT
from accel_scaling.testing.devices.device_files import write_network
from accel_scaling.testing.devices.drivers import write_container

GOOD = Verdict(VerdictWord.CONFIRMED, "8 GPUs", {"GPU": 8})


def verdict_of(root: Path, expected: str = "32", before: Verdict = GOOD) -> Verdict:
    return with_network(before, {SYSROOT: str(root), EXPECTED: expected})


def test_a_machine_with_all_its_network_devices_is_confirmed_as_before(tmp_path: Path) -> None:
    write_network(tmp_path, 32)
    verdict = verdict_of(tmp_path)
    assert verdict.word is VerdictWord.CONFIRMED
    assert verdict.message == "8 GPUs; 32 network devices (EFA or RDMA)"
    # Nobody has said how many, or in a way that nobody understands.
    assert with_network(GOOD, {SYSROOT: str(tmp_path / "none")}) is GOOD
    assert verdict_of(tmp_path / "none", "many") is GOOD


def test_a_device_that_is_not_there_is_missing(tmp_path: Path) -> None:
    write_network(tmp_path, 31)
    verdict = verdict_of(tmp_path)
    assert verdict.word is VerdictWord.FEWER_THAN_PROMISED
    assert verdict.message == (
        "promised 32 network devices (EFA or RDMA); 31 on the PCI bus, 31 seen by their driver: 1 missing; replace "
        "this machine, or check the network interfaces of its node type"
    )
    assert verdict.promised == GOOD.promised


@pytest.mark.parametrize("seen", [0, 31])
def test_devices_without_their_driver_are_waited_for_as_a_driver_is(tmp_path: Path, seen: int) -> None:
    write_network(tmp_path, 32, seen=seen)
    verdict = verdict_of(tmp_path)
    assert verdict.word is VerdictWord.DRIVER_MISSING
    assert f"32 on the PCI bus, {seen} seen by their driver: {32 - seen} missing" in verdict.message


def test_a_container_that_was_not_given_the_devices_is_told_the_options(tmp_path: Path) -> None:
    write_network(tmp_path, 4, given=0)
    assert verdict_of(tmp_path, "4").confirmed  # on the machine itself, nodes below /dev are the machine's own
    write_container(tmp_path)
    verdict = verdict_of(tmp_path, "4")
    assert verdict.word is VerdictWord.NOT_VISIBLE_IN_CONTAINER
    assert verdict.advice == "start the container with --device=/dev/infiniband --ulimit=memlock=-1"


def test_what_else_is_wrong_stays_the_verdict(tmp_path: Path) -> None:
    bad = Verdict(VerdictWord.OTHER_TYPE, "that is T4", {"GPU": 8})
    verdict = verdict_of(tmp_path, before=bad)
    assert (verdict.word, verdict.others) == (VerdictWord.OTHER_TYPE, (VerdictWord.FEWER_THAN_PROMISED,))
    assert verdict.message.startswith("that is T4; promised 32 network devices")


def test_a_node_joins_with_a_smaller_network_where_the_file_lets_it(tmp_path: Path) -> None:
    verdict = verdict_of(tmp_path)
    assert admitted_resources(verdict, {}) is None
    assert admitted_resources(verdict, {ON_MISMATCH: "join"}) == {"GPU": 8}


def test_the_start_hook_counts_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SYSROOT, str(tmp_path))
    monkeypatch.setenv(EXPECTED, "8")
    monkeypatch.setenv("RAY_OVERRIDE_RESOURCES", '{"CPU": 4}')
    params = SimpleNamespace(resources=None, labels=None, num_cpus=None, num_gpus=None)
    assert start_hook.check_machine([], params).word is VerdictWord.FEWER_THAN_PROMISED
    write_network(tmp_path, 8)
    assert start_hook.check_machine([], params).confirmed


def test_a_start_command_says_how_many_only_where_there_are_any() -> None:
    assert with_expected("ray start", 0) == "ray start"
    assert with_expected("ray start", 32) == f"export {EXPECTED}=32; ray start"
