"""A place of launches: a zone, or a capacity type in a zone. The quarantine closes places, and knows them as text.

A node type with one capacity type has zones as its places. With an order of several (`provider.capacity`), each of them
is a place of its own in each zone: ``us-west-2a/spot``, ``us-west-2a/reserved cr-0123``.
"""

from __future__ import annotations

EVERY_ZONE = "*"

# Of a launch whose subnets the cloud does not place, and of a machine of which nobody could say where it was.
UNKNOWN_ZONE = ""

_SEPARATOR = "/"  # no cloud has it in the name of a zone


def place_of(zone: str, capacity: str = "") -> str:
    """Return the place of a zone and the key of a capacity entry; the zone alone where there is none."""
    return f"{zone}{_SEPARATOR}{capacity}" if capacity else zone


def zone_in(place: str) -> str:
    """Return the zone of a place."""
    return place.partition(_SEPARATOR)[0]


def capacity_in(place: str) -> str:
    """Return the key of a place's capacity entry; empty where it is the zone alone."""
    return place.partition(_SEPARATOR)[2]


def everywhere(place: str) -> str:
    """Return the place that stands for all zones, with the same capacity type."""
    return place_of(EVERY_ZONE, capacity_in(place))


def meet(one: str, other: str) -> bool:
    """Return whether two places may be the same one: a zone without a name may be any, a zone alone is all its types.

    A launch whose subnets EC2 does not place is checked in the zone without a name, and its machines are counted in
    their real one; held apart, the two would never meet, and the node type would be launched for ever.
    """
    zones, capacities = {zone_in(one), zone_in(other)}, {capacity_in(one), capacity_in(other)}
    same_zone = len(zones) == 1 or bool(zones & {EVERY_ZONE, UNKNOWN_ZONE})
    return same_zone and (len(capacities) == 1 or "" in capacities)


def place_text(place: str) -> str:
    """Return ``us-west-2a``, ``us-west-2a (spot)``, ``all zones`` or ``all zones (spot)``."""
    zone, capacity = zone_in(place), capacity_in(place)
    name = "all zones" if zone in (EVERY_ZONE, UNKNOWN_ZONE) else zone
    return f"{name} ({capacity})" if capacity else name
