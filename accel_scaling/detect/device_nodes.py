"""The device nodes that a loaded driver makes, and whose they are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from accel_scaling.detect import pci

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from pathlib import Path

_NUMBERS = re.compile(r"\d+")


def named(root: Path, pattern: str) -> list[str]:
    """Return the nodes below /dev whose names match, in the order of their numbers.

    Args:
        root: the folder used as ``/``.
        pattern: of ``glob``, e.g. ``davinci[0-9]*``.
    """
    dev = root / "dev"
    names = (path.relative_to(dev).as_posix() for path in dev.glob(pattern))
    # By their names alone, davinci10 would come before davinci2.
    return sorted(names, key=lambda name: ([int(number) for number in _NUMBERS.findall(name)], name))


def of_class(root: Path, pattern: str, kernel_class: str, pci_ids: Collection[str]) -> list[str]:
    """Return the nodes of devices with one of these PCI ids, where drivers of several makers share the names.

    Args:
        root: the folder used as ``/``.
        pattern: of ``glob``, e.g. ``dri/renderD*``.
        kernel_class: the folder below /sys/class that says whose each is, e.g. ``drm``.
        pci_ids: ``vendor:device``; none means none.
    """
    if not pci_ids:
        return []
    of_each = root / "sys/class" / kernel_class
    return [name for name in named(root, pattern) if pci.id_of(of_each / name.rpartition("/")[2] / "device") in pci_ids]


def on_bus(devices: Iterable[pci.PciDevice], root: Path) -> list[pci.PciDevice]:
    """Return the devices without the virtual functions of those that are here themselves: they are parts of them."""
    return [device for device in devices if not (root / pci.DEVICES / device.address / "physfn").exists()]


def ids_of(devices: Sequence[pci.PciDevice]) -> set[str]:
    """Return the PCI ids of these devices."""
    return {device.id for device in devices}
