"""``provider.network`` and ``provider.placement``: a network for training, and machines that are close to each other.

Each names node types: ``network: {h100: efa}``, ``placement: {h100: cluster}``. Which words there are is the cloud's to
say (``Cloud.network_words``, ``Cloud.placement_words``); Google Cloud's networks take the names of subnetworks, as
``{h200: {rdma: [net-0, ...]}}``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from accel_scaling.catalog.suggest import hint
from accel_scaling.errors import ClusterConfigError
from accel_scaling.message_text import listed, shown

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from accel_scaling.clouds import Cloud

NETWORK, PLACEMENT = "network", "placement"

DEVICES = "accel_scaling_network_devices"
"""The key of a provider section in which `ray up` tells the head how many network devices a node type has."""

CONTAINER_OPTIONS = ("--device=/dev/infiniband", "--ulimit=memlock=-1")
"""Options with which a container uses EFA or RDMA: the nodes of the devices, and memory that may be locked."""


class Network(NamedTuple):
    """The network of a node type.

    Attributes:
        word: one of the cloud's words.
        names: the subnetworks of its interfaces, in their order; none where the cloud chooses them.
    """

    word: str
    names: tuple[str, ...] = ()


def check(provider: Mapping[str, Any], cloud: Cloud, node_types: Collection[str]) -> None:
    """Refuse values of the two keys that mean nothing.

    Raises:
        ClusterConfigError: another kind of value, a node type that the file does not have, or a word that the cloud
            does not have; it names the nearest one.
    """
    for key, words in ((NETWORK, cloud.network_words), (PLACEMENT, cloud.placement_words)):
        if provider.get(key) is not None and not words:
            raise ClusterConfigError(f"provider.{key} is a key that nothing reads on {cloud.title}; leave it out")
    for key, found in ((NETWORK, networks_of(provider, cloud)), (PLACEMENT, placements_of(provider, cloud))):
        for name in found:
            if name not in node_types:
                known = hint(name, map(str, node_types)) or f": it has {', '.join(map(str, node_types))}"
                raise ClusterConfigError(
                    f"provider.{key} names {shown(name)}, which available_node_types does not have{known}"
                )


def networks_of(provider: Mapping[str, Any], cloud: Cloud) -> dict[str, Network]:
    """Return the network of each node type that has one.

    Raises:
        ClusterConfigError: see `check`.
    """
    words = cloud.network_words
    return {
        name: _network(f"provider.{NETWORK}.{name}", value, cloud)
        for name, value in _section(provider, NETWORK, words).items()
    }


def placements_of(provider: Mapping[str, Any], cloud: Cloud) -> dict[str, str]:
    """Return the placement of each node type that has one.

    Raises:
        ClusterConfigError: see `check`.
    """
    words = cloud.placement_words
    return {
        name: _word(f"provider.{PLACEMENT}.{name}", value, words)
        for name, value in _section(provider, PLACEMENT, words).items()
    }


def devices_of(provider: Mapping[str, Any], node_type: str) -> int:
    """Return how many network devices a machine of a node type must have, as `ray up` has written it; 0 for none."""
    written = provider.get(DEVICES)
    return int(written.get(node_type, 0)) if isinstance(written, dict) else 0


def _section(provider: Mapping[str, Any], key: str, words: Sequence[str]) -> dict[str, Any]:
    given = provider.get(key)
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise ClusterConfigError(
            f"provider.{key} is {shown(given)}: write a mapping of node types, such as {{my_type: {words[0]}}}"
        )
    return {str(name): value for name, value in given.items()}


def _network(key: str, value: Any, cloud: Cloud) -> Network:
    """Read ``efa``, or ``{rdma: [net-0, net-1]}``."""
    words, takes = cloud.network_words, cloud.network_takes
    if not isinstance(value, dict):
        word = _word(key, value, words)
        if takes:
            raise ClusterConfigError(f"{key} is {word}, without {takes}: write {{{word}: [...]}}, {takes} in a list")
        return Network(word)
    if len(value) != 1:
        raise ClusterConfigError(f"{key} has {len(value)} words; write one: {listed(words, 'or')}")
    word, names = next(iter(value.items()))
    _word(key, word, words)
    if not takes:
        raise ClusterConfigError(f"{key} takes the word alone: write {word}")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise ClusterConfigError(f"{key}.{word} is {shown(names)}: write {takes} in a list, [...]")
    return Network(str(word), tuple(names))


def _word(key: str, value: Any, words: Sequence[str]) -> str:
    if value not in words:
        near = hint(value, words) if isinstance(value, str) else ""
        write = f": write {listed(words, 'or')}"
        raise ClusterConfigError(f"{key} is {shown(value)}{near or write}")
    return str(value)
