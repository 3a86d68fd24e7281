"""FPGAs: the bus alone, as they are used without a driver of the kernel's (AWS FPGA developer kit).

Ray has no resource for them and counts none: a plug-in announces them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from accel_scaling.families.family import Family
from accel_scaling.families.probe import devices_on_bus, examine

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from accel_scaling.detect.model import Detection
    from accel_scaling.detect.pci import PciDevice


def detect(bus: Sequence[PciDevice], root: Path) -> Detection:
    """Ask the bus: each device stands for its own node."""
    on_bus = devices_on_bus(FAMILY, bus, root)
    result = examine(FAMILY, on_bus, [item.address for item in on_bus], root)
    # No driver was asked; the sentences behind the bus's speak of nodes, which FPGAs do not have.
    return replace(result, driver_count=0, evidence=result.evidence[:1])


FAMILY = Family(
    name="fpga",
    resource="FPGA",
    noun="FPGA",
    vendors=["1d0f", "10ee"],
    known_ids_only=True,
    position=140,
    detect=detect,
)
