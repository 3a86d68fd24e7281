"""Furiosa RNGD: the driver's nodes, and the management library's package, which Ray asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling.families.family import Family
from accel_scaling.families.probe import devices_on_bus, examine, nodes_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from accel_scaling.detect.model import Detection
    from accel_scaling.detect.pci import PciDevice

WARBOY = "1ed2:0000"  # the first generation: other nodes, and the package that Ray asks does not list it


def detect(bus: Sequence[PciDevice], root: Path) -> Detection:
    """Ask the bus, the driver's nodes and the package; the first generation does not count."""
    on_bus = [item for item in devices_on_bus(FAMILY, bus, root) if item.id != WARBOY]
    return examine(FAMILY, on_bus, nodes_of(FAMILY, on_bus, root), root)


FAMILY = Family(
    name="furiosa",
    resource="FURIOSA",
    visible_devices="FURIOSA_DEVICES",
    noun="Furiosa NPU",
    vendors=["1ed2"],
    nodes="rngd/npu[0-9]*mgmt",  # one a device, beside those of its cores: libfuriosa-kubernetes
    ray_since=(2, 56),
    # As ray/_private/accelerators/furiosa.py, with its way from the name of the architecture to a type.
    module="furiosa_smi_py",
    question="""
furiosa_smi_py.init()
devices = furiosa_smi_py.list_devices()
name = str(devices[0].device_info().arch()).split(".")[-1].strip() if devices else ""
name = "".join(letter for letter in name.replace("+", "plus") if letter.isalnum()).upper()
say(len(devices), f"FURIOSA_{name}" if name else None)
""",
    position=100,
    detect=detect,
)
