"""Offerings of machine types, as rows: ``aws_places.csv``, ``gcp_places.csv``, a refresh's, and users' own.

One row says what one region has, and in which of its zones::

    region,types,zones,source
    us-east-1,*,az1 az2 az3,EC2 DescribeInstanceTypeOfferings 2026-10
    us-east-1,g5,az1 az2,
    us-east-1,p5.48xlarge,,
    us-east-1,g5.48xlarge,-,

``types`` is a family, one type (stronger than its family), or ``*``: the file lists all that the region has. ``zones``
is empty for all of the region's zones (or where it is not known which), ``-`` for none.

What no file lists is not said to be missing: a type without any row, a region that no file lists as a whole, a zone
that is not among its region's.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from accel_scaling.catalog import table
from accel_scaling.catalog.columns import NOWHERE, WHOLE
from accel_scaling.catalog.files import Problem, Source
from accel_scaling.catalog.schema import OFFERINGS
from accel_scaling.clouds import cloud_of_region, known_clouds

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from accel_scaling.catalog.files import Problem, Source

    Zones = tuple[str, ...] | None

# First words of regions' names, by continent: in AWS's names and in Google's.
_CONTINENTS = (
    {"us", "ca", "mx", "sa", "northamerica", "southamerica"},
    {"eu", "eusc", "europe"},
    {"ap", "cn", "asia", "australia"},
    {"me", "il", "af", "africa"},
)


class OfferingRow(NamedTuple):
    """An offering as it is written: a row of a places file.

    Attributes:
        cloud: whose region it is.
        region: the cloud's name for it.
        types: a family, a machine type, or ``*`` for the region itself.
        zones: the zones that have it, by Cloud.short_zone(); None for all of the region's, or unknown; empty for none.
        source: who says so.
    """

    cloud: str
    region: str
    types: str
    zones: Zones
    source: str = ""


class Offering(NamedTuple):
    """The offering of a machine type in a region, by the strongest layer that says it.

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
    """The regions and zones that offer one machine type.

    Attributes:
        rows: its rows, by region: its own row, or its family's.
        listed: the regions of which a file lists all that they have, each with that file's row.
        without: for a type that only the user's own catalog has: those of them that the user's own files list, which
            would have it; elsewhere it may be, until a row says where it is. For one that no listing has: those
            without any of its family.
    """

    rows: Mapping[str, Offering]
    listed: Mapping[str, Offering]
    without: frozenset[str] = frozenset()

    @property
    def regions(self) -> tuple[str, ...]:
        """The regions that have it, by name; empty where none is known."""
        return tuple(sorted(region for region, row in self.rows.items() if row.zones != ()))

    def in_region(self, region: str) -> bool | None:
        """Return whether a region has it; None where that is not known."""
        if region in self.rows:
            return self.rows[region].zones != ()
        # A type that no region is said to have may be newer than all files: then a complete list says nothing about it.
        return False if region in self.without or (region in self.listed and self.regions) else None

    def in_zone(self, region: str, zone: str) -> bool | None:
        """Return whether a zone has it; None where that is not known.

        Args:
            region: where the zone is.
            zone: as Cloud.short_zone() names it.
        """
        row, listed = self.rows.get(region), self.listed.get(region)
        # A zone that the region's own row does not name may be newer than the file: nothing is known of it.
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
        return sorted(self.regions, key=lambda other: (_distance(other, region), other))


class Offerings:
    """The places of one cloud.

    Args:
        cloud: whose they are.
        layers: each a file's label and its rows, the weakest first. A file with a region's own row (``*``) lists all
            that the region has, and replaces what weaker files say of it.
        own: the labels of the user's own files: what they say of a family counts for the user's own types, too.
    """

    def __init__(
        self, cloud: str, layers: Iterable[tuple[str, Sequence[OfferingRow]]], own: Collection[str] = ()
    ) -> None:
        self._cloud = cloud
        self._own = frozenset(own)
        self._layers: list[tuple[str, dict[str, dict[str, OfferingRow]]]] = []
        for label, places in layers:
            regions: dict[str, dict[str, OfferingRow]] = {}
            for place in places:
                if place.cloud == cloud:
                    regions.setdefault(place.region, {})[place.types] = place
            self._layers.append((label, regions))

    @property
    def regions(self) -> tuple[str, ...]:
        """Every region that a row names."""
        return tuple(sorted({region for _, regions in self._layers for region in regions}))

    def where(self, name: str, *, private: bool = False) -> Where:
        """Return where a machine type is offered.

        Args:
            name: the cloud's name for it.
            private: only the user's own catalog has it: what the cloud's own files say of its family, or list of a
                region, does not mean it.
        """
        family = known_clouds()[self._cloud].machine_family(name) or name
        offerings: dict[str, Offering] = {}
        listed: dict[str, Offering] = {}
        for label, regions in self._layers:
            by_family = not private or label in self._own
            for region, places in regions.items():
                if whole := places.get(WHOLE):
                    listed[region] = Offering(whole.zones, whole.source, label)
                    offerings.pop(region, None)  # this file lists all of the region: weaker ones say nothing of it
                place = places.get(name) or (places.get(family) if by_family else None)
                if place:
                    offerings[region] = Offering(place.zones, place.source, label)
        of_users = (region for region, row in listed.items() if private and row.layer in self._own)
        return Where(offerings, listed, frozenset(of_users))


