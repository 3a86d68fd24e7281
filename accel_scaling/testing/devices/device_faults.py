"""Faults of emulated accelerators: fewer devices, no driver, memory errors, MIG, missing device nodes, containers."""

from __future__ import annotations

from dataclasses import replace

from accel_scaling.errors import RehearsalError
from accel_scaling.message_text import shown
from accel_scaling.testing.devices.drivers import DRIVERS, driver_of
from accel_scaling.testing.devices.ec2_machines import hardware_of
from accel_scaling.testing.devices.hardware import PLUG_IN_KIND, Hardware
from accel_scaling.testing.devices.nvidia_tools import DIAGNOSES

FAULTS = """\
fewer[:N]          N devices (default: one less) on the bus and in the driver
driver-fewer[:N]   all devices on the bus, the driver sees N (default: one less)
other-type:TYPE    the accelerators of another EC2 type, e.g. other-type:g6.xlarge, in the same number
mixed:TYPE         the last device is one of another EC2 type, e.g. mixed:g4dn.xlarge
no-driver          the bus shows the devices, the driver is absent
no-device          nothing on the bus, nothing in the driver
unhealthy          the driver answers with an error for one device
not-yet            the driver does not answer in time
ecc                one device has memory errors that it cannot repair
slow               NVIDIA: `dcgmi diag` takes an hour, and one device copies at a twentieth of its speed
diag-fails         NVIDIA: `dcgmi diag` finds an error of one device, and one bit of its memory is always 1
mig[:N]            NVIDIA: one device is cut into N slices (default: 7)
no-node            one device has no node below /dev
hidden[:N]         a container that was given N of the machine's devices (default: none)"""

_HEALTH_FAULTS = ("ecc", "mig", "no-node", "hidden", "slow", "diag-fails")

# What the driver then says, by kind of hardware: words of nvml.c and cuda.c; names of counters in Neuron's sysfs.
_MEMORY_ERRORS = {
    "nvml": (("ecc", 2), ("remap-failed", 1), ("recovery", 1)),
    "neuron": (("sram_ecc_uncorrected", 2),),
}
_NODES = ("nvml", "neuron", "tpu", *DRIVERS, PLUG_IN_KIND)
_MIG_SLICES = 7


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
        return replace(_other(fault, argument), count=hardware.count)
    if name == "mixed" and argument:
        return mixed(hardware, *_other(fault, argument).product(0))
    if name in _HEALTH_FAULTS:
        return _with_health_fault(hardware, fault)
    if argument or name not in ("no-driver", "no-device", "unhealthy", "not-yet"):
        raise RehearsalError(f"there is no fault {shown(fault)}; the faults are:\n{FAULTS}")
    return {
        "no-driver": replace(hardware, kind="pci-only"),
        "no-device": Hardware(kind="none", family=hardware.family, source="fault: no-device"),
        "unhealthy": replace(hardware, lost_index=max(hardware.count - 1, 0)),
        "not-yet": replace(hardware, hangs=True),
    }[name]


def mixed(hardware: Hardware, driver_name: str, pci_id: str = "") -> Hardware:
    """Return the hardware with another product in the place of its last device.

    Args:
        hardware: what a good machine has.
        driver_name: what the driver calls the other product.
        pci_id: its own; by default that of the others.
    """
    alike = ((hardware.driver_name, hardware.pci_id),) * (hardware.count - 1)
    return replace(hardware, products=(*alike, (driver_name, pci_id or hardware.pci_id)))


def _other(fault: str, machine_type: str) -> Hardware:
    other = hardware_of(machine_type)
    if other.kind == "none":
        raise RehearsalError(f"fault {shown(fault)}: {machine_type} has no accelerator; for none at all use no-device")
    return other


def _with_health_fault(hardware: Hardware, fault: str) -> Hardware:
    """Return the hardware with one of ``_HEALTH_FAULTS``.

    Raises:
        RehearsalError: this hardware cannot have it, or its argument makes no sense.
    """
    name, _, argument = fault.partition(":")
    if argument and (name not in ("mig", "hidden") or not argument.isdecimal()):
        raise RehearsalError(f"fault {shown(fault)}: {shown(argument)} is not a number of devices")
    only_nvml = dict.fromkeys(("mig", *DIAGNOSES), ("nvml",))
    kinds = {"ecc": tuple(_MEMORY_ERRORS), **only_nvml}.get(name, _NODES)
    if hardware.kind not in kinds:
        raise RehearsalError(f"fault {shown(fault)}: only these drivers can show it: {', '.join(kinds)}")
    if name == "ecc":
        return replace(hardware, facts=_MEMORY_ERRORS[hardware.kind])
    if name in DIAGNOSES:
        return replace(hardware, facts=((name, 1),))
    if name == "mig":
        return replace(hardware, facts=(("mig", int(argument or _MIG_SLICES)),))
    if name == "no-node":
        return replace(hardware, node_count=max(hardware.count - 1, 0))
    given = int(argument or 0)
    return replace(hardware, container=True, node_count=given, driver_count=given)


def _refuse_what_cannot_be(hardware: Hardware, fault: str, name: str) -> None:
    driver = driver_of(hardware)
    if name in ("unhealthy", "not-yet") and (hardware.kind == "tpu" or (driver and not driver.is_asked)):
        device = "TPU" if hardware.kind == "tpu" else hardware.driver_name
        raise RehearsalError(
            f"fault {shown(fault)}: a {device}'s driver says no more than its device nodes; use no-driver"
        )
    if hardware.kind == "fpga" and name in ("no-driver", "driver-fewer", "unhealthy", "not-yet"):
        raise RehearsalError(
            f"fault {shown(fault)}: an FPGA is used without a driver of the kernel's; use fewer or no-device"
        )


def _number(fault: str, argument: str, default: int) -> int:
    if argument and not argument.isdecimal():
        raise RehearsalError(f"fault {shown(fault)}: {shown(argument)} is not a number of devices")
    return int(argument) if argument else max(default, 0)
