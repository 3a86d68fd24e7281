"""What the kernel shows of emulated devices that its driver has taken: nodes below /dev, links in sysfs; a container.

Nodes are plain files: nothing that looks at them opens them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling.detect.pci import DEVICES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

CONTAINER_MARK = "run/.containerenv"  # Podman's: the strongest


def take(root: Path, addresses: Iterable[str], driver: str) -> None:
    """Link each PCI function to its driver, as the kernel does when the driver takes it."""
    for address in addresses:
        link = root / DEVICES / address / "driver"
        if not link.is_symlink():
            link.symlink_to(f"../../../../bus/pci/drivers/{driver}")


def write_nodes(root: Path, names: Iterable[str]) -> None:
    """Write device nodes, e.g. ``nvidia0``."""
    for name in names:
        node = root / "dev" / name
        node.parent.mkdir(parents=True, exist_ok=True)
        node.touch()


def write_container(root: Path) -> None:
    """Make the folder a container's."""
    mark = root / CONTAINER_MARK
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
