"""The capacity types of a node type, in the order in which they are tried: `provider.capacity` of a cluster file.

    provider:
      capacity:
        h100: [{block: cr-0123}, spot, on-demand]

One launch tries them in this order. How a cloud's request says each of them is in its folder (`capacity.py`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from accel_scaling._ray.facts import LABEL_MARKET_TYPE
from accel_scaling.catalog.suggest import hint
from accel_scaling.errors import ClusterConfigError
from accel_scaling.message_text import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

CAPACITY = "capacity"
"""The key of a provider section: node type -> its capacity types, in the user's order."""

LABEL_CAPACITY = "accel-scaling.io/capacity-type"
"""The label of a Ray node with the word of its capacity type."""

TAG = "accel-scaling-capacity"
"""The tag, or label, of a machine that was launched by such an order: the word of its capacity type."""


class CapacityType(str, Enum):
    """The way in which a machine is bought; two of the words are Ray's values of the label `ray.io/market-type`."""

    ON_DEMAND = "on-demand"
    SPOT = "spot"
    RESERVED = "reserved"  # from a reservation, which the account pays for whether it is used or not
    BLOCK = "block"  # from a reservation with a begin and an end: EC2's Capacity Blocks, Google's calendar mode
    FLEX_START = "flex-start"  # Google's: the request waits in a queue, the machine runs for a limited time

    @property
    def is_market(self) -> bool:
        """Whether the word is one of Ray's label `ray.io/market-type`: Ray has two."""
        return self in (CapacityType.ON_DEMAND, CapacityType.SPOT)


@dataclass(frozen=True)
class CapacityEntry:
    """One entry of an order.

    Attributes:
        type: how the machine is bought.
        name: of the reservation or block, as its cloud names it; empty where the cloud chooses one, or there is none.
        project: on Google Cloud, whose reservation it is; empty for the cluster's own.
        run_for_s: for how many seconds the machine may run; None where nobody says.
        wait_for_s: for how many seconds the request may wait in the cloud's queue; None where it does not wait.
    """

    type: CapacityType
    name: str = ""
    project: str = ""
    run_for_s: float | None = None
    wait_for_s: float | None = None

    @property
    def key(self) -> str:
        """Its name within an order, and in a place of the quarantine: ``spot``, ``reserved cr-0123``."""
        owner = f"{self.project}/" if self.project else ""
        return f"{self.type.value} {owner}{self.name}".strip()


