"""The devices that a promise makes a node expect: its Ray resources, sorted by the device that they speak of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from accel_scaling._ray.facts import ACCELERATOR_TYPE_PREFIX
from accel_scaling.families.plugins import REPAIR, loaded
from accel_scaling.families.registry import all_families

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from accel_scaling.catalog.model import Chip
    from accel_scaling.families.family import Family

REPAIR_ADVICE = f"{REPAIR} where `ray up` runs, from where it travels to the nodes"


@dataclass(frozen=True)
class Claim:
    """One kind of accelerator that a promise speaks of.

    Attributes:
        resource: the Ray resource.
        units: how many units of it; 0 where only a type is promised.
        types: the accelerator types promised with it, exact variants last.
        families: whose devices these types are; empty where the promise names no type, or one nobody knows.
    """

    resource: str
    units: float
    types: tuple[str, ...] = ()
    families: frozenset[str] = frozenset()


def claims_of(promised: Mapping[str, float], chips: Iterable[Chip]) -> list[Claim]:
    """Return what a promise claims; empty where it has no accelerator.

    Args:
        promised: Ray resources of a node; what is no accelerator (CPU, memory, a user's own) is passed over.
        chips: the catalog's, to tell which resource and family a type belongs to.
    """
    chips = list(chips)
    # A user's catalog may have a resource that no family here has: that is a claim too, which is not checked.
    known = {family.resource for family in all_families()} | {chip.resource for chip in chips}
    units = {name: amount for name, amount in promised.items() if name in known and amount > 0}
    by_resource: dict[str, list[str]] = {name: [] for name in units}
    families: dict[str, set[str]] = {name: set() for name in units}
    for key, amount in promised.items():
        if not key.startswith(ACCELERATOR_TYPE_PREFIX) or amount <= 0:
            continue
        name = key.removeprefix(ACCELERATOR_TYPE_PREFIX)
        answering = [chip for chip in chips if name in (chip.detected_type, chip.variant)]
        resource = _resource(name, answering, units)
        by_resource.setdefault(resource, []).append(name)
        families.setdefault(resource, set()).update(_families(name, answering))
    variants = {chip.variant for chip in chips}
    return [
        Claim(
            resource,
            units.get(resource, 0),
            # False sorts before True: exact variants come last, where messages look for the most exact name.
            tuple(sorted(types, key=variants.__contains__)),
            frozenset(families[resource]),
        )
        for resource, types in by_resource.items()
    ]


def of_broken_plug_ins(promised: Mapping[str, float]) -> list[str]:
    """Return a sentence for each promised resource whose plug-in was left out: nobody here can ask its driver.

    Args:
        promised: the Ray resources that the node is to announce.
    """
    return [
        f"promised {promised[resource]:g} {resource}; {broken.entry} is left out ({broken.reason}), so "
        f"nothing here can ask the driver"
        for resource, broken in loaded().broken.items()
        if promised.get(resource, 0) > 0
    ]


def _resource(name: str, answering: list[Chip], units: Mapping[str, float]) -> str:
    """Return the resource of a type: its chip's, else the only or first one promised."""
    if answering:
        return answering[0].resource
    if maker := _maker(name):
        return maker.resource
    return next(iter(units), "GPU")


def _families(name: str, answering: list[Chip]) -> set[str]:
    maker = _maker(name)
    return {chip.family for chip in answering} or ({maker.name} if maker else set())


def _maker(name: str) -> Family | None:
    """Return the family of a type that no chip has, by how the types of its Ray manager begin."""
    prefixed = (family for family in all_families() if family.type_prefix)
    return next((family for family in prefixed if name.startswith(family.type_prefix)), None)
