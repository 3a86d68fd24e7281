"""What ``provider.network`` and ``provider.placement`` need of a project, asked or made at `ray up`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accel_scaling.catalog.suggest import hint
from accel_scaling.cluster.networks import DEVICES, NETWORK, networks_of, placements_of
from accel_scaling.errors import ClusterConfigError
from accel_scaling.message_text import listed, shown
from accel_scaling.providers.gcp import network, placement, placement_policies
from accel_scaling.providers.gcp.cloud import CLOUD
from accel_scaling.providers.gcp.node_config import zones_of

if TYPE_CHECKING:
    from accel_scaling.cluster.cluster import Cluster

    Config = dict[str, Any]


def check_subnetworks(compute: Any, provider: Config) -> None:
    """Refuse subnetworks of the cluster's project that its region does not have.

    Raises:
        ClusterConfigError: names the first one.
        HttpError: Google refuses.
    """
    networks = networks_of(provider, CLOUD)
    if not networks:
        return
    place = {"project": provider["project_id"], "region": provider["region"]}
    there: set[str] = set()
    call = compute.subnetworks().list(**place)
    while call is not None:
        answer = call.execute()
        there |= {one["name"] for one in answer.get("items") or ()}
        call = compute.subnetworks().list_next(call, answer)
    for name, wanted in networks.items():
        for subnetwork in wanted.names:
            # A path may be another project's: a Shared VPC.
            if "/" not in subnetwork and subnetwork not in there:
                has = hint(subnetwork, there) or (f": it has {listed(sorted(there)[:10])}" if there else "")
                raise ClusterConfigError(
                    f"provider.{NETWORK}.{name}.{wanted.word} names {shown(subnetwork)}, and {provider['region']} has "
                    f"no such subnetwork in project {provider['project_id']}{has}"
                )


def add(config: Config, cluster: Cluster) -> None:
    """Write network interfaces and placement policies into the node_configs, and what the head must know.

    Args:
        config: the config, changed in place; with region and zones.
        cluster: the same, read.
    """
    provider, types = config["provider"], config["available_node_types"]
    for name, wanted in networks_of(provider, CLOUD).items():
        cards = network.cards_of(cluster.node_types[name], wanted)
        types[name]["node_config"] = network.with_interfaces(types[name]["node_config"], cards, wanted, provider)
    zone = zones_of(provider)[0]
    for name in placements_of(provider, CLOUD):
        policy = placement.policy_name(config["cluster_name"], name, zone)
        types[name]["node_config"] = placement.with_policy(types[name]["node_config"], provider, policy)
    devices = {name: network.devices_of(node_type, provider) for name, node_type in cluster.node_types.items()}
    if any(devices.values()):
        # The head's autoscaler tells each machine how many its boot check must find.
        provider[DEVICES] = {name: count for name, count in devices.items() if count}


def make_policies(compute: Any, config: Config) -> None:
    """Make the placement policies of a cluster.

    Raises:
        ClusterConfigError: one of that name is another's.
        HttpError, OperationFailedError: Google refuses.
    """
    provider, cluster_name = config["provider"], config["cluster_name"]
    names = placement.policy_names(provider, cluster_name, zones_of(provider))
    placement_policies.make(compute, provider, cluster_name, names)
