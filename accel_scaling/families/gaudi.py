"""Intel Gaudi: the bus, the nodes and health of the habanalabs driver, and Habana's PyTorch, which Ray asks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from accel_scaling.detect import device_nodes, vendor_package
from accel_scaling.detect.evidence import Witnesses, found

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from accel_scaling.detect.model import Found
    from accel_scaling.detect.pci import PciDevice

FAMILY = "gaudi"
RESOURCE = "HPU"
VENDOR = "1da3"  # Habana Labs
PROCESSING_ACCELERATOR = "12"

# As ray/_private/accelerators/hpu.py. Ray names a type only where the process already computes on a Gaudi, which
# `ray start` does not: so it announces none, and the promise's type stands.
PACKAGE = "habana_frameworks"
MODULE = "habana_frameworks.torch.hpu"
QUESTION = """
hpu = sys.modules["habana_frameworks.torch.hpu"]
say(
    hpu.device_count() if hpu.is_available() else 0,
    f"Intel-{hpu.get_device_name()}" if hpu.is_available() and hpu.is_initialized() else None,
)
"""

# Linux, Documentation/ABI/testing/sysfs-driver-habanalabs: "Operational", "Malfunction", "Needs reset", ...
HEALTHY = "operational"
OLD_CLASS = "sys/class/habanalabs"  # and /dev/hl0, before Linux 6.4
NEW_CLASS = "sys/class/accel"  # and /dev/accel/accel0


def probe(bus: Sequence[PciDevice], root: Path) -> Found:
    """Ask the bus, the driver's nodes, the driver for its devices' health, and Habana's package.

    Args:
        bus: what ``pci.scan`` returned.
        root: the folder that stands for ``/``.
    """
    habana = (item for item in bus if item.vendor == VENDOR and item.device_class[:2] == PROCESSING_ACCELERATOR)
    ours = device_nodes.on_bus(habana, root)
    new = device_nodes.of_class(root, "accel/accel*", "accel", device_nodes.ids_of(ours))
    there = new or device_nodes.named(root, "hl[0-9]*")
    seen = Witnesses(FAMILY, RESOURCE, "Gaudi", ours, there, "/dev/accel/accel0 or /dev/hl0, ...", PACKAGE)
    if not there:
        return found(seen, root)
    sick = _sick(root, NEW_CLASS if new else OLD_CLASS, there)
    return found(replace(seen, reply=vendor_package.ask(MODULE, QUESTION), sick=sick), root)


def _sick(root: Path, kernel_class: str, there: Sequence[str]) -> list[str]:
    sick = []
    for node in there:
        name = node.rpartition("/")[2]
        status = next(
            (text for part in ("device/status", "status") if (text := _read(root / kernel_class / name / part))), ""
        )
        if status and status.lower() != HEALTHY:
            sick.append(f"{name} is {status}")
    return sick


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
