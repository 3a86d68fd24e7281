"""Checks that a cluster's region and zones have its machine types, as far as the places files know. No network.

The cloud itself knows better: what they say may be old. So the error says how to add what is new.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.catalog.files import REFRESH_FOLDER
from accel_scaling.catalog.suggest import hint
from accel_scaling.errors import ClusterConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from accel_scaling.catalog.offerings import Where

_NAMED = 3  # regions that an error names


def unknown_region(cloud: str, region: str, known: Sequence[str]) -> str | None:
    """Return the note about a region that no places file has: a new one, or a misspelt one; None for a known one.

    Args:
        cloud: whose region it is.
        region: the cluster's.
        known: every region that a row names; nothing is said where there are none.
    """
    if not known or region in known:
        return None
    return (
        f"provider.region: {region} is a region that no places file has{hint(region, known)}; where it is new, "
        f"~/.accel_scaling/{cloud}_places.csv can have it"
    )


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
    listed = offerings.listed.get(region)
    by = row.source or (listed.source if listed and listed.layer == row.layer else "")
    # Rows of our own files and of a refresh are mended in the user's own file; a row of that file, in it.
    ours = row.layer == f"{cloud}_places.csv" or REFRESH_FOLDER in Path(row.layer).parts
    mend = (
        f"where it is new, add a row `{region},{name},,` to ~/.accel_scaling/{cloud}_places.csv"
        if ours
        else f"where that is not so, write `{region},{name},,` in that file"
    )
    raise ClusterConfigError(
        f"{key}: {region} does not have {name}, says {row.layer}{f', from {by}' if by else ''}; "
        f"{nearest(offerings, region)}{mend} (docs/catalogs.md, Regions)"
    )


def check_offered_in_zones(key: str, name: str, offerings: Where, region: str, zones: Sequence[str]) -> None:
    """Refuse a machine type that none of the cluster's zones has, while others of the region do.

    Only Google's: a name such as us-east-1a is another zone of EC2 in each account.

    Raises:
        ClusterConfigError: names the region's zones that have it.
    """
    # One zone that has it is enough: a launch goes on to it.
    if any(offerings.in_zone(region, zone.removeprefix(f"{region}-")) is not False for zone in zones):
        return
    has = ", ".join(f"{region}-{zone}" for zone in offerings.zones(region))
    raise ClusterConfigError(
        f"{key}: {', '.join(zones)} (provider.availability_zone) has no {name}, says {offerings.rows[region].layer}; "
        f"in this region it is in {has}"
    )


def nearest(offerings: Where, region: str) -> str:
    """Return the words that name the nearest regions which have a type, with a semicolon; empty where none is known."""
    regions = [name for name in offerings.nearest(region) if name != region]
    more = f" and {len(regions) - _NAMED} more" if len(regions) > _NAMED else ""
    return f"the nearest regions that do: {', '.join(regions[:_NAMED])}{more}; " if regions else ""
