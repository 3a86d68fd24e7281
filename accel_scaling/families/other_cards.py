"""Cards that Ray has no resource for: FPGAs, Xilinx's media accelerators, Qualcomm's Cloud AI.

The bus testifies and, but for FPGAs, the driver's nodes. Ray counts none of them: a plug-in announces them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from accel_scaling.detect import device_nodes
from accel_scaling.detect.evidence import Witnesses, chips_of, found, scaled

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from accel_scaling.detect.model import Found
    from accel_scaling.detect.pci import PciDevice

FPGA, MEDIA, QAIC = "fpga", "media", "qaic"
FUNCTIONS_OF_A_U30 = 2  # a card has two devices, each with a function of its own: Xilinx Video SDK, "lscard"


def probe_fpga(bus: Sequence[PciDevice], root: Path) -> Found:
    """Ask the bus: an FPGA is used without a driver of the kernel's (AWS FPGA developer kit)."""
    ours = device_nodes.on_bus(_known(FPGA, bus, ("1d0f", "10ee")), root)
    # Each stands for its own node.
    here = found(Witnesses(FPGA, "FPGA", "FPGA", ours, [item.address for item in ours], ""), root)
    return replace(here, driver_count=0, evidence=here.evidence[:1])


def probe_media(bus: Sequence[PciDevice], root: Path) -> Found:
    """Ask the bus and the nodes of the xocl driver; two functions are one card (Xilinx Video SDK)."""
    ours = device_nodes.on_bus(_known(MEDIA, bus, ("10ee",)), root)
    there = device_nodes.of_class(root, "dri/renderD*", "drm", device_nodes.ids_of(ours))
    seen = Witnesses(MEDIA, "MEDIA", "media accelerator", ours, there, "/dev/dri/renderD128, ...")
    return scaled(found(seen, root), FUNCTIONS_OF_A_U30)


def probe_qaic(bus: Sequence[PciDevice], root: Path) -> Found:
    """Ask the bus and the nodes of the qaic driver (Linux, Documentation/accel/qaic)."""
    ours = device_nodes.on_bus(_known(QAIC, bus, ("17cb",)), root)
    there = device_nodes.of_class(root, "accel/accel*", "accel", device_nodes.ids_of(ours))
    return found(Witnesses(QAIC, "QAIC", "Cloud AI card", ours, there, "/dev/accel/accel0, ..."), root)


def _known(family: str, bus: Sequence[PciDevice], vendors: Sequence[str]) -> list[PciDevice]:
    """Return the devices that the catalog knows; without the vendor's, do not even read it."""
    candidates = [item for item in bus if item.vendor in vendors]
    known = {name for chip in chips_of(family) for name in chip.pci_ids} if candidates else set()
    return [item for item in candidates if item.id in known]
