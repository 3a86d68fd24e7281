"""What a promise claims about accelerators: its Ray resources, sorted by the device they speak of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from accel_scaling._ray.facts import ACCELERATOR_TYPE_PREFIX, RAY_RESOURCES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from accel_scaling.catalog.model import Chip

# Types under the resource GPU that other makers' Ray managers detect, by how they begin (ray.util.accelerators).
OTHER_MAKERS = {"AMD-": "amd", "Intel-GPU-": "intel", "MXC": "metax", "Apple-": "apple"}


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
    known = RAY_RESOURCES | {chip.resource for chip in chips}
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
            tuple(sorted(types, key=variants.__contains__)),
            frozenset(families[resource]),
        )
        for resource, types in by_resource.items()
    ]


def _resource(name: str, answering: list[Chip], units: Mapping[str, float]) -> str:
    """Return the resource that a type goes with: its chip's, else the only or first one promised."""
    if answering:
        return answering[0].resource
    if _families(name, answering) or not units:
        return "GPU"
    return next(iter(units))


def _families(name: str, answering: list[Chip]) -> set[str]:
    maker = next((family for start, family in OTHER_MAKERS.items() if name.startswith(start)), None)
    return {chip.family for chip in answering} or ({maker} if maker else set())
