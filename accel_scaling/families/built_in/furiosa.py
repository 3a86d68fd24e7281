"""Furiosa RNGD: the driver's nodes, and the management library's package, which Ray asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling.families.family import Family
from accel_scaling.families.probe import devices_on_bus, examine, nodes_of
from accel_scaling.families.visible import Reading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from accel_scaling.detect.model import Detection
    from accel_scaling.detect.pci import PciDevice

VARIABLE = "FURIOSA_DEVICES"
WARBOY = "1ed2:0000"  # the first generation: other nodes, and the package that Ray asks does not list it


def detect(bus: Sequence[PciDevice], root: Path) -> Detection:
    """Ask the bus, the driver's nodes and the package; the first generation does not count."""
    on_bus = [item for item in devices_on_bus(FAMILY, bus, root) if item.id != WARBOY]
    return examine(FAMILY, on_bus, nodes_of(FAMILY, on_bus, root), root)


def read_visible(environment: Mapping[str, str]) -> Reading | None:
    """Return what is visible: ``npu:0,npu:3`` or ``0,3``; Ray passes over empty ids."""
    value = environment.get(VARIABLE)
    if value is None:
        return None
    return Reading(VARIABLE, value, tuple(one for one in value.split(",") if one.strip()))


FAMILY = Family(
    name="furiosa",
    resource="FURIOSA",
    visible_devices=VARIABLE,
    noun="Furiosa NPU",
    vendors=["1ed2"],
    nodes="rngd/npu[0-9]*mgmt",  # one a device, beside those of its cores: libfuriosa-kubernetes
    ray_since=(2, 56),
    # As ray/_private/accelerators/furiosa.py, with its way from the name of the architecture to a type.
    module="furiosa_smi_py",
    question="""
furiosa_smi_py.init()
devices = furiosa_smi_py.list_devices()
def named(device):
    arch = device.device_info().arch()
    name = "" if arch is None else str(arch).split(".")[-1].strip().replace("+", "plus")
    name = "".join(letter for letter in name if letter.isalnum()).upper()
    return f"FURIOSA_{name}" if name else None
names = [named(device) for device in devices]
say(len(devices), names[0] if names else None, names)
""",
    read_visible=read_visible,
    position=100,
    detect=detect,
)
