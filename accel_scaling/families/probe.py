"""The probe of every family whose fields describe its driver: the PCI bus, the device nodes, and Ray's own way.

A family whose driver needs more has a ``detect`` of its own; most of those call the parts of this one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling._ray import versions
from accel_scaling.catalog import product_names
from accel_scaling.detect import container, device_nodes, pci, vendor_package
from accel_scaling.detect.model import Detection, Device, DriverState
from accel_scaling.detect.vendor_package import Reply
from accel_scaling.families.catalog import chips_of
from accel_scaling.families.kinds import Product, kinds_of, kinds_on_bus, with_kinds
from accel_scaling.import_path import import_folders

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from accel_scaling.catalog.model import Chip
    from accel_scaling.detect.model import Kind
    from accel_scaling.families.family import Family

# What runs in the process that asks a family's `probe`: with this process's path, of which a node's bundle is a part.
_QUESTION = """
sys.path[:] = {path!r}
from accel_scaling.families.registry import names_of
names = names_of({family!r}, {root!r})
say(len(names), names[0] if names else None, names)
"""


@dataclass(frozen=True)
class _Evidence:
    """The evidence of one family.

    Attributes:
        on_bus: its devices on the PCI bus.
        nodes: the device nodes, one for each device.
        reply: what the driver's library said; None where it was not asked.
        ray_type: the accelerator_type that Ray announces; None where it names none.
        chips: the products that they may be.
        sick: devices that the driver says cannot be used, one short sentence each.
        kinds: the products, where the devices are not all alike.
    """

    on_bus: Sequence[pci.PciDevice]
    nodes: Sequence[str]
    reply: Reply | None = None
    ray_type: str | None = None
    chips: Sequence[Chip] = ()
    sick: Sequence[str] = ()
    kinds: tuple[Kind, ...] = ()


def probe(family: Family, bus: Sequence[pci.PciDevice], root: Path) -> Detection:
    """Return what this machine has of a family, with the evidence where it has nothing, too.

    Args:
        family: the family.
        bus: what ``pci.scan`` returned.
        root: the folder used as ``/``.
    """
    if family.detect:
        return _by_this_ray(family, family.detect(bus, root))
    on_bus = devices_on_bus(family, bus, root)
    return _by_this_ray(family, examine(family, on_bus, nodes_of(family, on_bus, root), root))


def _by_this_ray(family: Family, result: Detection) -> Detection:
    """Return a result with what the installed Ray announces: nothing, where its manager of the family came later."""
    if not result.present or family.ray_since is None or family.in_ray:
        return result
    note = (
        f"the installed Ray, {versions.installed_version()}, does not detect it, and gives tasks no ids of it; Ray "
        f"{versions.minor_text(family.ray_since)} and newer do"
    )
    return replace(result, ray_units=0, accelerator_type=None, evidence=(*result.evidence, note))


def devices_on_bus(family: Family, bus: Iterable[pci.PciDevice], root: Path) -> list[pci.PciDevice]:
    """Return the family's devices: by vendor and class, by the PCI ids of its chips, or by both."""
    classes = tuple(family.device_classes) or ""
    devices = [
        item
        for item in bus
        if (item.vendor in family.vendors or not family.vendors) and item.device_class.startswith(classes)
    ]
    if devices and (family.known_ids_only or not family.vendors):  # most machines: do not even read the catalog
        known = {pci_id for chip in chips_of(family.name) for pci_id in chip.pci_ids}
        devices = [item for item in devices if item.id in known]
    return device_nodes.on_bus(devices, root)


def nodes_of(family: Family, on_bus: Sequence[pci.PciDevice], root: Path) -> list[str]:
    """Return the family's device nodes below /dev."""
    if family.control_node and not (on_bus and (root / "dev" / family.control_node).exists()):
        return []
    if family.kernel_class:
        return device_nodes.of_class(root, family.nodes, family.kernel_class, device_nodes.ids_of(on_bus))
    return device_nodes.named(root, family.nodes)


