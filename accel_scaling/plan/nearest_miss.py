"""The nearest miss: what a node type lacks for a demand that no node type of the file can take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from accel_scaling._ray.facts import ACCELERATOR_TYPE_PREFIX, LABEL_ACCELERATOR_TYPE
from accel_scaling.fill.promise import LABEL_VARIANT
from accel_scaling.plan.demands import types_in
from accel_scaling.plan.labels import holds, written
from accel_scaling.plan.model import Demand, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from accel_scaling.accs.types import Known
    from accel_scaling.catalog.model import Chip
    from accel_scaling.plan.cluster import NodeType

_OF_TYPES = (LABEL_ACCELERATOR_TYPE, LABEL_VARIANT)

# The nearest first: what a user would change least for.
_NEARNESS = (
    Kind.NEVER_LAUNCHED,
    Kind.NO_SUCH_LABEL,
    Kind.TOO_SMALL,
    Kind.OVER_SEVERAL_HOSTS,
    Kind.TOO_FEW_DEVICES,
    Kind.OTHER_VARIANT,
    Kind.PART_OF_A_DEVICE,
    Kind.NO_SUCH_ACCELERATOR,
)


@dataclass(frozen=True)
class Miss:
    """Why one node type does not take a demand.

    Attributes:
        kind: how it misses.
        said: what the node type has, for a sentence.
    """

    kind: Kind
    said: str


@dataclass(frozen=True)
class Wanted:
    """A demand, taken apart.

    Attributes:
        types: accelerator types, any of which will do; empty where none is named.
        resource: the Ray resource of accelerators; "" where none is asked for.
        amounts: Ray resources but for types.
        labels: the label selectors but for those that name types; any of them will do.
    """

    types: tuple[str, ...]
    resource: str
    amounts: Mapping[str, float]
    labels: tuple[tuple[tuple[str, bool, tuple[str, ...]], ...], ...]


def wanted(demand: Demand, known: Known) -> Wanted:
    """Return what a demand asks for."""
    types = tuple(types_in(demand.resources)) or preferred(demand)
    amounts = {name: value for name, value in demand.resources.items() if not name.startswith(ACCELERATOR_TYPE_PREFIX)}
    of_chips = {chip.resource for chip in known.chips.values()}
    resource = next((name for name in amounts if name in of_chips), "")
    others = tuple(tuple(one for one in each if not (one[0] in _OF_TYPES and not one[1])) for each in demand.selectors)
    return Wanted(types, resource, amounts, tuple(dict.fromkeys(each for each in others if each)))


def preferred(demand: Demand) -> tuple[str, ...]:
    """Return the accelerator types that label selectors name, the best first."""
    found = [
        value
        for each in demand.selectors
        for key, negated, values in each
        if key in _OF_TYPES and not negated
        for value in values
    ]
    return tuple(dict.fromkeys(found))


def asks(demand: Demand, known: Known) -> str:
    """Return what a demand asks for, as words of Ray's; the one CPU of each task is left out."""
    want = wanted(demand, known)
    words = [ACCELERATOR_TYPE_PREFIX + " or ".join(want.types)] if want.types else []
    amounts = dict(want.amounts)
    if len(amounts) > 1 and amounts.get("CPU") == 1:
        amounts.pop("CPU")
    ordered = sorted(amounts, key=lambda name: (name != want.resource, name))
    words += [said_amount(name, amounts[name]) for name in ordered]
    if want.labels:
        words.append(f"label {' or '.join(written(each) for each in want.labels)}")
    return ", ".join(words)


def nearest_miss(demand: Demand, node_types: Iterable[NodeType], known: Known) -> Miss:
    """Return the miss that a user would have to change least for; of several alike all are named."""
    want = wanted(demand, known)
    tried = [(one, _miss(want, one, known)) for one in node_types]
    # The head is there once: that another like it would be too small says little.
    misses = [miss for one, miss in tried if not one.is_head or miss.kind is Kind.NEVER_LAUNCHED or len(tried) == 1]
    best = min((miss.kind for miss in misses), key=_NEARNESS.index)
    if best is Kind.NO_SUCH_ACCELERATOR:
        return Miss(best, _what_there_is(node_types))
    said = list(dict.fromkeys(miss.said for miss in misses if miss.kind is best))
    more = f" (and {len(said) - 2} more alike)" if len(said) > 2 else ""
    return Miss(best, "; ".join(said[:2]) + more)


