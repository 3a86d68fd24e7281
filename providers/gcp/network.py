"""The network interfaces of a machine: those that ``network: {h200: {rdma: [...]}}`` writes, and the file's own.

GPUDirect-TCPX and TCPXO (A3 High, A3 Mega) use one gVNIC more for each pair of GPUs, or for each; GPUDirect RDMA (A3
Ultra, A4, A4X) uses an interface of the type MRDMA for each. Each interface is in a subnetwork of its own, which the
user makes: `gcp_networks.csv` has how many, and of which type, in which order.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from accel_scaling.catalog.networks import network_cards
from accel_scaling.cluster.networks import NETWORK, Network, networks_of
from accel_scaling.errors import ClusterConfigError
from accel_scaling.message_text import listed
from accel_scaling.providers.gcp.cloud import CLOUD
from accel_scaling.providers.gcp.tpu_node_config import is_tpu

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from accel_scaling.catalog.networks import NetworkCards
    from accel_scaling.cluster.cluster import Cluster, NodeType

INTERFACES = "networkInterfaces"
RDMA = "rdma"

# Types of interfaces that are RDMA devices of the kernel; the table has them in lower case.
_RDMA_TYPES = ("MRDMA", "IRDMA")
_PUBLIC = [{"name": "External NAT", "type": "ONE_TO_ONE_NAT"}]  # as Ray writes it


def with_interfaces(
    node_config: dict[str, Any], cards: NetworkCards, network: Network, provider: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a node_config with an interface in each of the subnetworks of its network.

    Args:
        node_config: the node type's.
        cards: those of its machine type.
        network: as many subnetworks as there are cards.
        provider: the provider section, with project and region.
    """
    region = f"projects/{provider['project_id']}/regions/{provider['region']}"
    interfaces: list[dict[str, Any]] = []
    for card, name in zip(cards.cards, network.names, strict=True):
        path = name if "/" in name else f"{region}/subnetworks/{name}"
        interfaces.append({"subnetwork": path, "nicType": card.kind.upper()})
    # `ray up` reaches a head by the first interface, and Ray gives each machine an address there.
    if not provider.get("use_internal_ips"):
        interfaces[0]["accessConfigs"] = [dict(one) for one in _PUBLIC]
    return {**node_config, INTERFACES: interfaces}


def checked(cluster: Cluster) -> list[str]:
    """Return notes about ``provider.network``.

    Raises:
        ClusterConfigError: a machine type without such a network, or other subnetworks than it has interfaces.
    """
    notes: list[str] = []
    for name, network in networks_of(cluster.provider, CLOUD).items():
        if node_type := cluster.node_types.get(name):
            notes += _checked(node_type, network, cluster)
    return notes


def cards_of(node_type: NodeType, network: Network) -> NetworkCards:
    """Return the network cards of a node type that ``provider.network`` names.

    Raises:
        ClusterConfigError: its machine type has no such network, or nobody knows.
    """
    key, name = f"provider.{NETWORK}.{node_type.name}", node_type.machine.name
    cards = None if node_type.machine.slice else network_cards(CLOUD.name, name)
    if cards is None:
        raise ClusterConfigError(
            f"{key} is {network.word}, and no network for training of {name} is known (gcp_networks.csv); leave it "
            f"out, or write {INTERFACES} in {node_type.location}.node_config"
        )
    if cards.network != network.word:
        raise ClusterConfigError(
            f"{key} is {network.word}, and {name} has {cards.network}: write {{{cards.network}: [...]}} with "
            f"{cards.interfaces} subnetworks, for {_kinds(cards)}"
        )
    return cards


def devices_of(node_type: NodeType, provider: Mapping[str, Any]) -> int:
    """Return how many RDMA devices a machine of a node type has, by ``provider.network`` or by its own interfaces.

    Raises:
        ClusterConfigError: its machine type has no such network.
    """
    network = networks_of(provider, CLOUD).get(node_type.name)
    if network is None:
        own = node_type.node_config.get(INTERFACES)
        interfaces = own if isinstance(own, list) else []
        return sum(isinstance(one, dict) and one.get("nicType") in _RDMA_TYPES for one in interfaces)
    return sum(card.kind.upper() in _RDMA_TYPES for card in cards_of(node_type, network).cards)


def check_interfaces(at: str, node_config: Mapping[str, Any]) -> None:
    """Refuse interfaces that Google would refuse for this machine type, as far as its cards are known.

    Args:
        at: the node_config's place in the cluster file.
        node_config: as the user wrote it; keys and kinds of values are checked.

    Raises:
        ClusterConfigError: more interfaces than the machine takes, or more of a type.
    """
    given, machine_type = node_config.get(INTERFACES), node_config.get("machineType")
    if not isinstance(given, list) or not isinstance(machine_type, str) or is_tpu(dict(node_config)):
        return
    cards = network_cards(CLOUD.name, machine_type.strip().rpartition("/")[2])
    if cards is None:
        return
    key = f"{at}.{INTERFACES}"
    if len(given) > cards.interfaces:
        raise ClusterConfigError(
            f"{key} has {len(given)} interfaces, and {cards.instance_type} takes {cards.interfaces}: {_kinds(cards)}"
        )
    for kind in _RDMA_TYPES:
        count = sum(isinstance(one, dict) and one.get("nicType") == kind for one in given)
        has = sum(card.kind.upper() == kind for card in cards.cards)
        if count > has:
            raise ClusterConfigError(
                f"{key} has {count} of nicType {kind}, and {cards.instance_type} has {has}: {_kinds(cards)}"
            )


def _checked(node_type: NodeType, network: Network, cluster: Cluster) -> Iterator[str]:
    key, location = f"provider.{NETWORK}.{node_type.name}", node_type.location
    cards = cards_of(node_type, network)
    if INTERFACES in node_type.node_config:
        raise ClusterConfigError(
            f"{key} is {network.word} and {location}.node_config has {INTERFACES}: leave one of them out; "
            f"{network.word} writes them all"
        )
    key = f"{key}.{network.word}"
    if len(network.names) != cards.interfaces:
        count = len(network.names)
        raise ClusterConfigError(
            f"{key} names {count} subnetwork{'s' if count > 1 else ''}, and {node_type.machine.name} has "
            f"{cards.interfaces} interfaces: name one for each, in this order: {_kinds(cards)}"
        )
    twice = next((name for name in network.names if network.names.count(name) > 1), "")
    if twice:
        raise ClusterConfigError(f"{key} names {twice} twice: each interface needs a subnetwork of its own")
    zones = cluster.placement.zones
    if network.word == RDMA and len(zones) > 1:
        yield (
            f"{location} ({node_type.machine.name}): a network for RDMA belongs to one zone, and "
            f"provider.availability_zone names {listed(zones)}: Google refuses a machine in the others"
        )


def _kinds(cards: NetworkCards) -> str:
    """Return the cards as a part of a sentence: ``2 GVNIC and 8 MRDMA``."""
    words = [f"{len(list(same))} {kind.upper()}" for kind, same in groupby(card.kind for card in cards.cards)]
    return listed(words)
