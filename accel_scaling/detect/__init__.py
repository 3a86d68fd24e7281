"""What this machine really has: the bus and each family's driver, asked without Ray."""

from __future__ import annotations

import os
from pathlib import Path

from accel_scaling.detect import pci
from accel_scaling.detect.families import FAMILIES
from accel_scaling.detect.model import Device, DriverState, Found
from accel_scaling.detect.unprobed import unprobed

__all__ = ["SYSROOT", "Device", "DriverState", "Found", "detect", "survey"]

# Rehearsed hosts that are plain processes have no root file system of their own: this names the folder that
# stands for one. On real machines it is not set.
SYSROOT = "ACCEL_SCALING_SYSROOT"


def detect(sysroot: Path | None = None) -> list[Found]:
    """Return the accelerators of this machine, by family; empty where there is none.

    Args:
        sysroot: the folder that stands for ``/``; by default ``$ACCEL_SCALING_SYSROOT``, else ``/``.
    """
    return [found for found in survey(sysroot) if found.present]


def survey(sysroot: Path | None = None) -> list[Found]:
    """As ``detect``, with the families that are not here too: their evidence says how that is known."""
    root = sysroot or Path(os.environ.get(SYSROOT) or "/")
    bus = pci.scan(root)
    probed = [family.probe(bus, root) for family in FAMILIES]
    return probed + unprobed(bus, {family.name for family in FAMILIES})
