"""What ``provider.network`` and ``provider.placement`` need of an account, made at `ray up` after Ray's own steps."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from accel_scaling import _ray
from accel_scaling.cluster.networks import DEVICES, networks_of, placements_of
from accel_scaling.providers.aws import efa_rules, network, placement, placement_groups
from accel_scaling.providers.aws.client import quickly
from accel_scaling.providers.aws.cloud import CLOUD
from accel_scaling.providers.aws.subnet_zones import SubnetZones

if TYPE_CHECKING:
    from accel_scaling.cluster.cluster import Cluster

    Config = dict[str, Any]


def prepared(cluster: Cluster, config: Config) -> tuple[Config, list[str]]:
    """Return the config with network interfaces and placement groups, and notes.

    Args:
        cluster: a cluster file, read.
        config: its config after Ray's steps: each node_config has subnets and security groups.

    Raises:
        ClusterConfigError: a group of the user's own does not let EFA through, or a placement group is another's.
        AWSRefusedError: EC2 refuses.
    """
    config, notes = copy.deepcopy(config), list[str]()
    types, provider = config["available_node_types"], config["provider"]
    client = _ray.ec2_client(provider["region"], quickly(provider.get("aws_credentials")))
    for name in networks_of(provider, CLOUD):
        node_type, node_config = cluster.node_types[name], types[name]["node_config"]
        key = f"{node_type.location}.node_config.SecurityGroupIds"
        efa_rules.let_through(client, config["cluster_name"], key, node_config["SecurityGroupIds"])
        types[name]["node_config"] = network.with_interfaces(
            node_config, network.cards_of(node_type), public=not network.is_private(provider)
        )
    devices = {name: network.devices_of(node_type, provider) for name, node_type in cluster.node_types.items()}
    for name, count in devices.items():
        if count and name not in networks_of(provider, CLOUD):
            at = f"available_node_types.{name}.node_config.{network.INTERFACES}"
            notes += efa_rules.note(client, at, types[name]["node_config"]["SecurityGroupIds"])
    if any(devices.values()):
        # The head's autoscaler tells each machine how many its boot check must find.
        provider[DEVICES] = {name: count for name, count in devices.items() if count}
    _place(client, config)
    return config, notes


def _place(client: Any, config: Config) -> None:
    """Make the placement groups of each zone, and name the first one in the node_config."""
    cluster_name, types = config["cluster_name"], config["available_node_types"]
    zones_of = SubnetZones(client, config["provider"])
    names: list[str] = []
    for name in placements_of(config["provider"], CLOUD):
        node_config = types[name]["node_config"]
        zones = [zone for zone in zones_of.by_zone(node_config["SubnetIds"]) if zone]
        groups = [placement.group_name(cluster_name, name, zone) for zone in zones]
        names += groups
        if groups:
            types[name]["node_config"] = placement.with_group(node_config, groups[0])
    if names:
        placement_groups.make(client, cluster_name, names)
