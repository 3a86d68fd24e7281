"""Where machine types are to be had, as rows: ``aws_places.csv``, ``gcp_places.csv``, a refresh's, and users' own.

One row says what one region has, and in which of its zones::

    region,types,zones,source
    us-east-1,*,az1 az2 az3,EC2 DescribeInstanceTypeOfferings 2026-10
    us-east-1,g5,az1 az2,
    us-east-1,p5.48xlarge,,
    us-east-1,g5.48xlarge,-,

``types`` is a family, one type (stronger than its family), or ``*``: the file lists all that the region has. ``zones``
is empty for all of the region's zones (or where nobody knows which), ``-`` for none.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from accel_scaling.catalog.files import Problem, Source, csv_records
from accel_scaling.clouds import cloud_of_region, known_clouds

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    Zones = tuple[str, ...] | None

COLUMNS = ("region", "types", "zones", "source")
STEM = "places"
WHOLE = "*"
NOWHERE = "-"

_TYPES = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_ZONES = re.compile(r"-|[a-z0-9]+(?:-[a-z0-9]+)*(?: [a-z0-9]+(?:-[a-z0-9]+)*)*|")


class Place(NamedTuple):
    """What a region has; a row of a places file.

    Attributes:
        cloud: whose region it is.
        region: the cloud's name for it.
        types: a family, a machine type, or ``*`` for the region itself.
        zones: the zones that have it, by short_zone(); None for all of the region's, or unknown; empty for none.
        source: who says so.
    """

    cloud: str
    region: str
    types: str
    zones: Zones
    source: str = ""


def is_places(path: Path) -> bool:
    """Return whether a file has the name of a places file: ``aws_places.csv``, ``places.csv``."""
    return path.suffix.lower() == ".csv" and path.stem.rpartition("_")[2] == STEM


def parse_places(source: Source) -> tuple[list[Place], list[Problem]]:
    """Read a places file, and everything that is wrong with it."""
    problems: list[Problem] = []
    records = csv_records(source.text, problems)
    line, header = next(records, (1, []))
    if [name.strip() for name in header] != list(COLUMNS):
        return [], [*problems, Problem(line, f"the columns are {', '.join(header)}; expected {', '.join(COLUMNS)}")]
    places: list[Place] = []
    lines: dict[tuple[str, str], int] = {}
    seen = _Seen(source, {}, {"": None, NOWHERE: ()}, set())
    for line, cells in records:
        wrong = None if seen.all_of(cells) else seen.wrong(cells)
        if wrong:
            problems.append(Problem(line, wrong))
            continue
        region, types, where, says = cells
        first = lines.setdefault((region, types), line)
        if first != line:
            problems.append(Problem(line, f"{types} in {region} is already in line {first}; keep one of the two"))
        places.append(Place(seen.clouds[region], region, types, seen.zones[where], says))
    return places, problems


def places_of_region(
    cloud: str,
    region: str,
    offered: Mapping[str, Collection[str]],
    known: Collection[str],
    *,
    source: str,
    zones: Collection[str] = (),
) -> list[Place]:
    """Return the rows of a region of which everything is known: few, as families stand for their types.

    Args:
        cloud: whose region it is.
        region: its name.
        offered: the types that it has, each with its zones by short_zone(); without any where nobody knows which.
        known: every type that the catalog or any region has; a family's row stands for all of them.
        source: who says so, and when.
        zones: the region's zones; those of ``offered`` where they are not given.
    """
    every = tuple(sorted({*zones, *(zone for each in offered.values() for zone in each)}))
    families: dict[str, list[str]] = {}
    for name in {*known, *offered}:
        families.setdefault(known_clouds()[cloud].machine_family(name) or name, []).append(name)
    rows = [Place(cloud, region, WHOLE, every or None, source)]
    for family, names in sorted(families.items()):
        where = {name: _where(offered.get(name), every) for name in names}
        rows += [Place(cloud, region, types, found) for types, found in _rows_of(family, where)]
    return rows


def written(places: Iterable[Place]) -> str:
    """Return the text of the file with these rows, in the order in which they are kept."""
    lines = sorted((each.region, each.types != WHOLE, each.types, _cell(each.zones), each.source) for each in places)
    rows = [(region, types, zones, _quoted(source)) for region, _, types, zones, source in lines]
    return "".join(",".join(row) + "\n" for row in (COLUMNS, *rows))


class _Seen(NamedTuple):
    """The cells of a file that have been checked: most of the 3,000 rows have no new ones."""

    source: Source
    clouds: dict[str, str]  # by region
    zones: dict[str, Zones]
    types: set[str]

    def all_of(self, cells: list[str]) -> bool:
        """Return whether a row has nothing new; the row of a region is looked at each time."""
        return (
            len(cells) == len(COLUMNS) and cells[0] in self.clouds and cells[1] in self.types and cells[2] in self.zones
        )

    def wrong(self, cells: list[str]) -> str | None:
        """Return what is wrong with a row, after tidying its cells; else remember them."""
        if len(cells) != len(COLUMNS):
            return f"has {len(cells)} cells; expected {len(COLUMNS)}, one for each column"
        cells[:] = [cell.strip() for cell in cells]
        region, types, where, says = cells
        if types == WHOLE:
            if not says or where == NOWHERE:
                return "the row of a region needs a source, who listed all that it has, and no - in zones"
        elif not _TYPES.fullmatch(types):
            return f"types is {types or 'empty'}; expected a family, a machine type, or * for the region itself"
        else:
            self.types.add(types)
        if where not in self.zones:
            if not _ZONES.fullmatch(where):
                examples = " or ".join(f"{cloud.zone_example} ({cloud.name})" for cloud in known_clouds().values())
                return f"zones is {where}; expected words such as {examples}, - for none, or nothing"
            self.zones[where] = tuple(where.split())
        return None if region in self.clouds else self._wrong_region(region)

    def _wrong_region(self, region: str) -> str | None:
        cloud = cloud_of_region(region)
        named = next((name for name in known_clouds() if self.source.path.name.startswith(name)), cloud)
        if cloud is not None and cloud == named:
            self.clouds[region] = cloud
            return None
        known = known_clouds()
        meant = [known[named]] if named else list(known.values())
        names, forms = (" or ".join(words) for words in ((c.name for c in meant), (c.region_example for c in meant)))
        return f"region is {region or 'empty'}; expected a region of {names}, such as {forms}"


def _where(zones: Collection[str] | None, every: tuple[str, ...]) -> Zones:
    if zones is None:
        return ()
    found = tuple(sorted(zones))
    return None if not found or found == every else found


def _rows_of(family: str, where: Mapping[str, Zones]) -> list[tuple[str, Zones]]:
    """Return a row for all of a family, and those of the types that it is not true of; none where it has none."""
    counted = Counter(zones for zones in where.values() if zones != ())
    if not counted:
        return []
    most = min(counted.items(), key=lambda each: (-each[1], each[0] or ()))[0]
    return [(family, most), *((name, zones) for name, zones in sorted(where.items()) if zones != most)]


def _cell(zones: Zones) -> str:
    return "" if zones is None else " ".join(zones) or NOWHERE


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if set(cell) & set(',"\n') else cell
