"""The entry to add for an accelerator that the catalog lacks: what the API tells, and what a person must fill in.

What a person must fill in stands in ``<...>``; ``catalog check`` refuses the entry until it is gone.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

from accel_scaling.refresh.match_accelerators import called

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accel_scaling.catalog.model import Chip
    from accel_scaling.refresh.records import Device

WIDTH = 110


class _Kind(NamedTuple):
    """How the accelerators of a maker are found on a node: what a person reads there."""

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


def entry(device: Device, cloud: str, chips: Mapping[str, Chip]) -> str:
    """Return the YAML entry to begin with.

    Args:
        device: what the API told of one.
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
    """Return a text as YAML has it, quoted where it must be; null stays null."""
    plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]*", value)
    return value if plain and value not in {"true", "false", "yes", "no", "on", "off"} else json.dumps(value)
