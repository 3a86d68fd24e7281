"""Tenstorrent: the driver's nodes, which Ray counts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from accel_scaling.detect import device_nodes
from accel_scaling.families.family import Family
from accel_scaling.families.probe import devices_on_bus, examine, nodes_of
from accel_scaling.families.visible import NO_DEVICES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from accel_scaling.detect.model import Detection
    from accel_scaling.detect.pci import PciDevice


def detect(bus: Sequence[PciDevice], root: Path) -> Detection:
    """Ask the bus and the driver's nodes."""
    on_bus = devices_on_bus(FAMILY, bus, root)
    result = examine(FAMILY, on_bus, nodes_of(FAMILY, on_bus, root), root)
    # Ray counts all that is in the folder: newer drivers have a folder by-id there, which it takes for a device.
    rays_number = len(device_nodes.named(root, "tenstorrent/*"))
    if rays_number == result.ray_units:
        return result
    note = f"Ray counts {rays_number}: all that is in /dev/tenstorrent"
    return replace(result, ray_units=rays_number, evidence=(*result.evidence, note))


FAMILY = Family(
    name="tenstorrent",
    resource="TTNPU",
    visible_devices="TT_VISIBLE_DEVICES",
    noun="Tenstorrent",
    vendors=["1e52"],  # makes nothing but accelerators
    nodes="tenstorrent/[0-9]*",
    ray_since=(2, 58),
    ray_counts_nodes=True,
    none_visible=("", NO_DEVICES),
    position=120,
    detect=detect,
)
