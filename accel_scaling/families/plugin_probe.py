"""Plug-in families: the bus by their chips' PCI ids, the nodes by their pattern, the driver by the plug-in's probe."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.catalog import product_names
from accel_scaling.detect import device_nodes, vendor_package
from accel_scaling.detect.evidence import Witnesses, chips_of, found
from accel_scaling.detect.model import DriverState, Found
from accel_scaling.families.plugins import loaded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from accel_scaling.catalog.model import Chip
    from accel_scaling.detect.pci import PciDevice
    from accel_scaling.families.family import Family

# What runs in the process that asks a plug-in's probe: with this process's path, of which a node's bundle is a part.
_QUESTION = """
sys.path[:] = {path!r}
from accel_scaling.families.plugin_probe import names_of
names = names_of({resource!r}, {root!r})
say(len(names), names[0] if names else None)
"""


def probe(family: Family, bus: Sequence[PciDevice], root: Path) -> Found:
    """Ask the bus, the driver's nodes and, where there are any, the plug-in's probe.

    Args:
        family: the plug-in's.
        bus: what ``pci.scan`` returned.
        root: the folder that stands for ``/``.
    """
    chips = chips_of(family.name)
    ids = {pci_id for chip in chips for pci_id in chip.pci_ids}
    ours = device_nodes.on_bus((item for item in bus if item.id in ids), root)
    there = device_nodes.named(root, family.nodes)
    reply = _asked(family, root) if there and family.probe else None
    product = reply.kind if reply else None
    may_be = _products(chips, ours, product)
    kind = next(iter({chip.detected_type for chip in may_be}), None) if _agree(may_be) else None
    if product and not may_be:
        kind = product.replace(" ", "-")  # a product that the plug-in's chips lack
    seen = Witnesses(
        family.name,
        family.resource,
        family.name,
        ours,
        there,
        f"/dev/{family.node(0)}, ...",
        package=f"the probe of {family.resource}",
        reply=reply,
        ray_counts_nodes=True,
        kind=kind,
        products=tuple(may_be),
    )
    return _as_ray_counts(found(seen, root), kind, may_be)


def names_of(resource: str, root: str) -> list[str]:
    """Call a plug-in's probe and return what it says: the product's name for each device.

    Args:
        resource: the family's.
        root: the folder that stands for ``/``.

    Raises:
        TypeError: it says something else.
    """
    ask = loaded().plug_ins[resource].family.probe
    said = list(ask(Path(root))) if ask else []
    if not all(isinstance(name, str) and name for name in said):
        raise TypeError(f"it returned {said!r}, not the product's name for each device")
    return said


def _asked(family: Family, root: Path) -> vendor_package.Reply:
    path = [str(Path(entry).resolve()) for entry in sys.path]
    question = _QUESTION.format(path=path, resource=family.resource, root=str(root))
    return vendor_package.ask("json", question, called=f"the probe of {family.resource}")


def _products(chips: Sequence[Chip], on_bus: Sequence[PciDevice], product: str | None) -> list[Chip]:
    """Return the chips that the devices may be: by the driver's name, by the bus, or because there is but one."""
    by_bus = product_names.chips_on_bus(on_bus[0].id, chips) if on_bus else [chip for chip in chips if not chip.pci_ids]
    if product is None:
        return by_bus
    named = product_names.chips_named(product, chips)
    return [chip for chip in named if chip in by_bus] or named


def _agree(chips: Sequence[Chip]) -> bool:
    return len({chip.detected_type for chip in chips}) == 1


def _as_ray_counts(seen: Found, kind: str | None, chips: Sequence[Chip]) -> Found:
    """Return the same in Ray's units: Ray counts what we find, as its manager of the family asks this very module."""
    each = {chip.units_per_device for chip in chips}
    units = seen.count * (each.pop() if len(each) == 1 else 1)
    usable = seen.state in (DriverState.OK, DriverState.HIDDEN)
    rays = units if usable else 0
    return replace(seen, units=units, ray_units=rays, accelerator_type=kind if rays else None)
