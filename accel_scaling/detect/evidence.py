"""What the witnesses of one family say, made into one answer: the bus, the driver's device nodes, Ray's own door."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from accel_scaling.catalog import product_names
from accel_scaling.catalog.load import chips_here
from accel_scaling.detect import container, pci
from accel_scaling.detect.model import Device, DriverState, Found
from accel_scaling.detect.vendor_package import Reply

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from accel_scaling.catalog.model import Chip


@dataclass(frozen=True)
class Witnesses:
    """What was seen of one family.

    Attributes:
        family: as in the catalog's chips.
        resource: the Ray resource.
        noun: what to call its devices, e.g. ``AMD GPU``.
        on_bus: its devices on the PCI bus.
        nodes: the device nodes that were found, one for each device.
        nodes_called: how to speak of the nodes, e.g. ``/dev/davinci0, ...``.
        package: the Python package by which Ray asks; empty where it has none.
        reply: what that package said; None where it was not asked.
        ray_counts_nodes: Ray counts the nodes where the package is silent or missing.
        kind: Ray's type where the package does not tell it.
        products: the chips that they may be, where the caller knows better than the bus and Ray's type.
        sick: devices that the driver says cannot be used, one short sentence each.
    """

    family: str
    resource: str
    noun: str
    on_bus: Sequence[pci.PciDevice]
    nodes: Sequence[str]
    nodes_called: str
    package: str = ""
    reply: Reply | None = None
    ray_counts_nodes: bool = False
    kind: str | None = None
    sick: Sequence[str] = ()
    products: Sequence[Chip] | None = None


def found(seen: Witnesses, root: Path) -> Found:
    """Return what there is of the family.

    Args:
        seen: what the witnesses say.
        root: the folder that stands for ``/``.
    """
    evidence = (pci.sentence(seen.on_bus, seen.noun), _nodes_sentence(seen))
    if not seen.on_bus and not seen.nodes:
        return Found(seen.family, seen.resource, evidence=evidence)
    state, trouble, count = _judged(seen, root)
    kind = _kind(seen)
    chips = _chips(seen, kind)
    types = dict.fromkeys((*product_names.types_of(chips), *((kind,) if kind else ())))
    return Found(
        family=seen.family,
        resource=seen.resource,
        count=count,
        units=count,
        ray_units=_rays_number(seen),
        accelerator_type=kind if _rays_number(seen) else None,
        variant=product_names.exact_name(chips),
        answers_to=tuple(types),
        devices=_devices(seen, count, chips),
        bus_count=len(seen.on_bus),
        driver_count=count,
        state=state,
        trouble=trouble,
        evidence=(*evidence, *_package_sentence(seen)),
    )


def chips_of(family: str) -> list[Chip]:
    """Return the chips of a family that this machine knows."""
    return [chip for chip in chips_here().values() if chip.family == family]


def scaled(whole: Found, devices_a_card: int) -> Found:
    """Return the same, counted in cards that show several devices each; Ray counts none of them."""
    count = whole.count // devices_a_card
    return replace(whole, count=count, units=count)


def _judged(seen: Witnesses, root: Path) -> tuple[DriverState, str, int]:
    """Return the state, why it is not OK, and how many devices can be used."""
    trouble = container.hidden_trouble(root, container.taken(root, seen.on_bus), len(seen.nodes), seen.nodes_called)
    reply = seen.reply or Reply(absent=True)
    if not seen.nodes:
        if trouble:
            return DriverState.HIDDEN, trouble, 0
        return DriverState.MISSING, f"the {seen.noun} driver is not loaded (no {seen.nodes_called})", 0
    if reply.state is not DriverState.OK:
        return reply.state, reply.trouble, 0
    count = len(seen.nodes) if reply.absent else reply.count
    if len(seen.nodes) < count <= len(seen.on_bus):
        count = len(seen.nodes)  # what has no node cannot be opened; but one GPU may count as two, for its tiles
    if seen.sick:
        return DriverState.UNHEALTHY, "the driver says: " + "; ".join(seen.sick), max(count - len(seen.sick), 0)
    if not count:
        return DriverState.UNHEALTHY, f"the driver is loaded, but {seen.package} counts no device", 0
    return (DriverState.HIDDEN, trouble, count) if trouble else (DriverState.OK, "", count)


def _rays_number(seen: Witnesses) -> int:
    reply = seen.reply
    if reply is not None and not reply.absent and reply.state is DriverState.OK:
        return reply.count
    return len(seen.nodes) if seen.ray_counts_nodes else 0


def _kind(seen: Witnesses) -> str | None:
    """Return the type by Ray's way of naming; None where Ray names none."""
    return seen.kind or (seen.reply.kind if seen.reply else None)


def _chips(seen: Witnesses, kind: str | None) -> list[Chip]:
    """Return the chips that it may be: by Ray's type where there is one, else by the bus."""
    if seen.products is not None:
        return list(seen.products)
    known = chips_of(seen.family)
    by_bus = product_names.chips_on_bus(seen.on_bus[0].id, known) if seen.on_bus else []
    if not kind:
        return by_bus
    return [chip for chip in by_bus if chip.detected_type == kind] or [
        chip for chip in known if chip.detected_type == kind
    ]


def _devices(seen: Witnesses, count: int, chips: Sequence[Chip]) -> tuple[Device, ...]:
    name = chips[0].driver_names[0] if count and len(chips) == 1 and chips[0].driver_names else None
    if count and len(seen.on_bus) != count:
        return tuple(Device(index, name) for index in range(count))  # which one is missing is not known
    return tuple(Device(index, name, item.address, item.id) for index, item in enumerate(seen.on_bus))


def _nodes_sentence(seen: Witnesses) -> str:
    if not seen.nodes:
        return f"driver: no {seen.nodes_called}"
    more = ", ..." if len(seen.nodes) > 1 else ""
    return f"driver: {len(seen.nodes)} of /dev/{seen.nodes[0]}{more}"


def _package_sentence(seen: Witnesses) -> list[str]:
    reply = seen.reply
    if reply is None:
        return []
    if reply.absent:
        rays = "counts the device nodes" if seen.ray_counts_nodes else f"announces no {seen.resource}"
        return [f"{seen.package}: not installed in this Python: by itself, Ray {rays}"]
    if reply.trouble:
        return [reply.trouble]
    return [f"{seen.package}: {reply.count} x {reply.kind or seen.noun}"]
