"""Capacity types as text: an entry as YAML, an order in words, and what a type means. No network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling._ray.facts import LABEL_MARKET_TYPE
from accel_scaling.catalog.model import SoldAs
from accel_scaling.cluster.capacity import LABEL_CAPACITY, CapacityType

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from accel_scaling.cluster.capacity import CapacityEntry

CAPACITY_LABELS = (LABEL_MARKET_TYPE, LABEL_CAPACITY)
"""The labels of a Ray node that say how its machine was bought: Ray's own, and this package's."""

_UNITS = (("h", 3600), ("m", 60), ("s", 1))  # not days: Google's own examples count in hours

# A block is a reservation with a begin and an end, and the catalog's tables have one word for both.
_SOLD_AS = {
    CapacityType.ON_DEMAND: SoldAs.ON_DEMAND,
    CapacityType.SPOT: SoldAs.SPOT,
    CapacityType.RESERVED: SoldAs.RESERVED,
    CapacityType.BLOCK: SoldAs.RESERVED,
    CapacityType.FLEX_START: SoldAs.FLEX_START,
}


_EXAMPLES = {
    SoldAs.ON_DEMAND: ("on-demand",),
    SoldAs.SPOT: ("spot",),
    SoldAs.FLEX_START: ("{flex-start: {run_for: 24h, wait_for: 2h}}",),
    SoldAs.RESERVED: ("{reserved: NAME}", "{block: NAME}"),
}


def entries(sold: Iterable[SoldAs]) -> list[str]:
    """Return what `provider.capacity` takes for ways of selling, as a cluster file has it."""
    return [entry for way in sold for entry in _EXAMPLES[way]]


def sold_as_of(type_: CapacityType) -> SoldAs:
    """Return the word that the catalog's tables have for a capacity type."""
    return _SOLD_AS[type_]


def entry_yaml(entry: CapacityEntry) -> str:
    """Return an entry as a cluster file has it: ``spot``, ``{reserved: cr-0123}``, ``{flex-start: {run_for: 24h}}``."""
    times = [("run_for", entry.run_for_s), ("wait_for", entry.wait_for_s)]
    given = [f"{name}: {_duration(seconds)}" for name, seconds in times if seconds is not None]
    if entry.name and not entry.project and not given:
        return f"{{{entry.type.value}: {entry.name}}}"
    named = [f"{key}: {text}" for key, text in (("name", entry.name), ("project", entry.project)) if text]
    options = ", ".join([*named, *given])
    return f"{{{entry.type.value}: {{{options}}}}}" if options else entry.type.value


def order_yaml(order: Iterable[CapacityEntry]) -> str:
    """Return an order as a cluster file has it: ``[spot, on-demand]``."""
    return f"[{', '.join(map(entry_yaml, order))}]"


def order_words(types: Iterable[CapacityType]) -> str:
    """Return the capacity types of an order in words: ``spot, then on-demand``."""
    return in_order([type_.value for type_ in types])


def in_order(words: Sequence[str]) -> str:
    """Return words of which the first comes first: ``block cr-0123, spot, then on-demand``."""
    return f"{', '.join(words[:-1])}, then {words[-1]}" if len(words) > 1 else "".join(words)


def _duration(seconds: float) -> str:
    unit, size = next((unit, size) for unit, size in _UNITS if seconds % size == 0)
    return f"{seconds / size:.0f}{unit}"
