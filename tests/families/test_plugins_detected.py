"""A plug-in family on a machine: what `detect` finds of it, and each verdict; the made-up Ferrum N1 stands for all."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from accel_scaling import timeouts
from accel_scaling.boot.compare import compare
from accel_scaling.boot.verdicts import VerdictWord
from accel_scaling.detect.model import DriverState
from accel_scaling.errors import RehearsalError
from accel_scaling.families import families
from accel_scaling.families.inventory import detect, look_for
from accel_scaling.testing.devices.ec2_machines import hardware_of
from accel_scaling.testing.devices.hardware import Hardware
from tests.support.plugins import (
    CHIPS,
    FAMILY,
    forget,
    write_metadata,
    write_package,
)


def promise(units: float) -> dict[str, float]:
    return {"CPU": 4, "FERRUM": units, "accelerator_type:Ferrum-N1": 1}


# Devices of the machine, its fault, promised units: the verdict, and a part of its sentence.
TABLE = [
    (1, "", 1, VerdictWord.CONFIRMED, "promised 1 FERRUM of Ferrum-N1; 1 on the PCI bus, 1 seen by the driver as"),
    (4, "", 4, VerdictWord.CONFIRMED, "4 on the PCI bus, 4 seen by the driver as Ferrum N1"),
    (16, "", 16, VerdictWord.CONFIRMED, "16 on the PCI bus"),
    (4, "", 2, VerdictWord.MORE_THAN_PROMISED, "the 2 FERRUM not promised will not be used"),
    (1, "no-device", 1, VerdictWord.NO_DEVICE, "0 on the PCI bus, 0 seen by a driver"),
    (4, "no-device", 4, VerdictWord.NO_DEVICE, "check the node type's machine type"),
    (1, "no-driver", 1, VerdictWord.DRIVER_MISSING, "the ferrum driver is not loaded (no /dev/ferrum0, ...)"),
    (4, "no-driver", 4, VerdictWord.DRIVER_MISSING, "use an image that has it"),
    (4, "fewer", 4, VerdictWord.FEWER_THAN_PROMISED, "1 FERRUM missing"),
    (4, "fewer:1", 4, VerdictWord.FEWER_THAN_PROMISED, "3 FERRUM missing"),
    (4, "driver-fewer:3", 4, VerdictWord.FEWER_THAN_PROMISED, "4 on the PCI bus, 3 seen by the driver"),
    (4, "no-node", 4, VerdictWord.FEWER_THAN_PROMISED, "1 FERRUM missing"),
    (4, "hidden", 4, VerdictWord.NOT_VISIBLE_IN_CONTAINER, "start the container with --device=/dev/ferrum0 ..."),
    (4, "hidden:2", 4, VerdictWord.NOT_VISIBLE_IN_CONTAINER, "was given 2 of the machine's 4"),
    (4, "hidden:2", 2, VerdictWord.CONFIRMED, "promised 2 FERRUM"),
]  # fmt: skip


@pytest.mark.parametrize("row", TABLE)
def test_the_table(ferrum, boot, row):
    count, fault, units, word, words = row
    boot(replace(hardware_of("fe1.xlarge"), count=count), fault or None)
    verdict = compare(promise(units), detect())
    assert verdict.word is word, verdict.message
    assert words in verdict.message
    assert "NOT checked" not in verdict.message


def test_another_product_of_the_maker_is_of_another_type(ferrum, boot):
    boot(replace(hardware_of("fe1.4xlarge"), driver_name="Ferrum N2"))
    verdict = compare(promise(4), detect())
    assert verdict.word is VerdictWord.OTHER_TYPE
    assert "that is Ferrum-N2, not accelerator_type:Ferrum-N1" in verdict.message


def test_one_device_of_another_product_is_told_apart_by_the_probes_names(ferrum, boot):
    machine = hardware_of("fe1.4xlarge")
    boot(replace(machine, products=(*((machine.driver_name, machine.pci_id),) * 3, ("Ferrum N2", machine.pci_id))))
    verdict = compare(promise(4), detect())
    assert verdict.word is VerdictWord.OTHER_TYPE
    assert "that is 3 x Ferrum-N1 and 1 x Ferrum N2, and a node has devices of one type" in verdict.message


def test_the_familys_variable_narrows_it_as_rays_families(ferrum, boot, monkeypatch):
    boot(hardware_of("fe1.4xlarge"))
    monkeypatch.setenv("FERRUM_VISIBLE_DEVICES", "0,1,,")  # its manager is ours, which passes over empty ids
    verdict = compare(promise(4), detect())
    assert verdict.word is VerdictWord.FEWER_THAN_PROMISED
    assert "FERRUM_VISIBLE_DEVICES=0,1,, leaves 2 of 4 visible: 2 FERRUM missing" in verdict.message
    assert compare(promise(2), detect()).word is VerdictWord.CONFIRMED


PROBES = {
    "def probe(root): raise OSError('ioctl failed')": (VerdictWord.UNHEALTHY, "the probe of FERRUM fails: OSError"),
    "def probe(root): return 4": (VerdictWord.UNHEALTHY, "the probe of FERRUM fails: TypeError"),
    "def probe(root): return [None] * 4": (VerdictWord.UNHEALTHY, "not the product's name for each device"),
    "def probe(root): return []": (VerdictWord.UNHEALTHY, "the probe of FERRUM counts no device"),
    "def probe(root): import os; os.abort()": (VerdictWord.UNHEALTHY, "the probe of FERRUM fails: exit -6"),
    "def probe(root): import time; time.sleep(3600)": (VerdictWord.NOT_YET, "the probe of FERRUM gave no answer"),
    "def probe(root): print('chatter'); return ['Ferrum N1'] * 4": (VerdictWord.CONFIRMED, "4 seen by the driver"),
}  # fmt: skip


@pytest.mark.parametrize("probe", PROBES)
def test_whatever_a_probe_does_becomes_a_verdict(tmp_path, plugged, boot, monkeypatch, probe):
    word, words = PROBES[probe]
    if word is VerdictWord.NOT_YET:
        monkeypatch.setattr(timeouts, "DRIVER_PACKAGE_TIMEOUT_S", 0.5)
    text = f"{probe}\n{FAMILY.replace('{more}', ', probe=probe')}"
    chips = CHIPS.replace("pci_ids", "driver_names: [Ferrum N1], pci_ids")
    write_package(tmp_path / "site", text=text, chips_dot_yaml=chips)
    plugged(write_metadata(tmp_path / "site", "ferrum-x", "FERRUM = ferrum:FAMILY"))
    boot(Hardware("nodes", "ferrum", 4, "Ferrum N1", "fe00:0001", device_nodes="ferrum{}"))
    verdict = compare(promise(4), detect())
    assert verdict.word is word, verdict.message
    assert words in verdict.message


@pytest.fixture(name="simple")
def simple_fixture(tmp_path, plugged):
    """A family without a probe, with the chips that are given."""

    def write(chips: str = CHIPS, **files: str) -> None:
        write_package(tmp_path / "site", chips_dot_yaml=chips, **files)
        plugged(write_metadata(tmp_path / "site", "ferrum-x", "FERRUM = ferrum:FAMILY"))

    return write


def test_without_a_probe_the_nodes_are_counted_and_the_bus_tells_the_product(simple, boot):
    simple()
    boot(Hardware("nodes", "ferrum", 4, "", "fe00:0001", device_nodes="ferrum{}"))
    (found,) = detect()
    assert (found.count, found.ray_units, found.accelerator_type) == (4, 4, "Ferrum-N1")
    assert compare(promise(4), detect()).word is VerdictWord.CONFIRMED


def test_a_device_that_is_not_on_a_bus_is_known_by_its_node(simple, boot):
    simple(CHIPS.replace(", pci_ids: ['fe00:0001']", ""))
    boot(Hardware("nodes", "ferrum", 2, "", "", device_nodes="ferrum{}"))
    (found,) = detect()
    assert (found.bus_count, found.count, found.accelerator_type) == (0, 2, "Ferrum-N1")


def test_two_products_that_the_bus_tells_apart_are_told_apart(simple, boot):
    simple(CHIPS + CHIPS.replace("Ferrum-N1", "Ferrum-N2").replace("fe00:0001", "fe00:0002"))
    boot(Hardware("nodes", "ferrum", 1, "", "fe00:0002", device_nodes="ferrum{}"))
    assert detect()[0].accelerator_type == "Ferrum-N2"
    assert compare(promise(1), detect()).word is VerdictWord.OTHER_TYPE


def test_a_device_of_several_units_is_counted_in_units_as_it_is_promised(simple, boot):
    simple(CHIPS.replace("pci_ids", "units_per_device: 2, pci_ids"))
    boot(Hardware("nodes", "ferrum", 2, "", "fe00:0001", device_nodes="ferrum{}"))
    (found,) = detect()
    assert (found.count, found.units, found.ray_units) == (2, 4, 4)


def test_what_ray_is_told_is_what_detect_finds(ferrum, boot):
    family = families()["FERRUM"]
    boot("fe1.4xlarge")
    here = look_for(family)
    assert (here.ray_units, here.accelerator_type) == (4, "Ferrum-N1")
    boot("fe1.4xlarge", "no-driver")
    gone = look_for(family)
    assert (gone.state, gone.ray_units, gone.accelerator_type) == (DriverState.MISSING, 0, None)


def test_the_command_shows_the_family_and_says_that_it_is_not_there(ferrum, boot):
    shown = boot("fe1.4xlarge").command("detect")
    assert shown.stdout.splitlines() == [
        "4 x Ferrum-N1",
        "  PCI bus: 4 x fe00:0001",
        "  driver: 4 of /dev/ferrum0, ...",
        "  the probe of FERRUM: 4 x Ferrum N1",
        "  Ray: announces FERRUM: 4, accelerator_type:Ferrum-N1",
    ]
    assert "Cloud AI card, ferrum" in boot("m5.large").command("detect").stdout
    done = boot("fe1.4xlarge", "fewer").command("confirm", "--json", "--expect", json.dumps(promise(4)))
    assert json.loads(done.stdout)["verdict"] == "FewerThanPromised"


@pytest.mark.parametrize("fault", ["unhealthy", "not-yet", "ecc", "mig"])
def test_a_fault_that_its_rehearsals_cannot_show_is_refused(ferrum, boot, fault):
    with pytest.raises(RehearsalError, match=f"fault '{fault}'"):
        boot("fe1.4xlarge", fault)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("instance,driver_name\nfe1.xlarge,Ferrum N1\n", "hardware.csv:1: the columns must be instance, driver"),
        ("instance,driver_name,count,colour\n", "hardware.csv:1: the columns must be"),
        ("instance,driver_name,count\nfe1.xlarge,Ferrum N1,none\n", "hardware.csv:2: count is none; expected how many"),
        ("instance,driver_name,count\nfe1.xlarge,Ferrum N1\n", "hardware.csv:2: has more or fewer cells"),
        ("instance,driver_name,count,pci_id\nfe1,F,1,FE00:1\n", "hardware.csv:2: pci_id is FE00:1; expected vendor"),
    ],
)  # fmt: skip
def test_a_wrong_row_of_its_hardware_is_said_with_file_and_line(simple, table, words):
    simple(hardware_dot_csv=table)
    with pytest.raises(RehearsalError) as raised:
        hardware_of("fe1.xlarge")
    assert words in str(raised.value)
    forget()
