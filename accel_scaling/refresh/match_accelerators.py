"""Matches an API's device names with the catalog's accelerators, and names those that it lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from accel_scaling.catalog.schema import MIXED, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accel_scaling.catalog.model import Chip, MachineType
    from accel_scaling.refresh.records import Device, Told

_ALIKE = 0.15  # how far the API's memory may be from the driver's: L4 slices 7 %, A10G 7 % before 2025


class Has(NamedTuple):
    """The two cells of a row, and the device that no accelerator of the catalog is."""

    accelerator: str = ""
    devices: str = ""
    unknown: Device | None = None


def has(told: Told, cloud: str, chips: Mapping[str, Chip], before: MachineType | None) -> Has:
    """Return what a machine type has.

    Args:
        told: what the API said.
        cloud: whose API.
        chips: every accelerator of the catalog.
        before: the machine type as the catalog has it; it decides where the API leaves a choice.
    """
    if not told.devices:
        return Has()
    if len(told.devices) > 1:
        return Has(UNKNOWN + MIXED.join(_counted(device) for device in told.devices))
    device = told.devices[0]
    chip = _chip(device, cloud, chips, before)
    if chip and device.count:
        return Has(chip.name, str(device.count))
    return Has(UNKNOWN + called(device), str(device.count or ""), device)


def called(device: Device) -> str:
    """Return the name by which a row, and ``api_names``, have a device: a slice of an unknown size is another thing."""
    if device.share is None:
        return f"{device.name} (a part of one)"
    return device.name if device.share == 1.0 else f"{device.name} ({device.share:g} of one)"


def _chip(device: Device, cloud: str, chips: Mapping[str, Chip], before: MachineType | None) -> Chip | None:
    exact = [chip for chip in chips.values() if called(device) in chip.api_names.get(cloud, ())]
    if device.share != 1.0:
        slices = [chip for chip in chips.values() if chip.partition_of and device.name in chip.api_names.get(cloud, ())]
        return exact[0] if len(exact) == 1 else _by_memory(slices, _memory_of_slice(device, slices, chips))
    whole = [chip for chip in exact if chip.partition_of is None]
    if len(whole) < 2:
        return whole[0] if whole else None
    if device.memory_mib is None and before and before.chip in whole:
        return before.chip
    return _by_memory(whole, device.memory_mib)


def _memory_of_slice(device: Device, slices: list[Chip], chips: Mapping[str, Chip]) -> int | None:
    wholes = [chips[chip.partition_of] for chip in slices if chip.partition_of and chip.partition_of in chips]
    whole = next((chip.memory_mib for chip in wholes), None)
    if device.memory_mib:
        return device.memory_mib
    return int(whole * device.share) if whole and device.share else None


def _by_memory(chips: list[Chip], memory_mib: int | None) -> Chip | None:
    """Return the chip whose memory is nearest, None where none is near."""
    if memory_mib is None:
        return None
    known = [(abs(chip.memory_mib - memory_mib), chip.name, chip) for chip in chips if chip.memory_mib]
    distance, _, nearest = min(known, default=(memory_mib, "", None))
    return nearest if distance <= _ALIKE * memory_mib else None


def _counted(device: Device) -> str:
    return f"{device.count} x {called(device)}" if device.count else called(device)
