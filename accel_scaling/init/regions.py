"""The region of the cluster that `accel-scaling init` writes: as asked, else where such accelerators usually are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from accel_scaling.cluster.offering_checks import is_answer
from accel_scaling.errors import InitError
from accel_scaling.init.model import Place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from accel_scaling.catalog.load import Catalog
    from accel_scaling.catalog.model import MachineType
    from accel_scaling.catalog.table import RowValues
    from accel_scaling.init.model import Choice, FileRequest
    from accel_scaling.init.template import ClusterTemplate

NAMED = 3  # regions that an error names


def with_all(place: Place, template: ClusterTemplate, machines: Sequence[MachineType], catalog: Catalog) -> Place:
    """Return the place, or, where it is only the usual one, the region nearest to it that has every machine.

    Args:
        place: the usual place, or the one that was asked for.
        template: of the cloud's files.
        machines: the workers' machine types, as the catalog has them.
        catalog: with what it knows of regions.

    Raises:
        InitError: the region does not have them all, and the user has to choose another.
    """
    offered = {machine.name: catalog.where(machine) for machine in machines}
    # False is "listed, and not there"; None is "not known", and nothing is refused for that. Nor is a place that the
    # user named, where the list is no answer of the cloud's own: the fill says so in a note.
    missing = [
        name
        for name, offerings in offered.items()
        if offerings.in_region(place.region) is False
        and (not place.given or is_answer(offerings, template.cloud, place.region))
    ]
    if not missing:
        return place
    near = [
        region
        for region in offered[missing[0]].nearest(place.region)
        if all(offerings.in_region(region) is not False for offerings in offered.values())
    ]
    # A place that the user named is never changed; and zones of another region would be a guess.
    if near and template.moves_to_near_region and not place.given:
        return replace(place, region=near[0], instead_of=place.region)
    there = f"the nearest regions that have all: {', '.join(near[:NAMED])}" if near else "no region has all of them"
    raise InitError(
        f"{place.region} does not have {' and '.join(missing)}; {there}; choose with {template.place_option}"
    )


def requested_place(request: FileRequest, template: ClusterTemplate) -> Place | None:
    """Return the region and zones that were asked for; None where none were.

    Raises:
        InitError: region and zones that are none, or contradict each other.
    """
    if not request.zones and request.region is None:
        return None
    region, rows = template.region_of(request), template.usual_regions()
    # A region without a row of its own has the head of the first row.
    head = next((row for row in rows if row["region"] == region), rows[0])["head"]
    return Place(region, request.zones, head, given=True)


def usual_place(template: ClusterTemplate, choices: Sequence[Choice], catalog: Catalog) -> Place:
    """Return where such accelerators usually are.

    Args:
        template: of the cloud's files.
        choices: the workers' machines.
        catalog: with what it knows of regions.

    Raises:
        InitError: they are usually in different regions.
    """
    rows = {row["accelerator"]: row for row in template.usual_regions()}
    by_chip = {choice.chip.name: rows.get(choice.chip.name, rows[""]) for choice in choices if choice.chip}
    if len({row["region"] for row in by_chip.values()}) > 1:
        places = " and ".join(f"{name} in {' '.join(row['zones']) or row['region']}" for name, row in by_chip.items())
        both = next((row for row in by_chip.values() if _has_all(row, template, choices, catalog)), None)
        advice = f"choose with {template.place_option}"
        if both:
            advice = (
                f"{both['region']} has all of them: {template.place_option} {' '.join(both['zones']) or both['region']}"
            )
        raise InitError(f"a cluster runs in one region, and you would usually find {places}; {advice}")
    row = next(iter(by_chip.values()), rows[""])
    return Place(row["region"], row["zones"], row["head"], given=False)


def _has_all(row: RowValues, template: ClusterTemplate, choices: Sequence[Choice], catalog: Catalog) -> bool:
    """Return whether a usual region has each machine, as far as is known; a slice is in its own usual place only."""
    region = row["region"]
    zones = [template.cloud.short_zone(region, zone) for zone in row["zones"]]
    for choice in choices:
        if choice.chip and choice.chip.name == row["accelerator"]:
            continue
        where = catalog.where(choice.machine)
        if choice.slice or not where.in_region(region) or any(where.in_zone(region, zone) is False for zone in zones):
            return False
    return True
