"""Emulated accelerators: the files that make a folder look like a machine with them, faults included.

What a rehearsed host shows is read by Ray's own detection and by ours through the same doors as on a real machine:
the PCI bus in sysfs, the driver's library (``nvml.c``, prebuilt beside this file), the driver's tool.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from accel_scaling.detect.pci import DEVICES
from accel_scaling.errors import RehearsalError
from accel_scaling.families.built_in.neuron.neuron_ls import DRIVER_DEVICES, NEURON_LS
from accel_scaling.families.built_in.tpu import IOMMU_GROUPS
from accel_scaling.families.inventory import SYSROOT
from accel_scaling.testing.devices.device_nodes import take, write_container, write_nodes
from accel_scaling.testing.devices.drivers import driver_of, write_driver
from accel_scaling.testing.devices.hardware import Hardware, hardware_of
from accel_scaling.testing.devices.health_faults import HEALTH_FAULTS, with_health_fault
from accel_scaling.testing.devices.mac import write_mac
from accel_scaling.testing.devices.nvml_files import MASK, NVML_CONFIG, NVML_CONFIG_VARIABLE, write_library, write_nvml
from accel_scaling.testing.devices.vendor_packages import write_package

if TYPE_CHECKING:
    from pathlib import Path

BYTES_PER_MIB = 1024 * 1024

FAULTS = """\
fewer[:N]          N devices (default: one less) on the bus and in the driver
driver-fewer[:N]   all devices on the bus, the driver sees N (default: one less)
other-type:TYPE    the accelerators of another EC2 type, e.g. other-type:g6.xlarge, in the same number
no-driver          the bus shows the devices, the driver is absent
no-device          nothing on the bus, nothing in the driver
unhealthy          the driver answers with an error for one device
not-yet            the driver does not answer in time
ecc                one device has memory errors that it cannot repair
mig[:N]            NVIDIA: one device is cut into N slices (default: 7)
no-node            one device has no node below /dev
hidden[:N]         a container that was given N of the machine's devices (default: none)"""


def with_fault(hardware: Hardware, fault: str) -> Hardware:
    """Return the hardware with something wrong with it.

    Args:
        hardware: what a good machine of the type has.
        fault: a line of ``FAULTS``, e.g. ``fewer:7`` or ``no-driver``.

    Raises:
        RehearsalError: there is no such fault, or its argument makes no sense.
    """
    name, _, argument = fault.partition(":")
    _refuse_what_cannot_be(hardware, fault, name)
    if name in ("fewer", "driver-fewer"):
        left = _number(fault, argument, hardware.count - 1)
        return replace(hardware, driver_count=left) if name == "driver-fewer" else replace(hardware, count=left)
    if name == "other-type" and argument:
        other = hardware_of(argument)
        if other.kind == "none":
            raise RehearsalError(f"fault {fault!r}: {argument} has no accelerator; for none at all use no-device")
        return replace(other, count=hardware.count)
    if name in HEALTH_FAULTS:
        return with_health_fault(hardware, fault)
    if argument or name not in ("no-driver", "no-device", "unhealthy", "not-yet"):
        raise RehearsalError(f"there is no fault {fault!r}; the faults are:\n{FAULTS}")
    return {
        "no-driver": replace(hardware, kind="pci-only"),
        "no-device": Hardware(kind="none", family=hardware.family, source="fault: no-device"),
        "unhealthy": replace(hardware, lost_index=max(hardware.count - 1, 0)),
        "not-yet": replace(hardware, hangs=True),
    }[name]


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
    folder = write_nvml(root, hardware) if hardware.kind == "nvml" else write_library(root / MASK)
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
        "PATH": write_mac(root, hardware) if hardware.kind == "apple" else None,
    }
    return {
        SYSROOT: str(root),
        NVML_CONFIG_VARIABLE: str(root / NVML_CONFIG),
        **{name: _before(name, path) for name, path in searched.items() if path},
    }


def _before(name: str, folder: Path) -> str:
    inherited = os.environ.get(name)
    return f"{folder}:{inherited}" if inherited else str(folder)


def _refuse_what_cannot_be(hardware: Hardware, fault: str, name: str) -> None:
    driver = driver_of(hardware)
    if name in ("unhealthy", "not-yet") and (hardware.kind == "tpu" or (driver and not driver.is_asked)):
        device = "TPU" if hardware.kind == "tpu" else hardware.driver_name
        raise RehearsalError(f"fault {fault!r}: a {device}'s driver says no more than its device nodes; take no-driver")
    if hardware.kind == "fpga" and name in ("no-driver", "driver-fewer", "unhealthy", "not-yet"):
        raise RehearsalError(
            f"fault {fault!r}: an FPGA is used without a driver of the kernel's; take fewer or no-device"
        )


def _number(fault: str, argument: str, default: int) -> int:
    if argument and not argument.isdecimal():
        raise RehearsalError(f"fault {fault!r}: {argument!r} is not a number of devices")
    return int(argument) if argument else max(default, 0)


def _write_bus(root: Path, hardware: Hardware) -> list[str]:
    """Write the PCI functions and return their addresses; nothing where the id is not known."""
    bus = root / DEVICES
    bus.mkdir(parents=True, exist_ok=True)
    if not hardware.pci_id:
        return []
    vendor, device = hardware.pci_id.split(":")
    addresses = [f"0000:{0x10 + index:02x}:1c.0" for index in range(hardware.count * hardware.functions)]
    for address in addresses:
        folder = bus / address
        folder.mkdir(exist_ok=True)
        files = {"vendor": f"0x{vendor}", "device": f"0x{device}", "class": hardware.pci_class}
        if hardware.subsystem:
            files |= {"subsystem_vendor": f"0x{vendor}", "subsystem_device": f"0x{hardware.subsystem}"}
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
        files = {"info/architecture/device_name": hardware.driver_name}
        files |= {f"stats/hardware/{name}": str(value) for name, value in counted}
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content + "\n", encoding="ascii")
    answer = f"printf '%s\\n' {shlex.quote(json.dumps(records))}"
    if hardware.hangs:
        answer = "exec sleep 3600"
    elif hardware.lost_index is not None:
        answer = f"echo 'neuron-ls: device {hardware.lost_index} does not respond' >&2; exit 1"
    elif not records:
        answer = "echo 'neuron-ls: no neuron device available' >&2; exit 1"
    tool = root / NEURON_LS
    tool.parent.mkdir(parents=True, exist_ok=True)
    tool.write_text(f"#!/bin/sh\n# The emulated neuron-ls of a rehearsed host.\n{answer}\n", encoding="utf-8")
    tool.chmod(0o755)
