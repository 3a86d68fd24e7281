"""Where the cluster of a starter file runs: as asked, else where such accelerators usually are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from accel_scaling.clouds import cloud_of_region
from accel_scaling.errors import ClusterConfigError, StarterError
from accel_scaling.init.tables import USUAL_PLACES, rows_of
from accel_scaling.providers.aws import node_config as aws_node_config
from accel_scaling.providers.gcp import node_config as gcp_node_config

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from accel_scaling.catalog.load import Catalog
    from accel_scaling.catalog.model import Chip, MachineType
    from accel_scaling.init.request import Wanted

NAMED = 3  # regions that an error names


@dataclass(frozen=True)
class Place:
    """A region with zones in it.

    Attributes:
        region: its name.
        zones: in the order to try them; none on AWS for all of the region's.
        head: the machine type of the head there.
        given: the user said so.
        instead_of: the usual region, where that does not have the machines and this one is the nearest that does.
    """

    region: str
    zones: tuple[str, ...]
    head: str
    given: bool
    instead_of: str = ""


def with_all(where: Place, cloud: str, machines: Sequence[MachineType], catalog: Catalog) -> Place:
    """Return the place, or, where it is only the usual one, the region nearest to it that has every machine.

    Args:
        where: the usual place, or the one that was asked for.
        cloud: whose machines they are.
        machines: the workers' machine types, as the catalog has them.
        catalog: with what it knows of regions.

    Raises:
        StarterError: the region does not have them all, and the user has to choose another.
    """
    offered = {machine.name: catalog.where(machine) for machine in machines}
    missing = [name for name, each in offered.items() if each.in_region(where.region) is False]
    if not missing:
        return where
    near = [
        region
        for region in offered[missing[0]].nearest(where.region)
        if all(each.in_region(region) is not False for each in offered.values())
    ]
    if near and cloud == aws_node_config.CLOUD and not where.given:
        return replace(where, region=near[0], instead_of=where.region)
    option = "--region" if cloud == aws_node_config.CLOUD else "--zones"
    there = f"the nearest regions that have all: {', '.join(near[:NAMED])}" if near else "no region has all of them"
    raise StarterError(f"{where.region} does not have {' and '.join(missing)}; {there}; choose with {option}")


def place(wanted: Wanted, chips: Iterable[Chip]) -> Place:
    """Return where the cluster runs.

    Args:
        wanted: with the region and the zones that were asked for, if any.
        chips: the workers' accelerators.

    Raises:
        StarterError: region and zones that are none or contradict each other, or accelerators that are usually in
            different regions.
    """
    if not wanted.zones and wanted.region is None:
        return _usual(wanted.cloud, chips)
    region = _region_on_aws(wanted) if wanted.cloud == aws_node_config.CLOUD else _region_on_gcp(wanted)
    known = [row for row in rows_of(USUAL_PLACES) if row["cloud"] == wanted.cloud]
    head = next((row for row in known if row["region"] == region), known[0])["head"]
    return Place(region, wanted.zones, head, given=True)


def _usual(cloud: str, chips: Iterable[Chip]) -> Place:
    rows = {row["accelerator"]: row for row in rows_of(USUAL_PLACES) if row["cloud"] == cloud}
    found = {chip.name: rows.get(chip.name, rows[""]) for chip in chips}
    if len({row["region"] for row in found.values()}) > 1:
        where = " and ".join(f"{name} in {' '.join(row['zones']) or row['region']}" for name, row in found.items())
        raise StarterError(f"a cluster runs in one region, and you would usually find {where}; choose with --zones")
    row = next(iter(found.values()), rows[""])
    return Place(row["region"], row["zones"], row["head"], given=False)


def _region_on_aws(wanted: Wanted) -> str:
    if not wanted.zones:
        return _region_alone(wanted.region)
    regions = []
    for zone in wanted.zones:
        match = aws_node_config.ZONE.fullmatch(zone)
        if match is None:
            raise StarterError(f"--zones: {zone!r} is no zone; write each in full, such as us-west-2a")
        regions.append(match[1])
    return _one_region(wanted, regions)


def _region_on_gcp(wanted: Wanted) -> str:
    if not wanted.zones:
        raise StarterError(
            f"--region {wanted.region} alone does not say where machines run on Google Cloud; name zones of it with "
            f"--zones, such as {wanted.region}-b"
        )
    try:
        zones = gcp_node_config.zones_of({"availability_zone": list(wanted.zones)})
    except ClusterConfigError as error:
        raise StarterError(f"--zones: {error}") from None
    return _one_region(wanted, [zone.rpartition("-")[0] for zone in zones])


def _one_region(wanted: Wanted, regions: list[str]) -> str:
    different = dict.fromkeys([*([wanted.region] if wanted.region else []), *regions])
    if len(different) > 1:
        raise StarterError(f"--region and --zones name {' and '.join(different)}; a cluster runs in one region")
    return regions[0]


def _region_alone(name: str | None) -> str:
    try:
        region = aws_node_config.region_of({"provider": {"region": name}})
    except ClusterConfigError as error:
        raise StarterError(f"--region: {error}") from None
    if cloud_of_region(region) != aws_node_config.CLOUD:
        raise StarterError(f"--region: {region!r} is no region of AWS; write one such as us-west-2")
    return region
