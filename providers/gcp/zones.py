"""The zones of a cluster on Google Cloud, in the order to try them, and their region."""

from __future__ import annotations

import re
from typing import Any

from accel_scaling.errors import ClusterConfigError
from accel_scaling.message_text import shown

# us-central1-a, northamerica-northeast1-b, us-central1-ai1a (an AI zone); the region is all but the last word.
_ZONE = re.compile(r"[a-z]+(?:-[a-z]+)+[0-9]+-[a-z0-9]+")


def zones_of(provider: dict[str, Any]) -> tuple[str, ...]:
    """Return the zones to launch in, in the order to try them.

    Args:
        provider: the cluster file's ``provider``; ``availability_zone`` is ``a``, ``a,b,c`` or a list, each a full
            zone name.

    Raises:
        ClusterConfigError: there is none, one is no zone's full name, or they are of several regions.
    """
    given = provider.get("availability_zone")
    listed = given.split(",") if isinstance(given, str) else given
    if not isinstance(listed, list) or not all(isinstance(zone, str) for zone in listed):
        raise ClusterConfigError(
            f"provider.availability_zone is {'missing' if given is None else repr(given)}; name a zone there, such as "
            "us-central1-a, or several to try in turn, such as us-central1-a,us-central1-b"
        )
    zones = tuple(dict.fromkeys(zone.strip() for zone in listed if zone.strip()))
    if not zones:
        raise ClusterConfigError("provider.availability_zone is empty; name a zone there, such as us-central1-a")
    for zone in zones:
        if not _ZONE.fullmatch(zone):
            raise ClusterConfigError(
                f"provider.availability_zone names {shown(zone)}, which is not a zone; write each in full: "
                f"us-central1-a"
            )
    regions = dict.fromkeys(zone.rpartition("-")[0] for zone in zones)
    if len(regions) > 1:
        raise ClusterConfigError(
            f"provider.availability_zone names zones of {' and '.join(regions)}; a cluster runs in one region"
        )
    return zones


def region_of(config: dict[str, Any]) -> str:
    """Return the cluster's region: that of its zones.

    Raises:
        ClusterConfigError: the zones are missing or wrong, or ``provider.region`` is another.
    """
    provider = config.get("provider") or {}
    return region_in(provider, zones_of(provider))


def region_in(provider: dict[str, Any], zones: tuple[str, ...]) -> str:
    """Return the region of a cluster's zones.

    Raises:
        ClusterConfigError: ``provider.region`` is another.
    """
    region = zones[0].rpartition("-")[0]
    given = provider.get("region")
    if given is not None and given != region:
        raise ClusterConfigError(
            f"provider.region is {shown(given)}, and provider.availability_zone {','.join(zones)} is in {region}; "
            "make them agree"
        )
    return region