def said_amount(name: str, value: float) -> str:
    """Return an amount of a resource for people: ``GPU 8``, ``memory 11.2 GiB``."""
    return f"memory {value / 2**30:.1f} GiB" if name == "memory" else f"{name} {value:g}"


def _miss(want: Wanted, one: NodeType, known: Known) -> Miss:
    short = [name for name, value in want.amounts.items() if one.resources.get(name, 0) < value]
    if want.types and not set(want.types) & set(one.types):
        return _other_type(want, one, known)
    if want.resource and not one.resources.get(want.resource):
        return Miss(Kind.NO_SUCH_ACCELERATOR, "")
    if short == [want.resource]:
        return _too_few(want, one)
    if short:
        has = ", ".join(said_amount(name, one.resources.get(name, 0)) for name in short)
        return Miss(Kind.TOO_SMALL, f"node type {one.name} has {has}")
    if want.labels and not any(holds(each, one.labels) for each in want.labels):
        return Miss(Kind.NO_SUCH_LABEL, f"node type {one.name} {_labels_of(want, one)}")
    only = ", but for the head itself" if one.is_head else ""
    return Miss(Kind.NEVER_LAUNCHED, f"node type {one.name} would take it, but its max_workers is 0{only}")


def _too_few(want: Wanted, one: NodeType) -> Miss:
    has = said_amount(want.resource, one.resources[want.resource])
    found = one.machine.slice
    if found is not None and found.hosts > 1 and found.chips >= want.amounts[want.resource]:
        said = (
            f"node type {one.name} is a slice of {found.chips} chips on {found.hosts} hosts, each with {has}; a "
            "task runs on one host"
        )
        return Miss(Kind.OVER_SEVERAL_HOSTS, said)
    return Miss(Kind.TOO_FEW_DEVICES, f"node type {one.name} has {has}")


def _other_type(want: Wanted, one: NodeType, known: Known) -> Miss:
    chip = one.machine.machine.chip
    meant = _chips(want.types, known)
    if chip is None or not meant:
        return Miss(Kind.NO_SUCH_ACCELERATOR, "")
    name = one.types[-1] if one.types else chip.name
    if chip.partition_of in {each.name for each in meant}:
        said = f"node type {one.name} has {name}, a part of one, which is announced as that only"
        return Miss(Kind.PART_OF_A_DEVICE, said)
    if {each.detected_type for each in meant} & {chip.detected_type} - {None} and chip.detected_type in _types(meant):
        return Miss(Kind.OTHER_VARIANT, f"node type {one.name} has {name}")
    return Miss(Kind.NO_SUCH_ACCELERATOR, "")


def _types(chips: Iterable[Chip]) -> set[str | None]:
    return {chip.detected_type for chip in chips if chip.variant or chip.detected_type}


def _chips(types: Iterable[str], known: Known) -> list[Chip]:
    return [
        chip for chip in known.chips.values() if {chip.name, chip.variant or "", chip.detected_type or ""} & set(types)
    ]


def _labels_of(want: Wanted, one: NodeType) -> str:
    keys = dict.fromkeys(key for each in want.labels for key, _, _ in each)
    has = [f"{key}={one.labels[key]}" for key in keys if key in one.labels]
    lacks = [key for key in keys if key not in one.labels]
    words = ([f"has {', '.join(has)}"] if has else []) + ([f"has no label {', '.join(lacks)}"] if lacks else [])
    return " and ".join(words)


def _what_there_is(node_types: Iterable[NodeType]) -> str:
    names = dict.fromkeys(one.types[-1] for one in node_types if one.types)
    return f"the node types of the file have {', '.join(names)}" if names else "no node type of the file has any"
