"""Rebellions: the bus, the driver's nodes, and the compiler's package, which Ray asks."""

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

FAMILY = "rbln"
RESOURCE = "RBLN"
VENDOR = "1eff"  # makes nothing but accelerators

# As ray/_private/accelerators/rbln.py.
PACKAGE = "rebel"
QUESTION = """
count = rebel.device_count()
say(count, rebel.get_npu_name() if count else None)
"""
NODES = "rbln[0-9]*"  # Rebellions' container toolkit; /dev/rsd0 beside them is no device


def probe(bus: Sequence[PciDevice], root: Path) -> Found:
    """Ask the bus, the driver's nodes and, where there are any, the package.

    Args:
        bus: what ``pci.scan`` returned.
        root: the folder that stands for ``/``.
    """
    ours = device_nodes.on_bus((item for item in bus if item.vendor == VENDOR), root)
    there = device_nodes.named(root, NODES)
    seen = Witnesses(FAMILY, RESOURCE, "RBLN NPU", ours, there, "/dev/rbln0, ...", PACKAGE)
    return found(replace(seen, reply=vendor_package.ask(PACKAGE, QUESTION)) if there else seen, root)
