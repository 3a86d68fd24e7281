"""Google's machine types and accelerator types, and what they mean; no calls."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from accel_scaling.refresh.records import ApiDevice, ApiMachine

if TYPE_CHECKING:
    from collections.abc import Iterator

ARCHITECTURES = {"X86_64": "x86_64", "ARM64": "arm64"}

# What nobody can create any more; DEPRECATED ones still can be.
GONE = ("OBSOLETE", "DELETED")

_MEMORY = re.compile(r"(?:^|[-\s])([0-9]+)\s?gb\b", re.IGNORECASE)  # nvidia-h100-80gb, "NVIDIA A100 80GB"
_MIB_PER_GIB = 1024


def is_gone(item: Any) -> bool:
    """Return whether a machine type, or an accelerator type, can no longer be created."""
    return item.deprecated.state in GONE


def lacks(item: Any) -> str | None:
    """Return what a machine type's record does not say, None where it says all that a row needs."""
    missing = [word for word, value in (("vCPUs", item.guest_cpus), ("memory", item.memory_mb)) if not value]
    return f"no {' and no '.join(missing)}" if missing else None


def told(item: Any) -> ApiMachine:
    """Return a machine type from a record of ``machineTypes``; ``accelerators`` has an entry for each kind."""
    devices: dict[str, ApiDevice] = {}
    for device in _devices(item):
        known = devices.get(device.name)
        more = (known.count or 0) if known else 0
        devices[device.name] = ApiDevice(device.name, device.count + more if device.count else device.count)
    return ApiMachine(
        name=item.name,
        vcpus=int(item.guest_cpus),
        memory_mib=int(item.memory_mb),
        arch=ARCHITECTURES.get(item.architecture),
        devices=tuple(devices.values()),
    )


def attachable(item: Any) -> ApiDevice:
    """Return an accelerator from a record of ``acceleratorTypes``; its memory where its name or description says it."""
    found = _MEMORY.search(item.name) or _MEMORY.search(item.description or "")
    return ApiDevice(
        name=item.name,
        count=None,
        memory_mib=int(found[1]) * _MIB_PER_GIB if found else None,
        maker="NVIDIA" if item.name.startswith("nvidia-") else "Google" if re.match(r"ct[0-9]|tpu", item.name) else "",
    )


def _devices(item: Any) -> Iterator[ApiDevice]:
    for each in item.accelerators:
        name = str(each.guest_accelerator_type or "").rpartition("/")[2] or "an accelerator without a name"
        yield ApiDevice(name, int(each.guest_accelerator_count) or None)
