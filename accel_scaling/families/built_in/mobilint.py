"""Mobilint: the driver's nodes, which tell the type, and qb Runtime's package, which Ray asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling.detect import device_nodes
from accel_scaling.families.family import Family
from accel_scaling.families.probe import devices_on_bus, examine

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from accel_scaling.detect.model import Detection
    from accel_scaling.detect.pci import PciDevice

TYPE_OF_NODES = {"aries[0-9]*": "MOBILINT_ARIES", "regulus-npu*": "MOBILINT_REGULUS"}


def detect(bus: Sequence[PciDevice], root: Path) -> Detection:
    """Ask the bus, the nodes of both products and the package."""
    of_type = {ray_type: device_nodes.named(root, pattern) for pattern, ray_type in TYPE_OF_NODES.items()}
    nodes = [node for named in of_type.values() for node in named]
    # By the node's name and with ARIES first, as Ray: public lists do not have Mobilint's device ids.
    ray_type = next((ray_type for ray_type, named in of_type.items() if named), None)
    each = [ray_type for ray_type, named in of_type.items() for _ in named]
    return examine(FAMILY, devices_on_bus(FAMILY, bus, root), nodes, root, ray_type=ray_type, each=each)


FAMILY = Family(
    name="mobilint",
    resource="MBLT",
    visible_devices="QBRUNTIME_VISIBLE_DEVICES",
    noun="Mobilint NPU",
    vendors=["209f"],  # makes nothing but accelerators
    nodes="aries[0-9]*",
    nodes_called="/dev/aries0 or /dev/regulus-npu0, ...",
    ray_since=(2, 59),
    # As ray/_private/accelerators/mblt.py.
    module="qbruntime",
    question="say(len(qbruntime.get_available_device_numbers()))",
    ray_counts_nodes=True,
    position=110,
    detect=detect,
)
