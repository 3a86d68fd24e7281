"""Errors that NVIDIA's driver reports while a node runs: said by the emulated library, judged by the table."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from accel_scaling.boot import driver_events as module
from accel_scaling.boot.driver_events import DriverError, DriverEvents, driver_events_of
from accel_scaling.boot.node_event import EventKind
from accel_scaling.catalog.driver_events import Effect, effect_of
from accel_scaling.families.built_in.nvidia import FAMILY
from accel_scaling.families.built_in.nvidia.events import listen
from accel_scaling.testing.devices.drivers import NVML_CONFIG_VARIABLE, write_library
from tests.boot.test_watcher import LOST, Node

OF_PROGRAMS = (13, 31, 43, 45, 68, 109)  # as NVIDIA's device plugin has them


class Driver:
    """An emulated NVIDIA driver with two devices, and a process that listens to it."""

    def __init__(self, folder: Path, library: Path) -> None:
        self.config, self.library = folder / "nvml", library
        self.config.write_text("2 15360 Tesla T4\n", encoding="ascii")
        self.now_s = 0.0
        self.started: list[DriverEvents] = []

    def events(self, **environment: str) -> DriverEvents:
        def of_library(say: Callable[[int, str], None]) -> None:
            listen(say, str(self.library))

        events = DriverEvents([replace(FAMILY, listen=of_library)], environment, lambda: self.now_s)
        self.started.append(events)
        assert events.read() == []  # which starts the process
        return events

    def reports(self, number: int, xid: int) -> None:
        with self.config.open("a", encoding="ascii") as file:
            file.write(f"xid {number} {xid}\n")

    def reads(self, events: DriverEvents, count: int = 1) -> list[DriverError]:
        """So many errors, as they come."""
        found: list[DriverError] = []
        until_s = time.monotonic() + 20
        while len(found) < count and time.monotonic() < until_s:
            found += events.read()
            time.sleep(0.02)
        return found


@pytest.fixture(name="library", scope="module")
def library_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_library(tmp_path_factory.mktemp("library")) / "libnvidia-ml.so.1"


@pytest.fixture(name="driver")
def driver_fixture(tmp_path: Path, library: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
    monkeypatch.setattr(module, "_LAST", 0)  # the child of a test keeps the files of pytest
    driver = Driver(tmp_path, library)
    monkeypatch.setenv(NVML_CONFIG_VARIABLE, str(driver.config))
    yield driver
    for events in driver.started:
        events.close()


def wait_until_it_listens(driver: Driver, events: DriverEvents) -> None:
    """Report the number 1 until it comes: those from before it listened are lost, as with the real library."""
    until_s = time.monotonic() + 20
    while time.monotonic() < until_s:
        driver.reports(0, 1)
        time.sleep(0.3)
        if events.read():
            return
    pytest.fail("the process does not listen")


def test_each_error_comes_with_its_device_and_meaning(driver: Driver) -> None:
    events = driver.events()
    wait_until_it_listens(driver, events)
    for number, xid in ((1, 79), (0, 31), (0, 48)):
        driver.reports(number, xid)
    found = [error for error in driver.reads(events, 3) if error.code != "XID 1"]
    assert [(error.code, error.effect) for error in found] == [
        ("XID 79", Effect.DRAIN),
        ("XID 31", Effect.NONE),
        ("XID 48", Effect.LOOK),
    ]
    assert found[0].message == "the driver reports XID 79 of device 1: the GPU has fallen off the bus"


@pytest.mark.parametrize(("variable", "expected"), [("0", []), ("1", [Effect.DRAIN]), ("GPU-1", [Effect.LOOK])])
def test_a_device_of_others_drains_nothing(variable: str, expected: list[Effect], driver: Driver) -> None:
    events = driver.events(CUDA_VISIBLE_DEVICES=variable, CUDA_DEVICE_ORDER="PCI_BUS_ID")
    found = [error for line in (b"1 XID 79",) if (error := events._error(FAMILY, line))]
    assert [error.effect for error in found] == expected


def test_a_driver_that_reports_none_is_asked_once_and_one_that_is_gone_again(driver: Driver) -> None:
    events = driver.events()
    driver.config.unlink()
    events.close()
    events = driver.events()  # nvmlInit fails
    (child, _) = events._children["nvidia"]
    while events._children:
        events.read()
        time.sleep(0.02)
    driver.config.write_text("1 15360 Tesla T4\nevents 0 0\n", encoding="ascii")
    events.read()
    assert not events._children, "not at once"
    driver.now_s += 61
    events.read()
    assert events._children["nvidia"][0] != child
    while events._children:
        events.read()
        time.sleep(0.02)
    driver.now_s += 10_000
    events.read()
    assert not events._children, "its devices can report nothing"


def test_no_driver_is_listened_to_for_nodes_without_its_devices() -> None:
    assert driver_events_of({"CPU": 4.0}, {}) is None
    assert driver_events_of({"neuron_cores": 2.0}, {}) is None
    assert driver_events_of({"GPU": 1.0}, {}) is not None


def test_errors_of_programs_count_for_nothing_and_an_unknown_one_is_looked_at() -> None:
    assert {effect_of("nvidia", f"XID {number}")[1] for number in OF_PROGRAMS} == {Effect.NONE}
    assert effect_of("nvidia", "XID 9999")[1] is Effect.LOOK
    assert effect_of("amd", "XID 79")[1] is Effect.LOOK


def error(code: str, effect: Effect) -> DriverError:
    return DriverError(code, f"the driver reports {code} of device 0", effect)


def watched(*errors: DriverError) -> Node:
    node, left = Node(), list(errors)

    def read() -> list[DriverError]:
        taken, left[:] = list(left), []
        return taken

    node.watcher.errors = read
    return node


def test_an_error_that_ends_the_work_of_a_device_drains_at_once() -> None:
    (event,) = watched(error("XID 79", Effect.DRAIN)).goes_on(1)
    assert (event.kind, event.code, event.acts) == (EventKind.SICK, "XID 79", True)


def test_an_error_of_a_program_changes_nothing() -> None:
    node = watched(*(error(f"XID {number}", Effect.NONE) for number in OF_PROGRAMS))
    assert node.goes_on(300) == []
    assert node.looks == 4


def test_after_an_error_that_may_be_either_the_devices_are_looked_at_at_once() -> None:
    node = watched(error("XID 48", Effect.LOOK))
    node.sick = LOST
    (event,) = node.goes_on(12)
    assert event.code == "Unhealthy"


def test_a_flood_of_one_error_is_one_line_and_one_look() -> None:
    node = Node()
    node.watcher.errors = lambda: [error("XID 74", Effect.LOOK)] * 100
    node.goes_on(50)
    assert (len(node.logged), node.looks) == (1, 1)


def test_a_look_that_finds_the_device_well_takes_no_reported_error_back() -> None:
    node = watched(error("XID 119", Effect.DRAIN))
    assert len(node.goes_on(300)) == 1


def test_the_listening_process_ends_with_the_watcher(driver: Driver) -> None:
    reading, writing = os.pipe()
    parent = os.fork()
    if parent == 0:
        events = driver.events()
        os.write(writing, f"{events._children['nvidia'][0]}\n".encode())
        wait_until_it_listens(driver, events)
        os._exit(0)
    os.waitpid(parent, 0)
    child = int(os.read(reading, 100))
    until_s = time.monotonic() + 10
    while Path(f"/proc/{child}/cmdline").exists() and Path(f"/proc/{child}/cmdline").read_bytes():
        assert time.monotonic() < until_s
        time.sleep(0.02)
