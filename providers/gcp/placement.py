"""Compact placement policies in node_configs, for ``placement: {NODE_TYPE: compact}``.

`placement_policies` makes them at `ray up`, and deletes them in `ray down`. A node type has a policy for each zone that
it may be launched in, as its machines are close to each other in one zone only. A policy of the user's stays as it is.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

from accel_scaling.cluster.networks import PLACEMENT, placements_of
from accel_scaling.errors import ClusterConfigError
from accel_scaling.providers.gcp.cloud import CLOUD

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from accel_scaling.cluster.cluster import Cluster

COMPACT, POLICIES = "compact", "resourcePolicies"

_MAX_NAME = 63  # by the pattern of ResourcePolicy.name in Google's document
_PREFIX = "accel-"


def policy_name(cluster_name: str, node_type: str, zone: str) -> str:
    """Return the name of the policy of a node type in a zone: readable, and of its own whatever was cut off."""
    text = f"{cluster_name}-{node_type}"
    ending = f"-{hashlib.sha256(text.encode()).hexdigest()[:6]}-{zone}"
    begin = re.sub(r"[^a-z0-9-]+", "-", f"{_PREFIX}{text}".lower())[: _MAX_NAME - len(ending)].rstrip("-")
    return begin + ending


def policy_names(provider: Mapping[str, Any], cluster_name: str, zones: Iterable[str]) -> list[str]:
    """Return the names of all policies of a cluster."""
    zones = list(zones)
    return [policy_name(cluster_name, name, zone) for name in placements_of(provider, CLOUD) for zone in zones]


def with_policy(node_config: dict[str, Any], provider: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a node_config with a placement policy."""
    path = f"projects/{provider['project_id']}/regions/{provider['region']}/{POLICIES}/{name}"
    return {**node_config, POLICIES: [path]}


def in_zone(body: dict[str, Any], zone: str) -> dict[str, Any]:
    """Return the body of a machine with the policy of a zone, where the policy is ours."""
    if not body.get(POLICIES):
        return body
    return {**body, POLICIES: [_of_zone(path, zone) for path in body[POLICIES]]}


def in_reservation(body: dict[str, Any], policies: Sequence[str]) -> dict[str, Any]:
    """Return the body of a machine for a reservation that takes no policy but its own, or none; the user's stays.

    Args:
        body: of the machine.
        policies: of the reservation.
    """
    given = body.get(POLICIES) or []
    if policies and (not given or all(map(_is_ours, given))):
        return {**body, POLICIES: list(policies)}
    rest = [path for path in given if not _is_ours(path)]
    without = {key: value for key, value in body.items() if key != POLICIES}
    return {**without, POLICIES: rest} if rest else without


def _is_ours(path: str) -> bool:
    return re.fullmatch(rf"{_PREFIX}.*-[0-9a-f]{{6}}-[a-z0-9-]+", path.rpartition("/")[2]) is not None


def _of_zone(path: str, zone: str) -> str:
    begin, slash, name = path.rpartition("/")
    region = re.escape(zone.rpartition("-")[0])
    ours = re.fullmatch(rf"({_PREFIX}.*-[0-9a-f]{{6}}-){region}-[a-z0-9]+", name)
    return f"{begin}{slash}{ours[1]}{zone}" if ours else path


def check(cluster: Cluster) -> None:
    """Refuse a placement that a slice cannot have, and one that the node_config has too.

    Raises:
        ClusterConfigError: names the node type.
    """
    for name in placements_of(cluster.provider, CLOUD):
        node_type = cluster.node_types.get(name)
        if node_type is None:
            continue
        key = f"provider.{PLACEMENT}.{name}"
        if node_type.machine.slice is not None:
            raise ClusterConfigError(
                f"{key} is {COMPACT}, and {node_type.location} is a TPU slice, whose hosts are close to each other; "
                "leave it out"
            )
        if node_type.node_config.get(POLICIES):
            raise ClusterConfigError(
                f"{key} is {COMPACT} and {node_type.location}.node_config has {POLICIES}: leave one of them out"
            )
