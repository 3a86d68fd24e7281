"""The PCI bus as the kernel shows it: it needs no driver, and shows devices whose driver is gone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DEVICES = "sys/bus/pci/devices"


@dataclass(frozen=True)
class PciDevice:
    """One function on the bus.

    Attributes:
        address: ``domain:bus:slot.function``.
        id: ``vendor:device`` in lower-case hex, e.g. ``10de:20b0``.
        device_class: base class and sub-class, e.g. ``0302``.
        subsystem: the subsystem's device id, e.g. ``004e``; empty where the bus shows none.
    """

    address: str
    id: str
    device_class: str
    subsystem: str = ""

    @property
    def vendor(self) -> str:
        """The vendor's half of the id."""
        return self.id[:4]


def scan(root: Path) -> list[PciDevice]:
    """Return every function on the bus in address order; empty where there is no PCI bus."""
    folder = root / DEVICES
    if not folder.is_dir():
        return []
    # By address: NVML numbers its devices so, and its probe joins the two by their place.
    devices = (_read(entry) for entry in sorted(folder.iterdir()))
    return [device for device in devices if device is not None]


def sentence(devices: Sequence[PciDevice], none: str) -> str:
    """Return a sentence about the bus, e.g. ``PCI bus: 8 x 10de:20b0``; ``none`` names what is not there."""
    counts = Counter(device.id for device in devices)
    return "PCI bus: " + (", ".join(f"{count} x {name}" for name, count in counts.items()) or f"no {none}")


def id_of(entry: Path) -> str:
    """Return the ``vendor:device`` of a device's folder in sysfs, empty where it has none."""
    device = _read(entry)
    return device.id if device else ""


def _read(entry: Path) -> PciDevice | None:
    try:
        vendor, device, device_class = (
            (entry / name).read_text(encoding="ascii").strip().lower().removeprefix("0x")
            for name in ("vendor", "device", "class")
        )
    except (OSError, UnicodeDecodeError):
        return None  # hot-unplugged while we looked: then it is not there
    return PciDevice(entry.name, f"{vendor}:{device}", device_class[:4], _subsystem(entry))


def _subsystem(entry: Path) -> str:
    try:
        return (entry / "subsystem_device").read_text(encoding="ascii").strip().lower().removeprefix("0x")
    except (OSError, UnicodeDecodeError):
        return ""