def examine(
    family: Family,
    on_bus: Sequence[pci.PciDevice],
    nodes: Sequence[str],
    root: Path,
    *,
    type_of: Callable[[str], str | None] | None = None,
    ray_type: str | None = None,
    sick: Sequence[str] = (),
    each: Sequence[str] = (),
) -> Detection:
    """Ask the driver's library where there are nodes, and combine the evidence.

    Args:
        family: the family.
        on_bus: its devices on the PCI bus.
        nodes: its device nodes.
        root: the folder used as ``/``.
        type_of: makes Ray's type of the name that the library says; by default the family's ``type_of_name``.
        ray_type: Ray's type where the library does not tell it.
        sick: devices that the driver says cannot be used, one short sentence each.
        each: Ray's type of each device, where the nodes tell it.
    """
    if not on_bus and not nodes:
        return Detection(family.name, family.resource, evidence=_sentences(family, _Evidence(on_bus, nodes)))
    # Without nodes there is no driver to ask, and some makers' packages take seconds to import (Gaudi's: 5 s).
    reply = _ask_driver(family, root) if nodes else None
    if family.registered:
        chips = _products(family, on_bus, reply.kind if reply else None)
        ray_type = _type_of_products(chips, reply)
        kinds = _kinds(family, (on_bus, nodes), reply, lambda name: _products(family, on_bus, name))
        seen = _Evidence(on_bus, nodes, reply, ray_type, chips, sick, kinds)
        return _as_ray_counts(_result(family, seen, root), seen)
    read = type_of or family.type_of_name
    if reply and read:
        typed = tuple(None if name is None else read(name) or None for name in reply.each)
        reply = replace(reply, kind=None if reply.kind is None else read(reply.kind), each=typed)
    if each:
        reply = replace(reply or Reply(), each=tuple(each))
    ray_type = ray_type or (reply.kind if reply else None) or None
    chips = _chips_of_type(family, on_bus, ray_type)
    kinds = _kinds(family, (on_bus, nodes), reply, lambda name: _chips_of_type(family, on_bus, name))
    return _result(family, _Evidence(on_bus, nodes, reply, ray_type, chips, sick, kinds), root)


def _kinds(
    family: Family,
    seen: tuple[Sequence[pci.PciDevice], Sequence[str]],
    reply: Reply | None,
    chips_named: Callable[[str | None], Sequence[Chip]],
) -> tuple[Kind, ...]:
    """Return the products of a machine that has several: by what the library says of each, else by the bus."""
    if reply and len(set(reply.each)) > 1:
        return kinds_of(_product(name, chips_named(name)) for name in reply.each)
    on_bus, nodes = seen
    # A container that was given some of its machine's devices sees them all on the bus.
    if 0 < len(nodes) < len(on_bus):
        return ()
    return kinds_on_bus(on_bus, chips_of(family.name)) if len({device.id for device in on_bus}) > 1 else ()


def _product(name: str | None, chips: Sequence[Chip]) -> Product:
    # A name of no chip is a type as it is.
    types = dict.fromkeys((*product_names.types_of(chips), *([name] if name and not chips else [])))
    return Product(product_names.exact_name(chips) or name or "a device without a name", tuple(types))


def _library(family: Family) -> str:
    """Return what to call what is asked: the maker's package, or the family's ``probe``."""
    return family.module.partition(".")[0] or f"the probe of {family.resource}"


def _ask_driver(family: Family, root: Path) -> Reply | None:
    if family.module:
        # The machine's devices are counted; what the environment leaves visible of them is another question (visible).
        return vendor_package.ask(family.module, family.question, without=family.narrowing_variables)
    if family.probe is None:
        return None
    path = [str(Path(entry).resolve()) for entry in import_folders()]
    question = _QUESTION.format(path=path, family=family.name, root=str(root))
    # The call itself imports the plug-in; json replaces the package, as it is in every Python.
    return vendor_package.ask("json", question, called=_library(family))


def _products(family: Family, on_bus: Sequence[pci.PciDevice], product: str | None) -> list[Chip]:
    """Return the chips that the devices may be: by the driver's name, by the bus, or because there is but one."""
    chips = chips_of(family.name)
    # Nothing on the bus: it can only be a product without a PCI id.
    by_bus = product_names.chips_on_bus(on_bus[0].id, chips) if on_bus else [chip for chip in chips if not chip.pci_ids]
    if product is None:
        return by_bus
    named = product_names.chips_named(product, chips)
    return [chip for chip in named if chip in by_bus] or named


def _type_of_products(chips: Sequence[Chip], reply: Reply | None) -> str | None:
    types = {chip.detected_type for chip in chips}
    if len(types) == 1:
        return types.pop()
    # A product that the family's chips lack.
    return reply.kind.replace(" ", "-") if reply and reply.kind and not chips else None


def _chips_of_type(family: Family, on_bus: Sequence[pci.PciDevice], ray_type: str | None) -> list[Chip]:
    """Return the chips that the devices may be: by Ray's type where there is one, else by the bus."""
    chips = chips_of(family.name)
    by_bus = product_names.chips_on_bus(on_bus[0].id, chips) if on_bus else []
    if not ray_type:
        return by_bus
    return [chip for chip in by_bus if chip.detected_type == ray_type] or [
        chip for chip in chips if chip.detected_type == ray_type
    ]


