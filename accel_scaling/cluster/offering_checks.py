"""Checks that a cluster's region and zones have its machine types, as far as the places files know. No network.

The cloud itself knows better: what they say may be old. So the error says how to add what is new. What ships refuses
nothing where it is no answer of the cloud's own API (`Cloud.lists_places`): a note says it, and `ray up` asks.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling import documentation
from accel_scaling.catalog.files import REFRESH_FOLDER
from accel_scaling.catalog.model import UnlistedKind
from accel_scaling.catalog.suggest import hint
from accel_scaling.catalog.unlisted import unlisted
from accel_scaling.errors import ClusterConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from accel_scaling.catalog.model import MachineType
    from accel_scaling.catalog.offerings import Where
    from accel_scaling.clouds import Cloud
    from accel_scaling.cluster.cluster import Cluster

_NAMED = 3  # regions that an error names


def unknown_region(cloud: Cloud, region: str, known: Sequence[str]) -> str | None:
    """Return the note about a region of which no places file says anything: a new one, or a misspelt one.

    Args:
        cloud: whose region it is.
        region: the cluster's.
        known: every region that a row names; nothing is reported where there are none.
    """
    if not known or region in known:
        return None
    if region in unlisted(cloud.name, UnlistedKind.REGION):
        return f"provider.region: what {region} offers is not in the places files; `ray up` asks {cloud.compute}"
    return (
        f"provider.region: {region} is a region that no places file lists{hint(region, known)}; if it is new, add it "
        f"to ~/.accel_scaling/{cloud.name}_places.csv"
    )


def offering_notes(cluster: Cluster) -> Iterator[str]:
    """Yield a note for each machine that nobody is known to offer, or not where the cluster is to run.

    What `check_offered` refuses is not reported here. TPU slices belong to Cloud TPU, which has its own zones: no file
    lists them, and `ray up` asks.
    """
    for node_type in cluster.node_types.values():
        if node_type.machine.slice is None:
            name = node_type.machine.name
            for text in _notes(node_type.machine.machine, cluster):
                yield f"{node_type.location} ({name}): {text}"


def _notes(machine: MachineType, cluster: Cluster) -> Iterator[str]:
    cloud, region = cluster.cloud, cluster.placement.region
    ask = f"; `ray up` asks {cloud.compute}"
    # Attached ones have the cloud's own names, and no places file lists them.
    retired = unlisted(cloud.name, UnlistedKind.ACCELERATOR)
    names = machine.chip.api_names.get(cloud.name, ()) if machine.chip else ()
    own = cluster.catalog.layers(cloud.name, machine.name)
    attached = not own or own[0].chip != machine.chip
    for name in names if attached else ():
        if name in retired:
            yield f"no region is known to have {name} any more ({retired[name].source}){ask}"
    if why := cluster.catalog.nowhere(machine):
        yield f"no region is known to have it{why}{ask}"
        return
    offerings = cluster.catalog.where(machine)
    if region is None or not offerings.regions:
        return
    if offerings.in_region(region) is False:
        yield f"{_says(offerings, region)}; {nearest(offerings, region)}`ray up` asks {cloud.compute}"
        return
    zones = cluster.placement.zones
    if zones and all(offerings.in_zone(region, cloud.short_zone(region, zone)) is False for zone in zones):
        has = ", ".join(f"{region}-{zone}" for zone in offerings.zones(region))
        yield f"{', '.join(zones)} is not known to have it, according to {_by(offerings, region)}; {has} is{ask}"


def is_answer(offerings: Where, cloud: Cloud, region: str) -> bool:
    """Return whether what is known of a region may refuse a machine: the cloud's API said so, or the user."""
    if cloud.lists_places:
        return True
    row = offerings.rows.get(region) or offerings.listed.get(region)
    return row is not None and row.layer != f"{cloud.name}_places.csv"


def _says(offerings: Where, region: str) -> str:
    return f"{region} is not known to have it, according to {_by(offerings, region)}"


def _by(offerings: Where, region: str) -> str:
    """Return the file that says it, and its source."""
    row = offerings.rows.get(region) or offerings.listed[region]
    listed = offerings.listed.get(region)
    by = row.source or (listed.source if listed and listed.layer == row.layer else "")
    return f"{row.layer}{f', from {by}' if by else ''}"


def check_region(key: str, name: str, offerings: Where, cloud: str, region: str) -> None:
    """Refuse a machine type that other regions have, and the cluster's has not.

    Args:
        key: the place in the cluster file that names it, for the error.
        name: the machine type, or an accelerator that is attached.
        offerings: what is known of it.
        cloud: whose it is.
        region: the cluster's.

    Raises:
        ClusterConfigError: names the nearest regions that have it, and the row to add where it is new.
    """
    # None is "not known": a table refuses nothing that it was not asked to list.
    if offerings.in_region(region) is not False:
        return
    row = offerings.rows.get(region) or offerings.listed[region]
    # Rows of our own files and of a refresh are corrected in the user's own file; a row of that file, in it.
    ours = row.layer == f"{cloud}_places.csv" or REFRESH_FOLDER in Path(row.layer).parts
    remedy = (
        f"if it is new, add a row `{region},{name},,` to ~/.accel_scaling/{cloud}_places.csv"
        if ours
        else f"if that is wrong, write `{region},{name},,` in that file"
    )
    raise ClusterConfigError(
        f"{key}: {region} does not have {name}, according to {_by(offerings, region)}; "
        f"{nearest(offerings, region)}{remedy} ({documentation.page('catalogs', 'regions')})"
    )


def check_offered_in_zones(key: str, name: str, offerings: Where, region: str, zones: Sequence[str]) -> None:
    """Refuse a machine type that none of the cluster's zones has, while others of the region do.

    Only Google's: a name such as us-east-1a is another zone of EC2 in each account.

    Raises:
        ClusterConfigError: names the region's zones that have it.
    """
    # One zone that has it is enough: a launch continues to it.
    if any(offerings.in_zone(region, zone.removeprefix(f"{region}-")) is not False for zone in zones):
        return
    has = ", ".join(f"{region}-{zone}" for zone in offerings.zones(region))
    raise ClusterConfigError(
        f"{key}: {', '.join(zones)} (provider.availability_zone) has no {name}, according to "
        f"{offerings.rows[region].layer}; "
        f"in this region it is in {has}"
    )


def nearest(offerings: Where, region: str) -> str:
    """Return the words that name the nearest regions which have a type, with a semicolon; empty where none is known."""
    regions = [name for name in offerings.nearest(region) if name != region]
    more = f" and {len(regions) - _NAMED} more" if len(regions) > _NAMED else ""
    return f"the nearest regions that do: {', '.join(regions[:_NAMED])}{more}; " if regions else ""
