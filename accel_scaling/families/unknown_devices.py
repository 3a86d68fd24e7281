"""Chips of a user's own catalog that the bus shows and whose family nobody probes: said plainly, never passed over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling.catalog import product_names
from accel_scaling.catalog.load import chips_here
from accel_scaling.detect import pci
from accel_scaling.detect.model import Device, DriverState, Found

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from accel_scaling.catalog.model import Chip


def unprobed(bus: Sequence[pci.PciDevice], probed: Collection[str]) -> list[Found]:
    """Return what the bus shows of other families' chips.

    Args:
        bus: what ``pci.scan`` returned.
        probed: the families that have a probe.
    """
    if not bus:
        return []
    by_family: dict[str, list[tuple[pci.PciDevice, list[Chip]]]] = {}
    chips = [chip for chip in chips_here().values() if chip.family not in probed]
    for device in bus:
        if candidates := product_names.chips_on_bus(device.id, chips):
            by_family.setdefault(candidates[0].family, []).append((device, candidates))
    return [_found(family, seen) for family, seen in by_family.items()]


def _found(family: str, seen: Sequence[tuple[pci.PciDevice, list[Chip]]]) -> Found:
    candidates = seen[0][1]
    detected = {chip.detected_type for chip in candidates}
    devices = [device for device, _ in seen]
    return Found(
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
