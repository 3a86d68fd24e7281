"""Where the types of a refresh are to be had: the rows of the places file, and how they differ from what was known."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from accel_scaling.catalog.files import read
from accel_scaling.catalog.places import STEM, parse_places, places_of_region, written

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from accel_scaling.catalog.offered import Offered
    from accel_scaling.catalog.places import Place
    from accel_scaling.refresh.told import Answer


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
    return path.with_name(f"{path.stem}_{STEM}.csv")


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


def moved(answer: Answer, before: Offered, known: Iterable[str]) -> list[Moved]:
    """Return how each region that answered differs from what was known; regions without a difference are left out."""
    names = sorted({*known, *(name for offered in answer.offered.values() for name in offered)})
    had = {name: before.where(name) for name in names}
    found = []
    for region, offered in sorted(answer.offered.items()):
        earlier = {name for name in names if had[name].in_region(region)}
        more = tuple(name for name in names if name in offered and name not in earlier)
        fewer = tuple(name for name in names if name in earlier and name not in offered)
        zones = tuple(
            name
            for name in names
            if name in earlier
            and name in offered
            and set(had[name].zones(region) or offered[name]) != set(offered[name])
        )
        if more or fewer or zones:
            found.append(Moved(region, more, fewer, zones, region not in before.regions))
    return found


def gone(answer: Answer, before: Offered, known: Iterable[str]) -> list[str]:
    """Return the types that were to be had in a region that answered, and now are in none.

    A type that a region had which did not answer, or was not asked, is not gone.
    """
    here = {name for offered in answer.offered.values() for name in offered}
    found = []
    for name in known:
        regions = set(before.where(name).regions) if name not in here else set()
        if regions and regions <= set(answer.offered):
            found.append(name)
    return sorted(found)


def _kept(path: Path) -> list[Place]:
    if not path.exists():
        return []
    source = read(path)
    return source.accept(parse_places(source))


def _by_region(places: Iterable[Place]) -> dict[str, list[Place]]:
    regions: dict[str, list[Place]] = {}
    for place in places:
        regions.setdefault(place.region, []).append(place)
    return regions


def _unsourced(places: Iterable[Place]) -> list[tuple[str, str]]:
    return sorted((place.types, "" if place.zones is None else " ".join(place.zones) or "-") for place in places)
