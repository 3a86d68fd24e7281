"""Placement groups in node_configs, for ``placement: {NODE_TYPE: cluster}``; `placement_groups` makes and deletes them.

A node type has a group in each zone that it may be launched in: EC2 keeps a cluster placement group in one zone, so one
group alone would tie the node type to the zone of its first machine. A group that the user has made is left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accel_scaling.cluster.networks import PLACEMENT, placements_of
from accel_scaling.errors import ClusterConfigError
from accel_scaling.providers.aws.cloud import CLOUD

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from accel_scaling.cluster.cluster import Cluster

    Config = dict[str, Any]

STRATEGY = "cluster"
BLOCK = "capacity-block"  # a value of MarketType

_PREFIX = "accel-scaling-"


def group_name(cluster_name: str, node_type: str, zone: str) -> str:
    """Return the name of the group of a node type in a zone."""
    return f"{_PREFIX}{cluster_name}-{node_type}-{zone}"


def check(cluster: Cluster) -> None:
    """Refuse a placement that EC2 refuses, and one that the node_config has too.

    Raises:
        ClusterConfigError: names the node type.
    """
    for name in placements_of(cluster.provider, CLOUD):
        node_type = cluster.node_types.get(name)
        if node_type is None:
            continue
        key, at = f"provider.{PLACEMENT}.{name}", f"{node_type.location}.node_config"
        if {"GroupName", "GroupId"} & set(node_type.node_config.get("Placement") or {}):
            raise ClusterConfigError(f"{key} is {STRATEGY} and {at}.Placement names a group: leave one of them out")
        if is_block(node_type.node_config):
            raise ClusterConfigError(
                f"{key} is {STRATEGY}, and EC2 places no machine of a Capacity Block into a placement group: they are "
                "close to each other without one; leave it out"
            )


def is_block(node_config: Mapping[str, Any]) -> bool:
    """Return whether a node_config buys its machine from a Capacity Block."""
    options = node_config.get("InstanceMarketOptions")
    return isinstance(options, dict) and options.get("MarketType") == BLOCK


def with_group(node_config: Config, name: str) -> Config:
    """Return a node_config with a placement group."""
    return {**node_config, "Placement": {**(node_config.get("Placement") or {}), "GroupName": name}}


def in_zone(node_config: Config, zone: str, zones: Iterable[str]) -> Config:
    """Return a node_config with its group of a zone, where the group is ours; without it, from a Capacity Block.

    Args:
        node_config: the node type's, as `ray up` has written it: with the group of one of its zones.
        zone: where it is launched now; empty where that is not known.
        zones: every zone of the node type.
    """
    placement = node_config.get("Placement") or {}
    name = str(placement.get("GroupName") or "")
    if not name.startswith(_PREFIX):
        return node_config
    if is_block(node_config):
        rest = {key: value for key, value in placement.items() if key != "GroupName"}
        return {key: value for key, value in node_config.items() if key != "Placement"} | (
            {"Placement": rest} if rest else {}
        )
    before = next((one for one in zones if one and name.endswith(f"-{one}")), "")
    return with_group(node_config, name.removesuffix(before) + zone) if before and zone else node_config
