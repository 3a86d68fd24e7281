"""Rules for offerings files, beyond their form: types are the catalog's, regions are known or noted as new."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

from accel_scaling.catalog.custom_machine_types import custom_rules, is_custom
from accel_scaling.catalog.files import Problem, cloud_of_file, read, shipped
from accel_scaling.catalog.offerings import parse_places
from accel_scaling.catalog.schema import OFFERINGS, WHOLE
from accel_scaling.catalog.suggest import hint
from accel_scaling.catalog.table import cells_of
from accel_scaling.clouds import cloud_of_region, known_clouds
from accel_scaling.errors import CatalogFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from accel_scaling.catalog.files import Source


class MayBeNamed(NamedTuple):
    """What a row of a cloud may name.

    Attributes:
        types: of machines, and of accelerators that are attached.
        more: the types of layers that are read only where a row names another: the user's own, and plug-ins'.
    """

    types: Collection[str]
    more: Callable[[], Collection[str]]


def unknown_types(source: Source, names: Callable[[str], MayBeNamed]) -> Iterator[Problem]:
    """Yield each row whose type, or family, no layer of the catalog has.

    Args:
        source: a places file whose form is right.
        names: what rows of a cloud may name.
    """
    known: dict[str, set[str]] = {}
    complete: set[str] = set()
    for line, region, types in _rows(source):
        cloud = cloud_of_region(region) or ""
        if types == WHOLE or (is_custom(types) and custom_rules(cloud)):
            continue
        if cloud not in known:
            known[cloud] = _with_families(cloud, names(cloud).types)
        if types not in known[cloud] and cloud not in complete:
            known[cloud] |= _with_families(cloud, names(cloud).more())
            complete.add(cloud)
        if types not in known[cloud]:
            text = f"types is {types}, which no catalog file has as a machine type or a family of {cloud}"
            expected = "correct it, or give the file with its row, too"
            yield Problem(line, f"{text}{hint(types, known[cloud])}; {expected}", "types")


def new_regions(source: Source) -> Iterator[Problem]:
    """Yield the first row of each region that neither what ships nor this file lists: new, or misspelt."""
    rows = [(line, region, types) for line, region, types in _rows(source)]
    noted = {region for _, region, types in rows if types == WHOLE}
    for line, region, _ in rows:
        known = _listed(cloud_of_region(region) or "") if region not in noted else ()
        if region not in noted and region not in known:
            noted.add(region)
            near = hint(region, known)
            yield Problem(
                line, f"region {region} is in no places file that ships{near}; right where it is new", "region"
            )


def names_in(path: Path, cloud: str) -> set[str]:
    """Return the machine types of a cloud that a CSV file has, whatever else may be wrong with it."""
    try:
        rows = cells_of(read(path))
    except CatalogFileError:
        return set()
    whose = cloud_of_file(path.name)
    named = ((row.get("instance_type"), row.get("cloud") or whose) for _, row in rows)
    return {name for name, of in named if name and of == cloud}


def _rows(source: Source) -> Iterator[tuple[int, str, str]]:
    return ((line, row["region"], row["types"]) for line, row in cells_of(source))


def _with_families(cloud: str, names: Collection[str]) -> set[str]:
    families = {family for name in names if (family := known_clouds()[cloud].machine_family(name))}
    return {*names, *families}


@functools.cache
def _listed(cloud: str) -> set[str]:
    """Return the regions of a cloud of which the shipped file lists all that they have."""
    source = shipped(OFFERINGS, cloud) if cloud in known_clouds() else None
    places = parse_places(source)[0] if source else ()
    return {place.region for place in places if place.types == WHOLE}
