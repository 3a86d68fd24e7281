"""Where a machine type is to be had: the places of every layer put together, and look-ups over them.

What nobody has listed is never said to be missing: a type without any row, a region that no file lists as a whole, a
zone that is not among its region's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from accel_scaling.catalog.offerings import WHOLE
from accel_scaling.clouds import known_clouds

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from accel_scaling.catalog.offerings import Place, Zones

# First words of regions' names, by continent: in AWS's names and in Google's.
_CONTINENTS = (
    {"us", "ca", "mx", "sa", "northamerica", "southamerica"},
    {"eu", "eusc", "europe"},
    {"ap", "cn", "asia", "australia"},
    {"me", "il", "af", "africa"},
)


class Row(NamedTuple):
    """What a region has, by the strongest layer that says it.

    Attributes:
        zones: the zones that have it; None for all of the region's, or unknown; empty for none.
        source: who says so; empty where only the region's own row does.
        layer: the file.
    """

    zones: Zones
    source: str
    layer: str


@dataclass(frozen=True)
class Where:
    """Where one machine type is to be had.

    Attributes:
        rows: what is said of it, by region: its own row, or its family's.
        listed: the regions of which a file lists all that they have, each with that file's row.
        of_users: for a type that only the user's own catalog has: those of them that the user's own files list, which
            would have it; elsewhere it may be, until a row says where it is.
    """

    rows: Mapping[str, Row]
    listed: Mapping[str, Row]
    of_users: frozenset[str] = frozenset()

    @property
    def regions(self) -> tuple[str, ...]:
        """The regions that have it, by name; empty where nobody knows any."""
        return tuple(sorted(region for region, row in self.rows.items() if row.zones != ()))

    def in_region(self, region: str) -> bool | None:
        """Return whether a region has it; None where nobody knows."""
        if region in self.rows:
            return self.rows[region].zones != ()
        return False if region in self.of_users or (region in self.listed and self.regions) else None

    def in_zone(self, region: str, zone: str) -> bool | None:
        """Return whether a zone has it; None where nobody knows.

        Args:
            region: where the zone is.
            zone: as places.short_zone() names it.
        """
        row, listed = self.rows.get(region), self.listed.get(region)
        if row is None or row.zones is None or (listed and zone not in (listed.zones or (zone,))):
            return False if self.in_region(region) is False else None
        return zone in row.zones

    def zones(self, region: str) -> tuple[str, ...]:
        """Return the zones of a region that have it; empty where that is not known, or none has."""
        row = self.rows.get(region)
        if row is not None and row.zones is None:
            row = self.listed.get(region)
        return (row.zones if row else None) or ()

    def nearest(self, region: str) -> list[str]:
        """Return the regions that have it, the nearest to a region first, by their names."""
        return sorted(self.regions, key=lambda each: (_distance(each, region), each))


class Offered:
    """The places of one cloud.

    Args:
        cloud: whose they are.
        layers: each a file's label and its rows, the weakest first. A file with a region's own row (``*``) lists all
            that the region has, and replaces what weaker files say of it.
        own: the labels of the user's own files: what they say of a family counts for the user's own types, too.
    """

    def __init__(self, cloud: str, layers: Iterable[tuple[str, Sequence[Place]]], own: Collection[str] = ()) -> None:
        self._cloud = cloud
        self._own = frozenset(own)
        self._layers: list[tuple[str, dict[str, dict[str, Place]]]] = []
        for label, places in layers:
            regions: dict[str, dict[str, Place]] = {}
            for place in places:
                if place.cloud == cloud:
                    regions.setdefault(place.region, {})[place.types] = place
            self._layers.append((label, regions))

    @property
    def regions(self) -> tuple[str, ...]:
        """Every region that a row names."""
        return tuple(sorted({region for _, regions in self._layers for region in regions}))

    def where(self, name: str, *, private: bool = False) -> Where:
        """Return where a machine type is to be had.

        Args:
            name: the cloud's name for it.
            private: only the user's own catalog has it: what the cloud's own files say of its family, or list of a
                region, does not mean it.
        """
        family = known_clouds()[self._cloud].machine_family(name) or name
        found: dict[str, Row] = {}
        listed: dict[str, Row] = {}
        for label, regions in self._layers:
            by_family = not private or label in self._own
            for region, places in regions.items():
                if whole := places.get(WHOLE):
                    listed[region] = Row(whole.zones, whole.source, label)
                    found.pop(region, None)
                place = places.get(name) or (places.get(family) if by_family else None)
                if place:
                    found[region] = Row(place.zones, place.source, label)
        of_users = (region for region, row in listed.items() if private and row.layer in self._own)
        return Where(found, listed, frozenset(of_users))


def _distance(one: str, other: str) -> int:
    """Return how far two regions are apart by their names: 0 the same side of a country, 1 the country, 2, 3 beyond."""
    words, others = (region.rstrip("0123456789-").split("-") for region in (one, other))
    if words == others:
        return 0
    if words[0] == others[0]:
        return 1
    return 2 if any({words[0], others[0]} <= continent for continent in _CONTINENTS) else 3
