"""A machine whose devices are not all alike: each is compared with the promise by itself, whatever their order."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from accel_scaling.boot.compare import compare
from accel_scaling.boot.verdicts import VerdictWord
from accel_scaling.families.inventory import detect
from accel_scaling.testing.devices.device_faults import mixed
from accel_scaling.testing.devices.gcp_machines import hardware_of_tpu
from accel_scaling.testing.devices.hardware import Hardware
from tests.support.devices import neuron, nvidia
from tests.support.families import OTHER, devices

A100 = ("NVIDIA A100-SXM4-40GB", "10de:20b0")
A100_80G = ("NVIDIA A100-SXM4-80GB", "10de:20b2")
T4 = ("Tesla T4", "10de:1eb8")
Z9 = ("NVIDIA Z9", "10de:ffff")  # the catalog lacks it
A100_40G_TYPES = {"accelerator_type:A100": 1, "accelerator_type:A100-40G": 1}


def with_odd_one(hardware: Hardware, other: tuple[str, str], at: int) -> Hardware:
    """Return the hardware with another product at a place."""
    alike = [(hardware.driver_name, hardware.pci_id)] * (hardware.count - 1)
    return replace(hardware, products=(*alike[:at], other, *alike[at:]))


@pytest.mark.parametrize("at", [0, 3, 7])
@pytest.mark.parametrize(("other", "name"), [(T4, "T4"), (A100_80G, "A100-80G"), (Z9, Z9[0])])
def test_one_gpu_of_another_type_refuses_the_machine_whatever_its_place(boot, other, name, at):
    boot(with_odd_one(nvidia(8), other, at))
    verdict = compare({"GPU": 8, **A100_40G_TYPES}, detect())
    assert verdict.word is VerdictWord.OTHER_TYPE
    kinds = ["7 x A100-40G", f"1 x {name}"]
    told = " and ".join(reversed(kinds) if at == 0 else kinds)
    assert f"that is {told}, and a node has devices of one type" in verdict.message
    names = [f"7 x {A100[0]}", f"1 x {other[0]}"]
    assert f"8 seen by the driver as {', '.join(reversed(names) if at == 0 else names)}" in verdict.message


@pytest.mark.parametrize("promised", [7, 1])
def test_fewer_promised_than_there_are_of_the_type_do_not_make_it_one_type(boot, promised):
    boot(with_odd_one(nvidia(8), T4, 7))
    assert compare({"GPU": promised, **A100_40G_TYPES}, detect()).word is VerdictWord.OTHER_TYPE


def test_a_type_that_all_devices_answer_to_may_be_promised(boot):
    boot(with_odd_one(nvidia(8), A100_80G, 7))
    verdict = compare({"GPU": 8, "accelerator_type:A100": 1}, detect())
    assert verdict.word is VerdictWord.CONFIRMED
    assert verdict.message.endswith(": 7 x A100-40G and 1 x A100-80G")
    assert compare({"GPU": 8}, detect()).word is VerdictWord.CONFIRMED, "no type is promised"


def test_the_bus_alone_tells_of_another_product_where_the_driver_has_one_name_for_all(boot):
    hardware = with_odd_one(nvidia(8), (A100[0], T4[1]), 7)
    boot(hardware)
    verdict = compare({"GPU": 8, **A100_40G_TYPES}, detect())
    assert verdict.word is VerdictWord.OTHER_TYPE
    assert "that is 7 x A100-40G and 1 x T4" in verdict.message


def test_the_driver_alone_tells_of_another_product_where_the_bus_has_one_id(boot):
    boot(mixed(nvidia(8), T4[0]))
    assert compare({"GPU": 8, **A100_40G_TYPES}, detect()).word is VerdictWord.OTHER_TYPE


def test_a_device_that_another_driver_has_is_not_nvidias(boot):
    """As a display adapter, or one that is given to a virtual machine: NVML does not list it."""
    boot(replace(with_odd_one(nvidia(8), T4, 7), driver_count=7))
    assert compare({"GPU": 7, **A100_40G_TYPES}, detect()).confirmed
    assert compare({"GPU": 8, **A100_40G_TYPES}, detect()).word is VerdictWord.FEWER_THAN_PROMISED


def test_two_ids_of_one_product_are_one_type(boot):
    boot(with_odd_one(nvidia(8), ("NVIDIA A100-SXM4-40GB", "10de:20f1"), 7))
    assert compare({"GPU": 8, **A100_40G_TYPES}, detect()).word is VerdictWord.CONFIRMED


def test_whole_devices_and_a_partition_are_two_types(boot):
    boot(with_odd_one(nvidia(4, "NVIDIA L4", "10de:27b8"), ("NVIDIA L4-3Q", "10de:27b8"), 3))
    verdict = compare({"GPU": 4, "accelerator_type:L4": 1}, detect())
    assert verdict.word is VerdictWord.OTHER_TYPE
    assert "3 x L4 and 1 x L4-3Q" in verdict.message


V2 = hardware_of_tpu("v2-8")[0]
# Family: four devices of which one is another product, the promise of four of the first, and both names.
OTHERS = {
    "neuron": (
        with_odd_one(neuron(4), ("Trainium", "1d0f:7164"), 2),
        {"neuron_cores": 16, "accelerator_type:aws-neuron-core": 1, "accelerator_type:Trainium2": 1},
        "3 x Trainium2 and 1 x Trainium",
    ),
    "tpu": (
        replace(V2, products=(*(((V2.driver_name, f"{V2.pci_id}:004e"),) * 3), ("TPU v3", f"{V2.pci_id}:004f"))),
        {"TPU": 4, "accelerator_type:TPU-V2": 1},
        "3 x TPU-V2 and 1 x TPU-V3",
    ),
    **{
        family: (
            with_odd_one(devices(family, 4), (OTHER[family].driver_name, OTHER[family].pci_id), 3),
            {resource: 4, f"accelerator_type:{first}": 1},
            f"3 x {first} and 1 x {second}",
        )
        for family, resource, first, second in (
            ("amd", "GPU", "AMD-Instinct-MI300X-OAM", "AMD-Instinct-MI210"),
            ("intel", "GPU", "Intel-GPU-Max-1550", "Intel-GPU-Flex-170"),
            ("gaudi", "HPU", "Intel-GAUDI2", "Intel-GAUDI"),
            ("rbln", "RBLN", "RBLN-CA25", "RBLN-CA22"),
            ("metax", "GPU", "MXC500", "MXC550"),
            ("furiosa", "FURIOSA", "FURIOSA_RNGD", "FURIOSA_RNGDPLUS"),
            ("tenstorrent", "TTNPU", "Blackhole", "Wormhole"),
            ("fpga", "FPGA", "VU47P", "VU9P"),
        )
    },
}


@pytest.mark.parametrize("family", OTHERS)
def test_every_family_whose_evidence_tells_devices_apart_is_compared_one_by_one(boot, monkeypatch, family):
    hardware, promised, kinds = OTHERS[family]
    monkeypatch.setenv("TPU_ACCELERATOR_TYPE", "v2-8")
    monkeypatch.setenv("TPU_WORKER_ID", "0")
    boot(replace(hardware, products=()))
    assert compare(promised, detect()).word is VerdictWord.CONFIRMED
    boot(hardware)
    verdict = compare(promised, detect())
    assert verdict.word is VerdictWord.OTHER_TYPE, verdict.message
    assert f"that is {kinds}, and a node has" in verdict.message


def test_the_nodes_of_two_mobilint_products_are_two_types(boot):
    machine = boot(devices("mobilint", 2))
    shutil.copy(machine.root / "dev/aries0", machine.root / "dev/regulus-npu0")
    verdict = compare({"MBLT": 2, "accelerator_type:MOBILINT_ARIES": 1}, detect())
    assert verdict.word is VerdictWord.OTHER_TYPE
    assert "2 x MOBILINT_ARIES and 1 x MOBILINT_REGULUS" in verdict.message


@pytest.mark.parametrize(
    ("at", "visible", "confirmed"),
    [
        (7, "0,1,2,3,4,5,6", True),
        (7, "1,2,3,4,5,6,7", False),
        (0, "1,2,3,4,5,6,7", False),  # Ray would announce the type of the first device, too
        (7, "GPU-1,GPU-2,GPU-3,GPU-4,GPU-5,GPU-6,GPU-7", False),
    ],
)
def test_devices_of_another_type_may_be_hidden_where_it_is_sure_which_are(boot, monkeypatch, at, visible, confirmed):
    boot(with_odd_one(nvidia(8), T4, at))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    verdict = compare({"GPU": 7, **A100_40G_TYPES}, detect())
    assert verdict.word is (VerdictWord.CONFIRMED if confirmed else VerdictWord.OTHER_TYPE), verdict.message
    if confirmed:
        assert verdict.message.endswith("leaves 7 of 8 visible")
    monkeypatch.delenv("CUDA_DEVICE_ORDER")  # by itself CUDA begins with the fastest
    assert compare({"GPU": 7, **A100_40G_TYPES}, detect()).word is VerdictWord.OTHER_TYPE


def in_container(boot, hardware: Hardware, given: tuple[tuple[str, str], ...]):
    """Boot a container that was given the last devices of a machine, of which its driver knows no others."""
    machine = boot(replace(hardware, container=True, node_count=len(given), driver_count=len(given)))
    packages = [file for file in machine.root.rglob("*.py") if "COUNT" in file.read_text(encoding="utf-8")]
    for package in packages:
        names, ids = zip(*given, strict=True)
        with package.open("a", encoding="utf-8") as file:
            file.write(f"NAMES, PCI_IDS = {list(names)!r}, {list(ids)!r}\nNAME = NAMES[0]\n")


@pytest.mark.parametrize(
    ("family", "resource", "second"),
    [
        ("amd", "GPU", "AMD-Instinct-MI210"),
        ("intel", "GPU", "Intel-GPU-Flex-170"),
        ("metax", "GPU", "MXC550"),
        ("furiosa", "FURIOSA", "FURIOSA_RNGDPLUS"),
    ],
)
def test_a_container_that_was_given_devices_of_one_type_has_one_type(boot, family, resource, second):
    """The PCI bus in it is its machine's, with devices that it cannot open."""
    one, other = devices(family, 4), (OTHER[family].driver_name, OTHER[family].pci_id)
    own = ((one.driver_name, one.pci_id),) * 2
    in_container(boot, replace(one, products=(*own, other, other)), (other, other))
    verdict = compare({resource: 2, f"accelerator_type:{second}": 1}, detect())
    assert verdict.word is VerdictWord.CONFIRMED, verdict.message


