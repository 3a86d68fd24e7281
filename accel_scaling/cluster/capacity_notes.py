"""The notes on how a node type buys its machines: not as the cloud sells them, or not as its labels say. No network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling.catalog.capacity_types import sold_as
from accel_scaling.catalog.model import SoldAs
from accel_scaling.catalog.node_schema import CAPACITY_TYPES
from accel_scaling.clouds import known_clouds
from accel_scaling.cluster.capacity import CapacityType, capacity_labels
from accel_scaling.cluster.capacity_text import CAPACITY_LABELS, entries, order_words
from accel_scaling.message_text import listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from accel_scaling.cluster.cluster import Cluster

_WITH_AN_END = (CapacityType.BLOCK, CapacityType.FLEX_START)
_WORDS = {
    SoldAs.ON_DEMAND: "on demand",
    SoldAs.SPOT: "as spot",
    SoldAs.FLEX_START: "as flex-start",
    SoldAs.RESERVED: "by reservation",
}


def capacity_note(cloud: str, machine_type: str, bought: SoldAs, remedies: Mapping[SoldAs, str]) -> str | None:
    """Return the note; None where the cloud sells it so, as far as is known.

    Args:
        cloud: whose machine it is.
        machine_type: its name.
        bought: how the node_config buys it.
        remedies: what a node_config says to buy it in each way, for a file without `provider.capacity`.
    """
    row = sold_as(cloud, machine_type)
    if row is None or bought in row.sold_as:
        return None
    instead = " or ".join(remedies[way] for way in row.sold_as if way in remedies)
    words = listed(entries(row.sold_as), "or")
    return (
        f"{known_clouds()[cloud].title} sells {machine_type} {ways(row.sold_as)}, not {_WORDS[bought]} as here, "
        f"according to {CAPACITY_TYPES.file_of(cloud)}; write in provider.capacity {words} "
        f"(without that key, in its node_config: {instead})"
    )


def label_notes(cluster: Cluster) -> Iterator[str]:
    """Yield a note for each label of the user's that says how machines were bought, and is not true of all of them.

    Ray gives a node type's labels to each of its nodes. A file that was filled before it got an order has such a label.
    """
    for node_type in cluster.node_types.values():
        if node_type.machine.market_in_template and not node_type.order:
            continue
        types = node_type.capacity_types
        for key in CAPACITY_LABELS:
            given = node_type.labels.get(key)
            true = {capacity_labels(type_, ordered=True).get(key) for type_ in types}
            if given is not None and true != {given}:
                yield (
                    f"{node_type.location}.labels has {key}: {given}, and its machines are bought as "
                    f"{order_words(types)}: each of them would announce {given}; remove the label, a node says itself "
                    "how its machine was bought"
                )


def head_notes(cluster: Cluster) -> Iterator[str]:
    """Yield a note where the cloud ends the head's machine at a time that it has set beforehand."""
    for node_type in cluster.node_types.values():
        ends = [type_.value for type_ in node_type.capacity_types if type_ in _WITH_AN_END]
        if node_type.is_head and ends:
            yield (
                f"{node_type.location} is the head, and its machine is bought as {listed(ends, 'or')}: the cloud ends "
                "it at a fixed time, and the cluster with it; buy the head in another way"
            )


def ways(sold: Iterable[SoldAs]) -> str:
    """Return ways of selling in words: ``as spot, as flex-start or by reservation``."""
    return listed([_WORDS[way] for way in sold], "or")