_OPTIONS: Mapping[CapacityType, tuple[str, ...]] = {
    CapacityType.ON_DEMAND: ("wait_for",),
    CapacityType.SPOT: ("wait_for",),
    CapacityType.RESERVED: ("name", "project", "wait_for"),
    CapacityType.BLOCK: ("name", "project", "wait_for"),
    CapacityType.FLEX_START: ("run_for", "wait_for"),
}
_NAMED = (CapacityType.RESERVED, CapacityType.BLOCK)
_EXAMPLES = {
    CapacityType.RESERVED: "{reserved: NAME}",
    CapacityType.BLOCK: "{block: NAME}",
    CapacityType.FLEX_START: "{flex-start: {run_for: 24h, wait_for: 2h}}",
}
# What a cloud takes as a reservation's name: an id, an ARN, a path. Nothing that ends a word in a shell or a message.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/-]{0,254}")
_DURATION = re.compile(r"(\d{1,7})\s*(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def capacity_orders(provider: Mapping[str, Any]) -> dict[str, tuple[CapacityEntry, ...]]:
    """Return the order of each node type that the provider section has one for.

    Raises:
        ClusterConfigError: a word or a key that does not exist, a name that is missing, or the same entry
            twice.
    """
    given = provider.get(CAPACITY)
    if given is None:
        return {}
    key = f"provider.{CAPACITY}"
    if not isinstance(given, dict):
        raise ClusterConfigError(f"{key} is {shown(given)}: write a mapping, such as {{my_type: [spot, on-demand]}}")
    return {str(name): _order(f"{key}.{name}", entries) for name, entries in given.items()}


def capacity_labels(type_: CapacityType, *, ordered: bool) -> dict[str, str]:
    """Return the labels of a Ray node that say how its machine was bought.

    Args:
        type_: how.
        ordered: its node type has an order of capacity types; without one, Ray's own label says spot and on demand.
    """
    labels = {LABEL_MARKET_TYPE: type_.value} if type_.is_market else {}
    return labels if type_.is_market and not ordered else {**labels, LABEL_CAPACITY: type_.value}


def check_node_types(orders: Collection[str], node_types: Collection[str]) -> None:
    """Refuse an order for a node type that the cluster file does not have.

    Raises:
        ClusterConfigError: it names the nearest node type.
    """
    for name in orders:
        if name not in node_types:
            near = hint(name, map(str, node_types)) or f": it has {', '.join(map(str, node_types))}"
            raise ClusterConfigError(
                f"provider.{CAPACITY}.{name} is for a node type which available_node_types does not have{near}"
            )


def _order(key: str, given: Any) -> tuple[CapacityEntry, ...]:
    entries = given if isinstance(given, list) else [given]
    if not entries:
        raise ClusterConfigError(f"{key} is an empty list: write capacity types, such as [spot, on-demand]")
    order = tuple(entry for number, item in enumerate(entries) for entry in entries_of(f"{key}[{number}]", item))
    check_once(key, order)
    return order


def check_once(key: str, order: Sequence[CapacityEntry]) -> None:
    """Refuse an order that has the same entry twice.

    Raises:
        ClusterConfigError: it names the entry.
    """
    for number, entry in enumerate(order):
        if entry.key in [earlier.key for earlier in order[:number]]:
            raise ClusterConfigError(f"{key} has {entry.key} twice: write each capacity type once")


def entries_of(key: str, given: Any) -> Iterator[CapacityEntry]:
    """Yield the entry of one item of an order; of several reservations, one for each that it names.

    Args:
        key: the item's place in the cluster file, for the error.
        given: a word, or a mapping of one word.

    Raises:
        ClusterConfigError: a word or a key that does not exist, or a name that is missing.
    """
    if isinstance(given, dict) and len(given) == 1:
        ((word, options),) = given.items()
    else:
        word, options = given, None
    type_ = _type(key, word)
    if options is None or options == {}:
        yield _entry(key, type_, {})
    elif isinstance(options, dict):
        yield _entry(key, type_, options)
    elif type_ in _NAMED:
        names = options if isinstance(options, list) else [options]
        if not names:
            raise ClusterConfigError(f"{key}.{type_.value} is an empty list: write the names of reservations")
        for name in names:
            yield _entry(key, type_, {"name": name})
    else:
        raise ClusterConfigError(
            f"{key}.{type_.value} is {shown(options)}: it takes {' and '.join(_OPTIONS[type_])}, such as "
            f"{_EXAMPLES.get(type_, f'{{{type_.value}: {{wait_for: 2h}}}}')}"
        )


def _type(key: str, word: Any) -> CapacityType:
    words = [value.value for value in CapacityType]
    if not isinstance(word, str) or word not in words:
        known = f"write {', '.join(words[:-1])} or {words[-1]}"
        near = hint(word, words) if isinstance(word, str) else ""
        raise ClusterConfigError(f"{key} is {shown(word)}{near}: {known}")
    return CapacityType(word)


def _entry(key: str, type_: CapacityType, options: Mapping[str, Any]) -> CapacityEntry:
    key = f"{key}.{type_.value}"
    for name in options:
        if name not in _OPTIONS[type_]:
            raise ClusterConfigError(
                f"{key}.{name} is a key that nothing reads{hint(str(name), _OPTIONS[type_])}; the keys there are "
                f"{', '.join(_OPTIONS[type_])}"
            )
    texts = {name: _name(f"{key}.{name}", options[name]) for name in ("name", "project") if name in options}
    times = {
        f"{name}_s": duration_s(f"{key}.{name}", options[name]) for name in ("run_for", "wait_for") if name in options
    }
    entry = CapacityEntry(type_, texts.get("name", ""), texts.get("project", ""), **times)
    if type_ is CapacityType.BLOCK and not entry.name:
        raise ClusterConfigError(f"{key} names no block: write {_EXAMPLES[type_]}")
    if entry.project and not entry.name:
        raise ClusterConfigError(f"{key}.project is of a reservation that is not named: write name, too")
    return entry


def _name(key: str, given: Any) -> str:
    if not isinstance(given, str) or not _NAME.fullmatch(given):
        raise ClusterConfigError(f"{key} is {shown(given)}: write the name or id that the cloud has for it, as text")
    return given


def duration_s(key: str, given: Any) -> float:
    """Return a time such as ``90s``, ``15m``, ``2h`` or ``7d`` in seconds.

    Raises:
        ClusterConfigError: it is none, or nothing.
    """
    found = _DURATION.fullmatch(given.strip()) if isinstance(given, str) else None
    seconds = int(found[1]) * _SECONDS[found[2]] if found else 0
    if not seconds:
        raise ClusterConfigError(f"{key} is {shown(given)}: write a time such as 90s, 15m, 2h or 7d")
    return float(seconds)
