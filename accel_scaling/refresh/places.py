"""Offerings of a refresh: the rows of the places file, and how they differ from what was known."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from accel_scaling.catalog.files import PLACES, read
from accel_scaling.catalog.offerings import parse_places, places_of_region, written

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from accel_scaling.catalog.offerings import OfferingRow, Where
    from accel_scaling.refresh.records import Answer


class Moved(NamedTuple):
    """How a region differs from what was known of it.

    Attributes:
        region: its name.
        more: types that it has now.
        fewer: types that it no longer has.
        zones: types that it has in other zones than before.
        new: nothing was known of the region.
    """

    region: str
    more: tuple[str, ...]
    fewer: tuple[str, ...]
    zones: tuple[str, ...]
    new: bool


def places_file(path: Path) -> Path:
    """Return the places file that belongs to a file of machine types."""
    return path.with_name(f"{path.stem}_{PLACES}.csv")


def places_text(answer: Answer, path: Path, known: Collection[str], month: str) -> str:
    """Return the places file's text: the regions that answered anew, all others as the file has them.

    A region that is as it was keeps its rows, source and all: a refresh that changes nothing changes no byte.

    Args:
        answer: what the API said.
        path: the places file.
        known: every machine type and attached accelerator of the catalog.
        month: when it was asked, for the source.

    Raises:
        CatalogFileError: the file that is there has a mistake.
    """
    before = _by_region(_kept(path))
    every = {*known, *(name for offered in answer.offered.values() for name in offered)}
    for region, offered in answer.offered.items():
        source = f"{answer.source} {month}"
        rows = places_of_region(answer.cloud, region, offered, every, source=source)
        if _unsourced(rows) != _unsourced(before.get(region, ())):
            before[region] = rows
    return written(place for rows in before.values() for place in rows)


def moved(answer: Answer, before: Mapping[str, Where], regions: Collection[str]) -> list[Moved]:
    """Return how each region that answered differs from what was known; regions without a difference are left out.

    Args:
        answer: what the API said.
        before: where each known machine type and attached accelerator was offered.
        regions: those that anything was known of.
    """
    regions_moved = []
    for region, offered in sorted(answer.offered.items()):
        earlier = {name for name, where in before.items() if where.in_region(region)}
        zones = {name: set(before[name].zones(region)) for name in earlier & set(offered)}
        other = sorted(name for name, known in zones.items() if known and known != set(offered[name]))
        more, fewer = sorted(set(offered) - earlier), sorted(earlier - set(offered))
        if more or fewer or other:
            regions_moved.append(Moved(region, tuple(more), tuple(fewer), tuple(other), region not in regions))
    return regions_moved


def gone(answer: Answer, before: Mapping[str, Where]) -> list[str]:
    """Return the types that only regions which answered offered before, and that none offers now.

    A type that a region had which did not answer, or was not asked, is not gone.
    """
    here = {name for offered in answer.offered.values() for name in offered}
    names = []
    for name, where in before.items():
        regions = set(where.regions) if name not in here else set()
        if regions and regions <= set(answer.offered):
            names.append(name)
    return sorted(names)


def _kept(path: Path) -> list[OfferingRow]:
    if not path.exists():
        return []
    source = read(path)
    return source.accept(parse_places(source))


def _by_region(places: Iterable[OfferingRow]) -> dict[str, list[OfferingRow]]:
    regions: dict[str, list[OfferingRow]] = {}
    for place in places:
        regions.setdefault(place.region, []).append(place)
    return regions


def _unsourced(places: Iterable[OfferingRow]) -> list[tuple[str, str]]:
    return sorted((place.types, "" if place.zones is None else " ".join(place.zones) or "-") for place in places)
