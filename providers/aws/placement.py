"""Placement groups in node_configs, for ``placement: {NODE_TYPE: cluster}``; `placement_groups` makes and deletes them.

A node type has a group in each zone that it may be launched in: EC2 keeps a cluster placement group in one zone, so one
group alone would tie the node type to the zone of its first machine. A group that the user has made stays as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accel_scaling.cluster.capacity import CapacityType, capacity_orders
from accel_scaling.cluster.networks import PLACEMENT, placements_of
from accel_scaling.errors import ClusterConfigError
from accel_scaling.providers.aws.capacity import OUR_GROUPS, capacity_type_of
from accel_scaling.providers.aws.cloud import CLOUD

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from accel_scaling.cluster.cluster import Cluster

    Config = dict[str, Any]

STRATEGY = "cluster"


def group_name(cluster_name: str, node_type: str, zone: str) -> str:
    """Return the name of the group of a node type in a zone."""
    # Of a list's other machine, `h200 (p5en.48xlarge)`: the name has no brackets in EC2's console.
    plain = node_type.replace(" (", "-").rstrip(")")
    return f"{OUR_GROUPS}{cluster_name}-{plain}-{zone}"


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
        order = capacity_orders(cluster.provider).get(name) or ()
        only_blocks = order and all(entry.type is CapacityType.BLOCK for entry in order)
        if only_blocks or is_block(node_type.node_config):
            raise ClusterConfigError(
                f"{key} is {STRATEGY}, and EC2 places no machine of a Capacity Block into a placement group: they are "
                "close to each other without one; leave it out"
            )


def is_block(node_config: Mapping[str, Any]) -> bool:
    """Return whether a node_config buys its machine from a Capacity Block."""
    return capacity_type_of(dict(node_config)) is CapacityType.BLOCK


def our_group(node_config: Mapping[str, Any]) -> str:
    """Return the placement group of a node_config that `ray up` has made; empty where it has none, or the user's."""
    placement = node_config.get("Placement")
    name = str(placement.get("GroupName") or "") if isinstance(placement, dict) else ""
    return name if name.startswith(OUR_GROUPS) else ""


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
    name = our_group(node_config)
    if not name:
        return node_config
    if is_block(node_config):
        return without_ours(node_config)
    before = next((one for one in zones if one and name.endswith(f"-{one}")), "")
    return with_group(node_config, name.removesuffix(before) + zone) if before and zone else node_config


def without_ours(node_config: Config) -> Config:
    """Return a node_config without a placement group that `ray up` has made; with the user's, as it is."""
    if not our_group(node_config):
        return node_config
    rest = {key: value for key, value in node_config["Placement"].items() if key != "GroupName"}
    without = {key: value for key, value in node_config.items() if key != "Placement"}
    return {**without, "Placement": rest} if rest else without
