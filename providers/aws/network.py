"""The network interfaces of a machine: those that ``network: efa`` writes, and checks of the file's own.

Sources: the EC2 User Guide, "Maximize network bandwidth on Amazon EC2 instances with multiple network cards" (which
interface on which card), and the API's InstanceNetworkInterfaceSpecification (a public address for a single interface
only).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from accel_scaling.catalog.networks import network_cards
from accel_scaling.cluster.networks import NETWORK, networks_of
from accel_scaling.errors import ClusterConfigError
from accel_scaling.providers.aws.cloud import CLOUD

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from accel_scaling.catalog.networks import NetworkCards
    from accel_scaling.cluster.cluster import Cluster, NodeType

    Config = dict[str, Any]

INTERFACES = "NetworkInterfaces"
EFA, EFA_ONLY, ENA = "efa", "efa-only", "interface"  # values of InterfaceType; interface is EC2's default
_KINDS = (EFA, EFA_ONLY)


def interfaces_of(cards: NetworkCards, *, public: bool) -> list[Config]:
    """Return the interfaces that use every EFA of a machine, without subnets and groups.

    An interface of the kind efa-only has no IP address: a p5.48xlarge takes one address of its subnet, and not 33.

    Args:
        cards: those of its machine type, with EFA on at least one.
        public: the machine needs a public address, which EC2 gives to a machine with one interface only.
    """
    first = cards.cards[0]
    if len(cards.cards) == 1 or first == (EFA, 1):
        # Without a second place on the card, the first interface is the EFA too.
        interfaces = [_interface(0, 0, EFA)]
    else:
        interfaces = [_interface(0, 0, ENA)]
        if first.kind == EFA:
            interfaces.append(_interface(0, 1, EFA_ONLY))
    more = enumerate(cards.cards[1:], start=1)
    interfaces += [_interface(number, 0, EFA_ONLY) for number, card in more if card.kind == EFA]
    if public and len(interfaces) == 1:
        interfaces[0]["AssociatePublicIpAddress"] = True
    return interfaces


def _interface(card: int, device: int, kind: str) -> Config:
    # EC2 deletes what it made with the machine only where it is told to.
    return {"NetworkCardIndex": card, "DeviceIndex": device, "InterfaceType": kind, "DeleteOnTermination": True}


def with_interfaces(node_config: Config, cards: NetworkCards, *, public: bool) -> Config:
    """Return a node_config, subnets and groups chosen, with the interfaces of ``network: efa`` in the first subnet.

    The other subnets stay in ``SubnetIds``: `in_subnets` puts the interfaces into the zone that is tried.
    """
    place = {"SubnetId": node_config["SubnetIds"][0], "Groups": list(node_config["SecurityGroupIds"])}
    return {**node_config, INTERFACES: [{**one, **place} for one in interfaces_of(cards, public=public)]}


def in_subnets(node_config: Config, subnets: Sequence[str]) -> list[Config]:
    """Return the node_configs for one zone, of one subnet each: a request names one, and its token stands for it.

    With network interfaces it is one: they have their subnets in them, which Ray has copied to SubnetIds, one for each
    interface; it would send the same request 32 times where a p5.48xlarge is sold out.

    Args:
        node_config: the node type's.
        subnets: those of its subnets that are in the zone.
    """
    if not subnets:
        return [node_config]
    interfaces = node_config.get(INTERFACES)
    if not interfaces:
        return [{**node_config, "SubnetIds": [subnet]} for subnet in subnets]
    named = {interface.get("SubnetId") for interface in interfaces}
    # Interfaces in several subnets are the user's own, and stay where they are.
    if len(named) == 1 and not named & set(subnets):
        interfaces = [{**interface, "SubnetId": subnets[0]} for interface in interfaces]
    return [{**node_config, "SubnetIds": list(subnets[:1]), INTERFACES: interfaces}]


def efa_devices(node_config: Mapping[str, Any]) -> int:
    """Return how many EFA devices a machine of this node_config has."""
    interfaces = node_config.get(INTERFACES) or ()
    return sum(isinstance(one, dict) and one.get("InterfaceType") in _KINDS for one in interfaces)


def devices_of(node_type: NodeType, provider: Mapping[str, Any]) -> int:
    """Return how many EFA devices a machine of a node type has, by ``provider.network`` or by its own interfaces.

    Raises:
        ClusterConfigError: its machine type has no EFA, or nobody knows.
    """
    if node_type.name not in networks_of(provider, CLOUD):
        return efa_devices(node_type.node_config)
    return efa_devices({INTERFACES: interfaces_of(cards_of(node_type), public=False)})


def check_interfaces(at: str, node_config: Mapping[str, Any]) -> None:
    """Refuse interfaces that EC2 would refuse for this machine type, as far as its cards are known.

    Args:
        at: the node_config's place in the cluster file.
        node_config: as the user wrote it; keys and kinds of values are checked.

    Raises:
        ClusterConfigError: names the interface.
    """
    interfaces = [one for one in node_config.get(INTERFACES) or () if isinstance(one, dict)]
    if not interfaces:
        return
    at = f"{at}.{INTERFACES}"
    placed = (one for one in interfaces if "DeviceIndex" in one)
    places = Counter((one.get("NetworkCardIndex", 0), one["DeviceIndex"]) for one in placed)
    for (card, device), count in places.items():
        if count > 1:
            raise ClusterConfigError(
                f"{at} has {count} interfaces with NetworkCardIndex {card} and DeviceIndex {device}; each needs a "
                "place of its own"
            )
    public = next((n for n, one in enumerate(interfaces) if one.get("AssociatePublicIpAddress")), None)
    if public is not None and len(interfaces) > 1:
        raise ClusterConfigError(
            f"{at}[{public}].AssociatePublicIpAddress is true, and EC2 gives no public address to a machine with "
            "several interfaces; leave it out, and write use_internal_ips: true in provider"
        )
    cards = network_cards(CLOUD.name, str(node_config.get("InstanceType") or "").strip())
    if cards is not None:
        _check_cards(at, interfaces, cards)


def _check_cards(at: str, interfaces: Sequence[Config], cards: NetworkCards) -> None:
    name, last = cards.instance_type, len(cards.cards) - 1
    if len(interfaces) > cards.interfaces:
        raise ClusterConfigError(f"{at} has {len(interfaces)} interfaces, and {name} takes {cards.interfaces}")
    on_card: Counter[int] = Counter()
    for number, interface in enumerate(interfaces):
        card, kind = interface.get("NetworkCardIndex", 0), interface.get("InterfaceType", ENA)
        if not 0 <= card <= last:
            has = f"{last + 1} network cards, 0 to {last}" if last else "one network card, 0"
            raise ClusterConfigError(f"{at}[{number}].NetworkCardIndex is {card}, and {name} has {has}")
        on_card[card] += 1
        if on_card[card] > cards.cards[card].interfaces:
            most = cards.cards[card].interfaces
            raise ClusterConfigError(f"{at}[{number}]: network card {card} of {name} takes {most} interfaces")
        if kind not in _KINDS:
            continue
        if cards.cards[card].kind != EFA:
            where = f"its network card {card}" if cards.network else "it"
            raise ClusterConfigError(f"{at}[{number}].InterfaceType is {kind}, and {name} has no EFA on {where}")
        if kind == EFA_ONLY and (card, interface.get("DeviceIndex", 0)) == (0, 0):
            raise ClusterConfigError(
                f"{at}[{number}].InterfaceType is {kind}, and the first interface of a machine needs an address: "
                f"write {ENA} or {EFA} there"
            )


def checked(cluster: Cluster) -> list[str]:
    """Return notes about ``provider.network``.

    Raises:
        ClusterConfigError: a machine type without EFA, interfaces in two places, or a head that nobody would reach.
    """
    notes: list[str] = []
    for name in networks_of(cluster.provider, CLOUD):
        if node_type := cluster.node_types.get(name):
            notes += _checked(node_type, cards_of(node_type), private=is_private(cluster.provider))
    heads = [one for one in cluster.node_types.values() if one.is_head and not is_private(cluster.provider)]
    notes += [
        f"{head.location}.node_config.{INTERFACES}: EC2 gives no public address to a machine with several interfaces, "
        "and `ray up` waits for the head's; write use_internal_ips: true in provider"
        for head in heads
        if len(head.node_config.get(INTERFACES) or ()) > 1
    ]
    return notes


def is_private(provider: Mapping[str, Any]) -> bool:
    """Return whether `ray up` reaches the head by its private address."""
    return bool(provider.get("use_internal_ips"))


def cards_of(node_type: NodeType) -> NetworkCards:
    """Return the network cards of a node type of ``network: efa``.

    Raises:
        ClusterConfigError: its machine type has no EFA, or nobody knows.
    """
    key, name = f"provider.{NETWORK}.{node_type.name}", node_type.machine.name
    cards = network_cards(CLOUD.name, name)
    if cards is None:
        raise ClusterConfigError(
            f"{key} is {EFA}, and the network cards of {name} are not known (aws_networks.csv); write its {INTERFACES} "
            f"in {node_type.location}.node_config"
        )
    if cards.network != EFA:
        raise ClusterConfigError(f"{key} is {EFA}, and {name} has no EFA; leave it out, or choose a type that has it")
    return cards


def _checked(node_type: NodeType, cards: NetworkCards, *, private: bool) -> Iterator[str]:
    key, location = f"provider.{NETWORK}.{node_type.name}", node_type.location
    if INTERFACES in node_type.node_config:
        raise ClusterConfigError(
            f"{key} is {EFA} and {location}.node_config has {INTERFACES}: leave one of them out; {EFA} writes them all"
        )
    count = len(interfaces_of(cards, public=not private))
    if count == 1 or private:
        return
    why = f"{location} ({node_type.machine.name}) gets {count} network interfaces, and EC2 gives no public address to "
    if node_type.is_head:
        raise ClusterConfigError(
            f"{why}a machine with several: `ray up` would not reach the head; write use_internal_ips: true in "
            f"provider, or choose another type for the head"
        )
    yield (
        f"{why}such machines: if they need the internet, write use_internal_ips: true in provider, and name SubnetIds "
        "whose route goes through a NAT gateway"
    )
