"""The files of emulated accelerators: they make a folder look like a machine with them.

Ray's detection and ours read them as they read a real machine: the PCI bus in sysfs, the driver's library (``nvml.c``,
prebuilt beside this file), the driver's tool.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
from typing import TYPE_CHECKING, Any

from accel_scaling.boot.network_devices import RDMA_CLASS
from accel_scaling.detect.pci import DEVICES
from accel_scaling.errors import RehearsalError
from accel_scaling.families.built_in.neuron import DRIVER_DEVICES, NEURON_LS
from accel_scaling.families.built_in.tpu import IOMMU_GROUPS
from accel_scaling.families.inventory import SYSROOT
from accel_scaling.testing.devices.drivers import (
    MASK,
    NVML_CONFIG,
    NVML_CONFIG_VARIABLE,
    driver_of,
    take,
    write_answers,
    write_container,
    write_driver,
    write_library,
    write_nodes,
    write_nvml,
)
from accel_scaling.testing.devices.nvidia_tools import write_dcgmi
from accel_scaling.testing.devices.vendor_packages import write_mac, write_package

if TYPE_CHECKING:
    from pathlib import Path

    from accel_scaling.testing.devices.hardware import Hardware

BYTES_PER_MIB = 1024 * 1024


def install(root: Path, hardware: Hardware) -> dict[str, str]:
    """Make the folder look like a machine with this hardware.

    Args:
        root: the host's root folder, or a folder that stands for it.
        hardware: what the machine has.

    Returns:
        The environment of a host that is a plain process, without a root file system of its own. Such a host's
        Ray finds NVIDIA devices by it, and those for which it asks a maker's Python package, but not what it looks
        for by a fixed path: ``/opt/aws/neuron/bin``, the nodes below ``/dev``.

    Raises:
        RehearsalError: there is no driver library for this machine's processor.
    """
    addresses = _write_bus(root, hardware)
    write_network(root, hardware.network_devices)
    folder = write_nvml(root, hardware) if hardware.kind == "nvml" else write_library(root / MASK)
    tools = write_dcgmi(root, hardware) if hardware.kind == "nvml" else None
    if hardware.kind == "neuron":
        _write_neuron(root, hardware, addresses)
    if hardware.kind == "tpu":
        _write_tpu(root, hardware, addresses)
    if driver_of(hardware):
        write_driver(root, hardware, addresses)
    # Without a driver LD_LIBRARY_PATH points at a library without a configuration, whose nvmlInit says "not loaded":
    # so that a rehearsing machine's real GPUs stay out of it.
    searched = {
        "LD_LIBRARY_PATH": folder,
        "PYTHONPATH": write_package(root, hardware),
        "PATH": write_mac(root, hardware) if hardware.kind == "apple" else tools,
    }
    return {
        SYSROOT: str(root),
        NVML_CONFIG_VARIABLE: str(root / NVML_CONFIG),
        **{name: _before(name, path) for name, path in searched.items() if path},
    }


def write_network(root: Path, count: int, *, seen: int | None = None, given: int | None = None) -> None:
    """Write the files of EFA devices: PCI functions, the kernel's RDMA devices, and their nodes.

    Args:
        root: the host's root folder, or a folder that stands for it.
        count: on the bus.
        seen: for how many the driver has answered; None for all.
        given: how many nodes there are, as plain files; None for one each.
    """
    for number in range(count):
        folder = root / DEVICES / f"0000:{0x80 + number:02x}:19.0"
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in {"vendor": "0x1d0f", "device": "0xefa1", "class": "0x020000"}.items():
            (folder / name).write_text(content + "\n", encoding="ascii")
    for number in range(count if seen is None else seen):
        # By the card's place: rdmap16s27 on a p4d.24xlarge.
        (root / RDMA_CLASS / f"rdmap{0x80 + number}s25").mkdir(parents=True, exist_ok=True)
    write_nodes(root, (f"infiniband/uverbs{number}" for number in range(count if given is None else given)))


def change(root: Path, hardware: Hardware) -> None:
    """Make the drivers of a machine that runs answer otherwise, and the makers' packages that Ray asks.

    Raises:
        RehearsalError: the driver of this hardware is not asked.
    """
    addresses = _write_bus(root, hardware)
    if hardware.kind == "nvml":
        write_answers(root, hardware)  # the library's own file is in use
    elif hardware.kind == "neuron":
        _write_neuron(root, hardware, addresses)
    elif driver_of(hardware):
        write_driver(root, hardware, addresses)
        write_package(root, hardware)
    else:
        raise RehearsalError(f"the driver of {hardware.driver_name} cannot show it")


def _before(name: str, folder: Path) -> str:
    inherited = os.environ.get(name)
    return f"{folder}:{inherited}" if inherited else str(folder)


def _write_bus(root: Path, hardware: Hardware) -> list[str]:
    """Write the PCI functions and return their addresses; nothing where the id is not known."""
    bus = root / DEVICES
    bus.mkdir(parents=True, exist_ok=True)
    if not hardware.pci_id:
        return []
    addresses = [f"0000:{0x10 + index:02x}:1c.0" for index in range(hardware.count * hardware.functions)]
    for index, address in enumerate(addresses):
        folder = bus / address
        folder.mkdir(exist_ok=True)
        vendor, device, *own = hardware.product(index // hardware.functions)[1].split(":")
        subsystem = own[0] if own else hardware.subsystem
        files = {"vendor": f"0x{vendor}", "device": f"0x{device}", "class": hardware.pci_class}
        if subsystem:
            files |= {"subsystem_vendor": f"0x{vendor}", "subsystem_device": f"0x{subsystem}"}
        for name, value in files.items():
            (folder / name).write_text(value + "\n", encoding="ascii")
    return addresses


def _write_tpu(root: Path, hardware: Hardware, addresses: list[str]) -> None:
    """Write the driver's device nodes, as plain files, and for vfio the groups that say whose devices they are.

    /dev/accel0 up to v4, /dev/vfio/0 since v5e: github.com/google/cloud-accelerator-diagnostics, tpu_info/device.py.
    """
    # Of a chip that the driver did not take, the kernel shows neither a link nor a node.
    taken = addresses[: hardware.seen_by_driver if hardware.node_count is None else hardware.count]
    vfio = hardware.device_nodes == "vfio"
    take(root, taken, "vfio-pci" if vfio else "accel")
    if hardware.container:
        write_container(root)
    write_nodes(
        root, (f"vfio/{index}" if vfio else f"accel{index}" for index in range(min(len(taken), hardware.nodes)))
    )
    for index, address in enumerate(taken if vfio else ()):
        group = root / IOMMU_GROUPS / str(index) / "devices" / address
        group.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / DEVICES / address / "vendor", group / "vendor")


def _write_neuron(root: Path, hardware: Hardware, addresses: list[str]) -> None:
    """Write neuron-ls and the driver's sysfs folders."""
    records: list[dict[str, Any]] = [
        {
            "neuron_device": index,
            "bdf": address.removeprefix("0000:"),
            "connected_to": None,
            "nc_count": hardware.cores_per_device,
            "memory_size": hardware.memory_mib * BYTES_PER_MIB,
            "neuron_processes": [],
        }
        for index, address in enumerate(addresses[: hardware.seen_by_driver])
    ]
    take(root, addresses, "neuron")
    write_nodes(root, (f"neuron{index}" for index in range(hardware.nodes)))
    if hardware.container:
        write_container(root)
    # Its machine's sysfs is what a container sees, too.
    for index in range(hardware.count if hardware.container else len(records)):
        folder = root / DRIVER_DEVICES / f"neuron{index}"
        counted = hardware.facts if index == len(records) - 1 else ()
        files = {"info/architecture/device_name": hardware.product(index)[0]}
        files |= {f"stats/hardware/{name}": str(value) for name, value in counted}
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content + "\n", encoding="ascii")
    answer = f"printf '%s\\n' {shlex.quote(json.dumps(records))}"
    if hardware.hangs:
        # exec: who kills the tool at its time limit kills the sleep, too, which would hold the tool's output open.
        answer = "exec sleep 3600"
    elif hardware.lost_index is not None:
        answer = f"echo 'neuron-ls: device {hardware.lost_index} does not respond' >&2; exit 1"
    elif not records:
        answer = "echo 'neuron-ls: no neuron device available' >&2; exit 1"
    tool = root / NEURON_LS
    tool.parent.mkdir(parents=True, exist_ok=True)
    tool.write_text(f"#!/bin/sh\n# The emulated neuron-ls of a rehearsed host.\n{answer}\n", encoding="utf-8")
    tool.chmod(0o755)