def test_a_container_that_was_given_gpus_of_both_types_has_two(boot):
    hardware = replace(nvidia(8), products=((A100,) * 4 + (T4,) * 4))
    boot(replace(hardware, container=True, node_count=6, driver_count=6))
    verdict = compare({"GPU": 6, **A100_40G_TYPES}, detect())
    assert verdict.word is VerdictWord.OTHER_TYPE
    assert "4 x A100-40G and 2 x T4" in verdict.message
    boot(replace(hardware, container=True, node_count=4, driver_count=4))
    assert compare({"GPU": 4, **A100_40G_TYPES}, detect()).confirmed


def test_detect_prints_each_kind_with_its_count_and_that_ray_takes_the_first(boot):
    machine = boot(with_odd_one(nvidia(8), T4, 7))
    lines = machine.command("detect").stdout.splitlines()
    assert lines[0] == "7 x A100-40G, 1 x T4"
    assert "  NVML: 7 x NVIDIA A100-SXM4-40GB, 1 x Tesla T4" in lines
    assert lines[-1] == "  Ray: announces GPU: 8, accelerator_type:A100 (of the first device)"
    (found,) = json.loads(machine.command("detect", "--json").stdout)
    assert [(kind["name"], kind["count"]) for kind in found["kinds"]] == [("A100-40G", 7), ("T4", 1)]
    assert found["answers_to"] == []
    done = machine.command("confirm", "--expect", json.dumps({"GPU": 8, **A100_40G_TYPES}))
    assert done.returncode == 3
