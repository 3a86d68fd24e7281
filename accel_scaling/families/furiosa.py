"""Furiosa RNGD: the bus, the driver's nodes, and the management library's package, which Ray asks."""

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

FAMILY = "furiosa"
RESOURCE = "FURIOSA"
VENDOR = "1ed2"
WARBOY = "1ed2:0000"  # the first generation: other nodes, and the package that Ray asks does not list it

# As ray/_private/accelerators/furiosa.py, with its way from the name of the architecture to a type.
PACKAGE = "furiosa_smi_py"
QUESTION = """
furiosa_smi_py.init()
devices = furiosa_smi_py.list_devices()
name = str(devices[0].device_info().arch()).split(".")[-1].strip() if devices else ""
name = "".join(letter for letter in name.replace("+", "plus") if letter.isalnum()).upper()
say(len(devices), f"FURIOSA_{name}" if name else None)
"""
NODES = "rngd/npu[0-9]*mgmt"  # one a device, beside those of its cores: libfuriosa-kubernetes


def probe(bus: Sequence[PciDevice], root: Path) -> Found:
    """Ask the bus, the driver's nodes and, where there are any, the package.

    Args:
        bus: what ``pci.scan`` returned.
        root: the folder that stands for ``/``.
    """
    ours = device_nodes.on_bus((item for item in bus if item.vendor == VENDOR and item.id != WARBOY), root)
    there = device_nodes.named(root, NODES)
    seen = Witnesses(FAMILY, RESOURCE, "Furiosa NPU", ours, there, "/dev/rngd/npu0mgmt, ...", PACKAGE)
    return found(replace(seen, reply=vendor_package.ask(PACKAGE, QUESTION)) if there else seen, root)
