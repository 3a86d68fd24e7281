"""The capacity types of a new cluster file: the order that is asked for, and the part of it that the cloud sells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from accel_scaling.cluster.capacity import CAPACITY, CapacityEntry, CapacityType, check_once, entries_of
from accel_scaling.cluster.capacity_text import order_yaml
from accel_scaling.errors import ClusterConfigError, InitError
from accel_scaling.init.template import comment, scalar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


ON_DEMAND = (CapacityEntry(CapacityType.ON_DEMAND),)
SPOT_FIRST = (CapacityEntry(CapacityType.SPOT), *ON_DEMAND)
"""The order of ``--spot``."""

OPTION = "--capacity"
_HOW_TO = "write such as --capacity spot,on-demand or --capacity reserved:NAME,spot"
# Google needs a time after which a flex-start machine ends, and the longest is a week.
_FLEX_START = {"run_for": "24h", "wait_for": "2h"}

_HEAD = "How workers are bought: the first type in each zone, then the next. A sold-out one is tried again later."


@dataclass(frozen=True)
class Bought:
    """The capacity types of one node type of the file.

    Attributes:
        name: of the node type.
        order: its capacity types.
        yours: the entry has a name that the user must replace; with what it is.
    """

    name: str
    order: tuple[CapacityEntry, ...]
    yours: str = ""


def parse_capacity(text: str, placeholder: str) -> tuple[CapacityEntry, ...]:
    """Return the order that ``--capacity`` names, as ``spot,on-demand``, ``reserved:NAME``, ``flex-start:24h``.

    Args:
        text: the option's value.
        placeholder: the name of a block or reservation that the user did not name.

    Raises:
        InitError: a word that is no capacity type, or one twice.
    """
    items = [item.strip() for item in text.split(",")]
    try:
        order = tuple(entry for item in items for entry in entries_of(OPTION, _item(item, placeholder)))
        check_once(OPTION, order)
    except ClusterConfigError as error:
        raise InitError(f"{error}; {_HOW_TO}") from None
    return order


def _item(text: str, placeholder: str) -> Any:
    """Return an item as a cluster file has it."""
    word, _, value = text.partition(":")
    if word == CapacityType.FLEX_START.value:
        return {word: {**_FLEX_START, **({"run_for": value} if value else {})}}
    if word == CapacityType.BLOCK.value:
        return {word: value or placeholder}
    if value and word in (CapacityType.SPOT.value, CapacityType.ON_DEMAND.value):
        return {word: {"wait_for": value}}
    return {word: value} if value else word


def capacity_key(bought: Iterable[Bought], notes: Mapping[CapacityType, Sequence[str]]) -> str:
    """Return the key of the provider section with the orders; empty where machines are bought on demand alone.

    Args:
        bought: the node types.
        notes: sentences of the cloud about a capacity type, for the comment.
    """
    ordered = [one for one in bought if one.order != ON_DEMAND]
    if not ordered:
        return ""
    types = dict.fromkeys(entry.type for one in ordered for entry in one.order)
    sentences = [_HEAD, *(sentence for type_ in types for sentence in notes.get(type_, ()))]
    lines = [
        f"  {scalar(one.name)}: {order_yaml(one.order)}" + (f" # <- {one.yours}" if one.yours else "")
        for one in ordered
    ]
    return "\n".join([comment(*sentences), f"{CAPACITY}:", *lines])
