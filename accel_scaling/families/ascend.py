"""Huawei Ascend: the bus, the driver's nodes, and AscendCL's Python package, which Ray asks."""

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

FAMILY = "ascend"
RESOURCE = "NPU"
VENDOR = "19e5"  # Huawei's, of its network devices too
PROCESSING_ACCELERATOR = "1200"

# As ray/_private/accelerators/npu.py, which counts the nodes where the package is missing or fails.
PACKAGE = "acl"
QUESTION = """
count, error = acl.rt.get_device_count()
say(count, acl.get_soc_name())
if error:
    sys.exit(f"aclrtGetDeviceCount returned {error}")
"""
NODES = "davinci[0-9]*"


def probe(bus: Sequence[PciDevice], root: Path) -> Found:
    """Ask the bus, the driver's nodes and, where there are any, AscendCL.

    Args:
        bus: what ``pci.scan`` returned.
        root: the folder that stands for ``/``.
    """
    huawei = (item for item in bus if item.vendor == VENDOR and item.device_class == PROCESSING_ACCELERATOR)
    there = device_nodes.named(root, NODES)
    seen = Witnesses(
        FAMILY,
        RESOURCE,
        "Ascend NPU",
        device_nodes.on_bus(huawei, root),
        there,
        "/dev/davinci0, ...",
        PACKAGE,
        ray_counts_nodes=True,
    )
    return found(replace(seen, reply=vendor_package.ask(PACKAGE, QUESTION)) if there else seen, root)
