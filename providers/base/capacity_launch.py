"""The ways to launch a node type: each capacity type of its order in each zone, as requests of its cloud."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from accel_scaling.cluster.capacity import TAG
from accel_scaling.quarantine.place import place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from accel_scaling.cluster.capacity import CapacityEntry

    WithCapacity = Callable[[dict[str, Any], CapacityEntry], dict[str, Any]]


@dataclass(frozen=True)
class Offer:
    """One way to launch machines of a node type.

    Attributes:
        place: the zone, and the capacity type where the node type has an order of them.
        zone: the zone alone.
        entry: the capacity type; None where the node_config alone says how its machines are bought.
        node_config: which buys its machines so.
        tags: of its machines.
    """

    place: str
    zone: str
    entry: CapacityEntry | None
    node_config: dict[str, Any]
    tags: dict[str, str]


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
) -> dict[str, Offer]:
    """Return all ways to launch, by their places, in the order to try them.

    Args:
        order: the node type's capacity types; none where its node_config says how its machines are bought.
        zones: in the order to try them, for each capacity type.
        node_config: the node type's.
        tags: of its machines.
        with_capacity: the cloud's own: a node_config that buys its machines in one way.
    """
    if not order:
        return {zone: Offer(zone, zone, None, node_config, tags) for zone in zones}
    made = {}
    for entry in order:
        bought, tagged = with_capacity(node_config, entry), {**tags, TAG: entry.type.value}
        for zone in zones:
            place = place_of(zone, entry.key)
            made[place] = Offer(place, zone, entry, bought, tagged)
    return made
