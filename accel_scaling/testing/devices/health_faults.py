"""Faults of devices that are there and that the driver answers for: memory errors, MIG, device nodes, containers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from accel_scaling.errors import RehearsalError
from accel_scaling.testing.devices.drivers import DRIVERS
from accel_scaling.testing.devices.plugin_hardware import KIND

if TYPE_CHECKING:
    from accel_scaling.testing.devices.hardware import Hardware

HEALTH_FAULTS = ("ecc", "mig", "no-node", "hidden")

# What the driver then says, by kind of hardware: words of nvml.c; names of counters in Neuron's sysfs.
_MEMORY_ERRORS = {
    "nvml": (("ecc", 2), ("remap-failed", 1), ("recovery", 1)),
    "neuron": (("sram_ecc_uncorrected", 2),),
}
_NODES = ("nvml", "neuron", "tpu", *DRIVERS, KIND)
MIG_SLICES = 7


def with_health_fault(hardware: Hardware, fault: str) -> Hardware:
    """Return the hardware with one of ``HEALTH_FAULTS``.

    Raises:
        RehearsalError: this hardware cannot have it, or its argument makes no sense.
    """
    name, _, argument = fault.partition(":")
    if argument and (name not in ("mig", "hidden") or not argument.isdecimal()):
        raise RehearsalError(f"fault {fault!r}: {argument!r} is not a number of devices")
    kinds = {"ecc": tuple(_MEMORY_ERRORS), "mig": ("nvml",)}.get(name, _NODES)
    if hardware.kind not in kinds:
        raise RehearsalError(f"fault {fault!r}: only these drivers can show it: {', '.join(kinds)}")
    if name == "ecc":
        return replace(hardware, facts=_MEMORY_ERRORS[hardware.kind])
    if name == "mig":
        return replace(hardware, facts=(("mig", int(argument or MIG_SLICES)),))
    if name == "no-node":
        return replace(hardware, node_count=max(hardware.count - 1, 0))
    given = int(argument or 0)
    return replace(hardware, container=True, node_count=given, driver_count=given)
