"""The accelerators of this machine: the bus and each family's driver, asked without Ray."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.catalog import product_names
from accel_scaling.detect import pci
from accel_scaling.detect.model import Detection, Device, DriverState
from accel_scaling.families.catalog import chips_here
from accel_scaling.families.kinds import kinds_on_bus, with_kinds
from accel_scaling.families.probe import probe
from accel_scaling.families.registry import all_families
from accel_scaling.families.visible import narrowed

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from accel_scaling.catalog.model import Chip
    from accel_scaling.families.family import Family

__all__ = ["SYSROOT", "Detection", "Device", "DriverState", "detect", "look_for", "survey", "uptime_s"]

# Rehearsed hosts that are plain processes have no root file system of their own: this names the folder that
# stands for one. On real machines it is not set.
SYSROOT = "ACCEL_SCALING_SYSROOT"


def detect(sysroot: Path | None = None) -> list[Detection]:
    """Return the accelerators of this machine, by family; empty where there is none.

    Args:
        sysroot: the folder used as ``/``; by default ``$ACCEL_SCALING_SYSROOT``, else ``/``.
    """
    return [detection for detection in survey(sysroot) if detection.present]


def uptime_s(sysroot: Path | None = None) -> float | None:
    """Return for how long this machine is up, in seconds; None where the kernel does not say.

    Args:
        sysroot: as for ``detect``.
    """
    try:
        return float((_root(sysroot) / "proc/uptime").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return None


def survey(sysroot: Path | None = None) -> list[Detection]:
    """Return what ``detect`` does, with the families that are not here too: their evidence says how that is known."""
    root = _root(sysroot)
    # Once for all families: each probe picks its own devices from the same list.
    bus = pci.scan(root)
    families = all_families()
    probed = [probe(family, bus, root) for family in families]
    detections = probed + _unprobed(bus, {family.name for family in families})
    return narrowed(detections, families, os.environ)


def look_for(family: Family, sysroot: Path | None = None) -> Detection:
    """Return the detection of one family, where it has no device here, too."""
    root = _root(sysroot)
    return probe(family, pci.scan(root), root)


def _root(sysroot: Path | None) -> Path:
    return sysroot or Path(os.environ.get(SYSROOT) or "/")


def _unprobed(bus: Sequence[pci.PciDevice], probed: Collection[str]) -> list[Detection]:
    """Return what the bus shows of chips whose family only a user's catalog knows; ``probed`` are all others."""
    # What follows reads every accelerator of the catalog: a machine without a PCI bus does not wait for that.
    if not bus:
        return []
    by_family: dict[str, list[tuple[pci.PciDevice, list[Chip]]]] = {}
    chips = [chip for chip in chips_here().values() if chip.family not in probed]
    for device in bus:
        if candidates := product_names.chips_on_bus(device.id, chips):
            by_family.setdefault(candidates[0].family, []).append((device, candidates))
    return [_not_asked(family, seen) for family, seen in by_family.items()]


def _not_asked(family: str, seen: Sequence[tuple[pci.PciDevice, list[Chip]]]) -> Detection:
    candidates = seen[0][1]
    # One PCI id may be several products': a type is named only where all of them have the same one.
    detected = {chip.detected_type for chip in candidates}
    devices = [device for device, _ in seen]
    detection = Detection(
        family=family,
        resource=candidates[0].resource,
        count=len(devices),
        units=len(devices) * candidates[0].units_per_device,
        accelerator_type=detected.pop() if len(detected) == 1 else None,
        variant=product_names.exact_name(candidates),
        answers_to=product_names.types_of(candidates),
        devices=tuple(Device(i, None, device.address, device.id) for i, device in enumerate(devices)),
        bus_count=len(devices),
        state=DriverState.NOT_PROBED,
        trouble=f"this version has no probe for the {family} driver",
        evidence=(pci.sentence(devices, family), f"driver: not asked, this version has no probe for {family}"),
    )
    return with_kinds(detection, kinds_on_bus(devices, [chip for _, chips in seen for chip in chips]))
