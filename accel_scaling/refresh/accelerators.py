"""Accelerators of an API's answer: matched with the catalog's, and an entry to begin with for those that it lacks.

What a person must fill in is in ``<...>`` in the entry; ``catalog check`` refuses it until that is gone.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

from accel_scaling.catalog.columns import MIXED, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accel_scaling.catalog.model import Chip, MachineType
    from accel_scaling.refresh.records import ApiDevice, ApiMachine

_ALIKE = 0.15  # how far the API's memory may be from the driver's: L4 slices 7 %, A10G 7 % before 2025

WIDTH = 110


class AcceleratorCells(NamedTuple):
    """The two cells of a row, and the device that no accelerator of the catalog is."""

    accelerator: str = ""
    devices: str = ""
    unknown: ApiDevice | None = None


def accelerator_cells(
    machine: ApiMachine, cloud: str, chips: Mapping[str, Chip], before: MachineType | None
) -> AcceleratorCells:
    """Return the cells of a machine type's accelerators.

    Args:
        machine: the machine type, as the API describes it.
        cloud: whose API.
        chips: every accelerator of the catalog.
        before: the machine type as the catalog has it; it decides where the API leaves a choice.
    """
    if not machine.devices:
        return AcceleratorCells()
    # A node has one kind of accelerator; which one tasks may ask for, only a person can say.
    if len(machine.devices) > 1:
        return AcceleratorCells(UNKNOWN + MIXED.join(_counted(device) for device in machine.devices))
    device = machine.devices[0]
    chip = _chip(device, cloud, chips, before)
    if chip and device.count:
        return AcceleratorCells(chip.name, str(device.count))
    return AcceleratorCells(UNKNOWN + called(device), str(device.count or ""), device)


def called(device: ApiDevice) -> str:
    """Return the name by which a row, and ``api_names``, have a device: a slice of an unknown size is another thing."""
    if device.share is None:
        return f"{device.name} (a part of one)"
    return device.name if device.share == 1.0 else f"{device.name} ({device.share:g} of one)"


def _chip(device: ApiDevice, cloud: str, chips: Mapping[str, Chip], before: MachineType | None) -> Chip | None:
    exact = [chip for chip in chips.values() if called(device) in chip.api_names.get(cloud, ())]
    if device.share != 1.0:
        slices = [chip for chip in chips.values() if chip.partition_of and device.name in chip.api_names.get(cloud, ())]
        return exact[0] if len(exact) == 1 else _by_memory(slices, _memory_of_slice(device, slices, chips))
    # EC2 calls both A100 by one name: then their memory tells which, or the row that the catalog has.
    whole = [chip for chip in exact if chip.partition_of is None]
    if len(whole) < 2:
        return whole[0] if whole else None
    if device.memory_mib is None and before and before.chip in whole:
        return before.chip
    return _by_memory(whole, device.memory_mib)


def _memory_of_slice(device: ApiDevice, slices: list[Chip], chips: Mapping[str, Chip]) -> int | None:
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
    # The name is there for equal distances: chips have no order.
    distance, _, nearest = min(known, default=(memory_mib, "", None))
    return nearest if distance <= _ALIKE * memory_mib else None


def _counted(device: ApiDevice) -> str:
    return f"{device.count} x {called(device)}" if device.count else called(device)


class _Kind(NamedTuple):
    """The accelerators of one maker, and the tool by which a person reads their names on a node."""

    family: str
    driver: str
    detected: str = "<what `accel-scaling detect` shows there, or null>"
    variant: bool = False


# By the API's word for the kind, then by the maker; what Ray has no manager for is counted only.
_KINDS = {
    ("gpu", "nvidia"): _Kind("nvidia", "nvidia-smi --query-gpu=name"),
    ("accelerator", "nvidia"): _Kind("nvidia", "nvidia-smi --query-gpu=name"),
    ("gpu", "amd"): _Kind("amd", "amd-smi"),
    ("gpu", "habana"): _Kind("gaudi", "hl-smi"),
    ("gpu", "intel"): _Kind("intel", "dpctl"),
    ("neuron", ""): _Kind("neuron", "neuron-ls", "aws-neuron-core", variant=True),
    ("inference", "qualcomm"): _Kind("qaic", "the driver", "null", variant=True),
    ("fpga", ""): _Kind("fpga", "the driver", "null", variant=True),
    ("media", ""): _Kind("media", "the driver", "null", variant=True),
    ("accelerator", "google"): _Kind("tpu", "tpu-info"),
}


def entry(device: ApiDevice, cloud: str, chips: Mapping[str, Chip]) -> str:
    """Return the YAML entry to begin with.

    Args:
        device: the device, as the API describes it.
        cloud: whose API.
        chips: the catalog's accelerators: the resource is that of others of the family.
    """
    maker = device.maker.casefold()
    kind = _KINDS.get((device.kind, maker)) or _KINDS.get((device.kind, ""))
    family = kind.family if kind else "<whose driver it has: nvidia, amd, ...>"
    resource = next((chip.resource for chip in chips.values() if chip.family == family), "<its Ray resource>")
    key = re.sub(r"[^A-Za-z0-9._-]+", "-", called(device)).strip("-.") or "NEW"
    fields = {
        "family": _text(family),
        "resource": _text(resource),
        "detected_type": _text(kind.detected if kind else "<the type that Ray detects, or null>"),
        "variant": _text(key) if kind is None or kind.variant or device.share != 1.0 else None,
        "units_per_device": _text(f"<units that Ray counts; the API says {device.cores} cores>")
        if device.cores
        else None,
        "memory_mib": str(device.memory_mib) if device.memory_mib else '"<of one, in MiB>"',
        "partition_of": _text(f"<the whole of which it is {device.share or 'a part'}>")
        if device.share != 1.0
        else None,
        "driver_names": f'["<by {kind.driver if kind else "the driver"}>"]',
        "pci_ids": '["<by lspci -n: vendor:device>"]',
        "api_names": f"{{{cloud}: [{_text(called(device))}]}}",
        "source": _text("<who says so>"),
    }
    lines = [f"{_text(key)}:", "  {"]
    for field, value in fields.items():
        if value is None:
            continue
        cell = f"{field}: {value}, "
        if len(lines[-1]) + len(cell) > WIDTH:
            lines[-1] = lines[-1].rstrip()
            lines.append("   ")
        lines[-1] += cell
    lines[-1] = lines[-1].removesuffix(", ") + "}"
    return "\n".join(lines)


def _text(value: str) -> str:
    """Return a text as YAML writes it, quoted where it must be; null stays null."""
    # YAML 1.1 reads these words as booleans.
    plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]*", value)
    return value if plain and value not in {"true", "false", "yes", "no", "on", "off"} else json.dumps(value)