def _result(family: Family, seen: _Evidence, root: Path) -> Detection:
    state, trouble, count = _state(family, seen, root)
    rays_number = _rays_number(family, seen)
    types = dict.fromkeys((*product_names.types_of(seen.chips), *((seen.ray_type,) if seen.ray_type else ())))
    detection = Detection(
        family=family.name,
        resource=family.resource,
        count=count,
        units=count,
        ray_units=rays_number,
        accelerator_type=seen.ray_type if rays_number else None,
        variant=product_names.exact_name(seen.chips),
        answers_to=tuple(types),
        devices=_devices(seen, count),
        bus_count=len(seen.on_bus),
        driver_count=count,
        state=state,
        trouble=trouble,
        evidence=_sentences(family, seen),
    )
    return with_kinds(detection, seen.kinds)


def _state(family: Family, seen: _Evidence, root: Path) -> tuple[DriverState, str, int]:
    """Return the state, why it is not OK, and how many devices can be used."""
    phrase = family.nodes_phrase
    # The container comes first: in one, missing nodes say nothing about the machine's driver.
    trouble = container.hidden_trouble(root, container.taken(root, seen.on_bus), len(seen.nodes), phrase)
    reply = seen.reply or Reply(absent=True)
    if not seen.nodes:
        if trouble:
            return DriverState.HIDDEN, trouble, 0
        return DriverState.MISSING, f"the {family.noun or family.name} driver is not loaded (no {phrase})", 0
    broken = reply.state is DriverState.TOOL_BROKEN
    if reply.state is not DriverState.OK and not broken:
        return reply.state, reply.trouble, 0
    count = len(seen.nodes) if reply.absent or broken else reply.count
    if len(seen.nodes) < count <= len(seen.on_bus):
        count = len(seen.nodes)  # what has no node cannot be opened; but one GPU may count as two, for its tiles
    if seen.sick:
        return DriverState.UNHEALTHY, "the driver says: " + "; ".join(seen.sick), max(count - len(seen.sick), 0)
    if not count:
        return DriverState.UNHEALTHY, f"the driver is loaded, but {_library(family)} counts no device", 0
    return (DriverState.HIDDEN, trouble, count) if trouble else (reply.state, reply.trouble, count)


def _rays_number(family: Family, seen: _Evidence) -> int:
    reply = seen.reply
    # Where the package is missing or fails, some managers of Ray count the nodes; the others announce nothing.
    if reply is not None and not reply.absent and reply.state is DriverState.OK:
        return reply.count
    return len(seen.nodes) if family.ray_counts_nodes else 0


def _as_ray_counts(result: Detection, seen: _Evidence) -> Detection:
    """Return the same in Ray's units: Ray counts what we find, as its manager of the family asks this very module."""
    units_per_device = {chip.units_per_device for chip in seen.chips}
    units = result.count * (units_per_device.pop() if len(units_per_device) == 1 else 1)
    rays_number = units if result.state in (DriverState.OK, DriverState.HIDDEN) else 0
    return replace(result, units=units, ray_units=rays_number, accelerator_type=seen.ray_type if rays_number else None)


def _devices(seen: _Evidence, count: int) -> tuple[Device, ...]:
    chips = seen.chips
    named = count and len(chips) == 1 and chips[0].driver_names and not seen.kinds
    name = chips[0].driver_names[0] if named else None
    if count and len(seen.on_bus) != count:
        return tuple(Device(index, name) for index in range(count))  # which one is missing is not known
    return tuple(Device(index, name, item.address, item.id) for index, item in enumerate(seen.on_bus))


def _sentences(family: Family, seen: _Evidence) -> tuple[str, ...]:
    noun = family.noun or family.name
    bus = pci.sentence(seen.on_bus, noun)
    if not seen.nodes:
        return bus, f"driver: no {family.nodes_phrase}"
    more = ", ..." if len(seen.nodes) > 1 else ""
    nodes = f"driver: {len(seen.nodes)} of /dev/{seen.nodes[0]}{more}"
    reply = seen.reply
    if reply is None:
        return bus, nodes
    if reply.absent:
        rays = "counts the device nodes" if family.ray_counts_nodes else f"announces no {family.resource}"
        return bus, nodes, f"{_library(family)}: not installed in this Python: by itself, Ray {rays}"
    return bus, nodes, reply.trouble or f"{_library(family)}: {reply.count} x {reply.kind or noun}"
