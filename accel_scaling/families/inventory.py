"""What this machine really has: the bus and each family's driver, asked without Ray."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.detect import pci
from accel_scaling.detect.model import Device, DriverState, Found
from accel_scaling.families.plugin_probe import probe
from accel_scaling.families.registry import all_families
from accel_scaling.families.unknown_devices import unprobed

if TYPE_CHECKING:
    from accel_scaling.families.family import Family

__all__ = ["SYSROOT", "Device", "DriverState", "Found", "detect", "look_for", "survey", "uptime_s"]

# Rehearsed hosts that are plain processes have no root file system of their own: this names the folder that
# stands for one. On real machines it is not set.
SYSROOT = "ACCEL_SCALING_SYSROOT"


def detect(sysroot: Path | None = None) -> list[Found]:
    """Return the accelerators of this machine, by family; empty where there is none.

    Args:
        sysroot: the folder that stands for ``/``; by default ``$ACCEL_SCALING_SYSROOT``, else ``/``.
    """
    return [found for found in survey(sysroot) if found.present]


def uptime_s(sysroot: Path | None = None) -> float | None:
    """Return for how long this machine is up, in seconds; None where the kernel does not say.

    Args:
        sysroot: as for ``detect``.
    """
    try:
        return float((_root(sysroot) / "proc/uptime").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return None


def survey(sysroot: Path | None = None) -> list[Found]:
    """As ``detect``, with the families that are not here too: their evidence says how that is known."""
    root = _root(sysroot)
    bus = pci.scan(root)
    families = all_families()
    probed = [family.probe(bus, root) for family in families]
    return probed + unprobed(bus, {family.name for family in families})


def look_for(family: Family, sysroot: Path | None = None) -> Found:
    """As ``detect``, for one plug-in family alone; what it returns is there where none is, too."""
    root = _root(sysroot)
    return probe(family, pci.scan(root), root)


def _root(sysroot: Path | None) -> Path:
    return sysroot or Path(os.environ.get(SYSROOT) or "/")
