"""The ways to launch a node type: each capacity type of its order, and machine type of its list, in each zone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from accel_scaling.cluster import machine_lists
from accel_scaling.cluster.capacity import TAG
from accel_scaling.quarantine.place import place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from accel_scaling.cluster.capacity import CapacityEntry

    WithCapacity = Callable[[dict[str, Any], CapacityEntry], dict[str, Any]]


@dataclass(frozen=True)
class Offer:
    """One way to launch machines of a node type.

    Attributes:
        place: the zone; with the capacity type where the node type has an order of them, and with the machine type
            where it has a list.
        zone: the zone alone.
        entry: the capacity type; None where the node_config alone says how its machines are bought.
        node_config: which buys its machines so.
        tags: of its machines.
        machine: the machine type, where the node type has a list of them; empty elsewhere.
    """

    place: str
    zone: str
    entry: CapacityEntry | None
    node_config: dict[str, Any]
    tags: dict[str, str]
    machine: str = ""


def places_of(order: Sequence[CapacityEntry], zones: Sequence[str]) -> list[str]:
    """Return the places of a node type, in the order to try them: by each capacity type zone after zone."""
    if not order:
        return list(zones)
    return [place_of(zone, entry.key) for entry in order for zone in zones]


def offers(
    order: Sequence[CapacityEntry],
    zones: Sequence[str],
    node_config: dict[str, Any],
    tags: dict[str, str],
    with_capacity: WithCapacity,
    *,
    machines: Mapping[str, dict[str, Any]] | None = None,
) -> dict[str, Offer]:
    """Return all ways to launch, by their places, in the order to try them.

    A capacity type is tried with each machine type before the next one: who writes spot first wants that of any. Each
    machine type is tried in every zone before the next one.

    Args:
        order: the node type's capacity types; none where its node_config says how its machines are bought.
        zones: in the order to try them, for each capacity type.
        node_config: the node type's.
        tags: of its machines.
        with_capacity: the cloud's own: a node_config that buys its machines in one way.
        machines: the node_config of each machine type of a list, in the order to try them; none where there is no list.
    """
    made = {}
    for entry in order or (None,):
        for machine, own in (machines or {"": node_config}).items():
            bought = own if entry is None else with_capacity(own, entry)
            tagged = {**tags, **_told(entry, machine)}
            for zone in zones:
                place = place_of(zone, " ".join(word for word in (entry.key if entry else "", machine) if word))
                made[place] = Offer(place, zone, entry, bought, tagged, machine)
    return made


def _told(entry: CapacityEntry | None, machine: str) -> dict[str, str]:
    """Return the tags by which the head knows what became of a launch."""
    told = {TAG: entry.type.value} if entry else {}
    return {**told, machine_lists.TAG: machine} if machine else told
