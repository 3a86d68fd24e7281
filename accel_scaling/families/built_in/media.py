"""Xilinx's media accelerators: the nodes of the xocl driver. Ray counts none: a plug-in announces them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from accel_scaling.families.family import RENDER_NODES, Family
from accel_scaling.families.probe import devices_on_bus, examine, nodes_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from accel_scaling.detect.model import Detection
    from accel_scaling.detect.pci import PciDevice

DEVICES_OF_A_U30 = 2  # a card has two devices, each with a function of its own: Xilinx Video SDK, "lscard"


def detect(bus: Sequence[PciDevice], root: Path) -> Detection:
    """Ask the bus and the driver's nodes, and count cards."""
    on_bus = devices_on_bus(FAMILY, bus, root)
    result = examine(FAMILY, on_bus, nodes_of(FAMILY, on_bus, root), root)
    cards = result.count // DEVICES_OF_A_U30
    return replace(result, count=cards, units=cards)


FAMILY = Family(
    name="media",
    resource="MEDIA",
    noun="media accelerator",
    vendors=["10ee"],
    known_ids_only=True,
    nodes="dri/renderD[0-9]*",
    kernel_class=RENDER_NODES,
    position=150,
    detect=detect,
)
