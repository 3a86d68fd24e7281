"""Intel GPUs: the bus, the driver's render nodes, and dpctl, the package that Ray asks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from accel_scaling.detect import device_nodes, vendor_package
from accel_scaling.detect.evidence import Witnesses, chips_of, found

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from accel_scaling.detect.model import Found
    from accel_scaling.detect.pci import PciDevice

FAMILY = "intel"
RESOURCE = "GPU"
VENDOR = "8086"

# As ray/_private/accelerators/intel_gpu.py; the type is the last two words of the first device's name.
PACKAGE = "dpctl"
QUESTION = """
count = dpctl.SyclContext("level_zero:gpu").device_count
name = dpctl.SyclDevice("level_zero:gpu:0").name if count else None
say(count, "Intel-GPU-" + "-".join(name.split(" ")[-2:]) if name else None)
"""


def probe(bus: Sequence[PciDevice], root: Path) -> Found:
    """Ask the bus, the driver's nodes and, where there are any, dpctl.

    The graphics of an Intel processor are no accelerator here: the catalog has the ids of those that are.

    Args:
        bus: what ``pci.scan`` returned.
        root: the folder that stands for ``/``.
    """
    intel = [item for item in bus if item.vendor == VENDOR and item.device_class[:2] == "03"]
    known = {name for chip in chips_of(FAMILY) for name in chip.pci_ids} if intel else set()
    ours = device_nodes.on_bus((item for item in intel if item.id in known), root)
    render = device_nodes.of_class(root, "dri/renderD*", "drm", device_nodes.ids_of(ours))
    seen = Witnesses(FAMILY, RESOURCE, "Intel GPU", ours, render, "/dev/dri/renderD128, ...", PACKAGE)
    return found(replace(seen, reply=vendor_package.ask(PACKAGE, QUESTION)) if render else seen, root)
