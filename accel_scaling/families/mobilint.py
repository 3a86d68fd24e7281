"""Mobilint: the bus, the driver's nodes, which tell the type, and qb Runtime's package, which Ray asks."""

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

FAMILY = "mobilint"
RESOURCE = "MBLT"
VENDOR = "209f"  # makes nothing but accelerators

# As ray/_private/accelerators/mblt.py, which counts the nodes where the package is missing or fails.
PACKAGE = "qbruntime"
QUESTION = "say(len(qbruntime.get_available_device_numbers()))"
TYPE_OF_NODES = {"aries[0-9]*": "MOBILINT_ARIES", "regulus-npu*": "MOBILINT_REGULUS"}


def probe(bus: Sequence[PciDevice], root: Path) -> Found:
    """Ask the bus, the driver's nodes and, where there are any, the package.

    Args:
        bus: what ``pci.scan`` returned.
        root: the folder that stands for ``/``.
    """
    ours = device_nodes.on_bus((item for item in bus if item.vendor == VENDOR), root)
    of_type = {kind: device_nodes.named(root, pattern) for pattern, kind in TYPE_OF_NODES.items()}
    there = [node for each in of_type.values() for node in each]
    seen = Witnesses(
        FAMILY,
        RESOURCE,
        "Mobilint NPU",
        ours,
        there,
        "/dev/aries0 or /dev/regulus-npu0, ...",
        PACKAGE,
        ray_counts_nodes=True,
        kind=next((kind for kind, each in of_type.items() if each), None),
    )
    return found(replace(seen, reply=vendor_package.ask(PACKAGE, QUESTION)) if there else seen, root)