def parse_places(source: Source) -> tuple[list[OfferingRow], list[Problem]]:
    """Read an offerings file, and everything that is wrong with it."""
    return table.read_rows(source, OFFERINGS, _place_maker(source.path.name), {})


def _place_maker(file: str) -> Callable[[table.RowReader, Sequence[str], int], tuple[object, OfferingRow]]:
    """Return the function that makes a place of a line; a file that begins with a cloud's name is about that cloud.

    A fill reads 3,000 rows, so each step counts: no dict of the values, no OfferingRow.__new__.
    """
    named = next((name for name in known_clouds() if file.startswith(name)), None)
    clouds: dict[str, str] = {}  # by region: the rows have 80 of them
    new = tuple.__new__

    def place_of(reader: table.RowReader, cells: Sequence[str], _: int) -> tuple[object, OfferingRow]:
        # The columns in the table's own order, as in all files that ship: no dict is needed to find them.
        if reader.names == OFFERINGS.names:
            region, types, zones, source = reader.values(cells)[:4]
        else:
            region, types, zones, source = itemgetter(*OFFERINGS.names)(reader.row(cells))
        if region not in clouds:
            clouds[region] = _cloud_of(region, named)
        if types == WHOLE:
            _check_whole(zones, source)
        return (region, types), new(OfferingRow, (clouds[region], region, types, zones, source))

    return place_of


def _check_whole(zones: Zones, source: str) -> None:
    if not source:
        text = "source is empty; the row of a region needs a source, who listed all that it has"
        raise table.CellError("source", text)
    if zones == ():
        raise table.CellError("zones", f"zones is {NOWHERE}; expected the zones of the region, and no - in its row")


def _cloud_of(region: str, named: str | None) -> str:
    # By the region itself: a file whose name begins with no cloud may have regions of several.
    cloud = cloud_of_region(region)
    if cloud is not None and cloud == (named or cloud):
        return cloud
    meant = [known_clouds()[named]] if named else list(known_clouds().values())
    names, forms = (" or ".join(words) for words in ((c.name for c in meant), (c.region_example for c in meant)))
    raise table.CellError("region", f"region is {region}; expected a region of {names}, such as {forms}")


def places_of_region(
    cloud: str,
    region: str,
    offered: Mapping[str, Collection[str]],
    known: Collection[str],
    *,
    source: str,
    zones: Collection[str] = (),
) -> list[OfferingRow]:
    """Return the rows of a region of which everything is known: few, as families stand for their types.

    Args:
        cloud: whose region it is.
        region: its name.
        offered: the types that it has, each with its zones by short_zone(); without any where that is not known.
        known: every type that the catalog or any region has; a family's row stands for all of them.
        source: who says so, and when.
        zones: the region's zones; those of ``offered`` where they are not given.
    """
    every = tuple(sorted({*zones, *(zone for names in offered.values() for zone in names)}))
    families: dict[str, list[str]] = {}
    # Types that only other regions have, too: a family's row stands for them, unless a row of theirs says "-".
    for name in {*known, *offered}:
        families.setdefault(known_clouds()[cloud].machine_family(name) or name, []).append(name)
    rows = [OfferingRow(cloud, region, WHOLE, every or None, source)]
    for family, names in sorted(families.items()):
        by_type = {name: _where(offered.get(name), every) for name in names}
        rows += [OfferingRow(cloud, region, types, in_zones) for types, in_zones in _rows_of(family, by_type)]
    return rows


def offerings_text(places: Iterable[OfferingRow]) -> str:
    """Return the text of the file with these rows, in the order in which they are kept."""
    rows = sorted((row.region, row.types, _cell(row.zones), row.source) for row in places)
    return table.csv_text(OFFERINGS.names, rows)


def _distance(region: str, other: str) -> int:
    """Return how far two regions are apart by their names: 0 the same side of a country, 1 the country, 2, 3 beyond."""
    words, others = (name.rstrip("0123456789-").split("-") for name in (region, other))
    if words == others:
        return 0
    if words[0] == others[0]:
        return 1
    return 2 if any({words[0], others[0]} <= continent for continent in _CONTINENTS) else 3


def _where(zones: Collection[str] | None, every: tuple[str, ...]) -> Zones:
    if zones is None:
        return ()
    here = tuple(sorted(zones))
    return None if not here or here == every else here


def _rows_of(family: str, by_type: Mapping[str, Zones]) -> list[tuple[str, Zones]]:
    """Return a row for all of a family, and those of the types that it is not true of; none by_type it has none."""
    counted = Counter(zones for zones in by_type.values() if zones != ())
    if not counted:
        return []
    # Of equally frequent zones always the same: a refresh that learns nothing must change no byte.
    most = min(counted.items(), key=lambda pair: (-pair[1], pair[0] or ()))[0]
    return [(family, most), *((name, zones) for name, zones in sorted(by_type.items()) if zones != most)]


def _cell(zones: Zones) -> str:
    return "" if zones is None else " ".join(zones) or NOWHERE
