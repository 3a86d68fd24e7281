"""The device nodes of a TPU's driver, as Ray 2.60 counts them: /dev/accel0 up to v4, /dev/vfio/0 since v5e."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from accel_scaling.detect.pci import PciDevice

IOMMU_GROUPS = "sys/kernel/iommu_groups"
VENDOR = "0x1ae0"  # Google's


def device_nodes(root: Path) -> list[str]:
    """Return the nodes, e.g. ``accel0`` or ``vfio/0``.

    NVIDIA's drivers make a directory /dev/accel, and other devices have vfio groups too: those are left out.
    """
    accel = [path for path in sorted((root / "dev").glob("accel*")) if not path.is_dir()]
    if accel:
        return [path.name for path in accel]
    folder = root / "dev" / "vfio"
    groups = sorted((path.name for path in folder.glob("*") if path.name.isdigit()), key=int)
    return [f"vfio/{group}" for group in groups if _is_google(root, group)]


def expected_nodes(root: Path, taken: Sequence[PciDevice]) -> int:
    """Count the nodes that these devices must have: one each, or one for each of their vfio groups."""
    grouped = [
        {path.parent.parent.name for path in (root / IOMMU_GROUPS).glob(f"*/devices/{device.address}")}
        for device in taken
    ]
    groups = set[str]().union(*grouped)
    return len(groups) + sum(not each for each in grouped)


def _is_google(root: Path, group: str) -> bool:
    return any(_read(vendor) == VENDOR for vendor in (root / IOMMU_GROUPS / group / "devices").glob("*/vendor"))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip().lower()
    except (OSError, UnicodeDecodeError):
        return ""
