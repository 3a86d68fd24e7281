"""The emulated devices of a machine that boots: what its type has, or what a fault makes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from accel_scaling.testing.devices.device_faults import with_fault
from accel_scaling.testing.hosts.faults import HardwareFaultKind, read_faults

if TYPE_CHECKING:
    from pathlib import Path

    from accel_scaling.testing.devices.hardware import Hardware
    from accel_scaling.testing.hosts.faults import HardwareFault

_IN_WORDS = {
    HardwareFaultKind.FEWER: "fewer",
    HardwareFaultKind.NO_DRIVER: "no-driver",
    HardwareFaultKind.NONE: "no-device",
    HardwareFaultKind.UNHEALTHY: "unhealthy",
    HardwareFaultKind.NOT_YET: "not-yet",
}


def hardware_at_boot(hardware: Hardware, instance_type: str, faults_file: Path) -> Hardware:
    """What a machine of ``instance_type`` that boots now really has: ``hardware``, or what a fault makes of it."""
    fault = read_faults(faults_file).hardware.get(instance_type)
    return hardware if fault is None else _faulty(hardware, fault)


def _faulty(hardware: Hardware, fault: HardwareFault) -> Hardware:
    if fault.kind is HardwareFaultKind.OTHER:
        return replace(hardware, driver_name=fault.driver_name or "")
    words = _IN_WORDS[fault.kind]
    return with_fault(hardware, words if fault.count is None else f"{words}:{fault.count}")
