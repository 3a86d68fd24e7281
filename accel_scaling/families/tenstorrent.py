"""Tenstorrent: the bus and the driver's nodes, which Ray counts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from accel_scaling.detect import device_nodes
from accel_scaling.detect.evidence import Witnesses, found

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from accel_scaling.detect.model import Found
    from accel_scaling.detect.pci import PciDevice

FAMILY = "tenstorrent"
RESOURCE = "TTNPU"
VENDOR = "1e52"  # makes nothing but accelerators


def probe(bus: Sequence[PciDevice], root: Path) -> Found:
    """Ask the bus and the driver's nodes.

    Args:
        bus: what ``pci.scan`` returned.
        root: the folder that stands for ``/``.
    """
    ours = device_nodes.on_bus((item for item in bus if item.vendor == VENDOR), root)
    there = device_nodes.named(root, "tenstorrent/[0-9]*")
    seen = Witnesses(FAMILY, RESOURCE, "Tenstorrent", ours, there, "/dev/tenstorrent/0, ...", ray_counts_nodes=True)
    # Ray counts all that is in the folder: newer drivers have a folder by-id there, which it takes for a device.
    rays = len(device_nodes.named(root, "tenstorrent/*"))
    here = found(seen, root)
    more = f"Ray counts {rays}: all that is in /dev/tenstorrent"
    return replace(here, ray_units=rays, evidence=(*here.evidence, more)) if rays != here.ray_units else here
