"""The capacity types of EC2 in a RunInstances request: one entry of `provider.capacity`, written into a node_config."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accel_scaling.cluster.capacity import CapacityType
from accel_scaling.errors import ClusterConfigError

if TYPE_CHECKING:
    from accel_scaling.cluster.capacity import CapacityEntry

# The keys of a node_config that say how its machines are bought.
_BY_HAND = ("InstanceMarketOptions", "CapacityReservationSpecification")


def with_capacity(key: str, node_config: dict[str, Any], entry: CapacityEntry) -> dict[str, Any]:
    """Return the node_config with what buys its machines in one way.

    Args:
        key: the order's place in the cluster file, for the error.
        node_config: a node type's, which does not say itself how its machines are bought.
        entry: the way.

    Raises:
        ClusterConfigError: EC2 does not sell so, or the node_config says so itself.
    """
    for name in _BY_HAND:
        if node_config.get(name):
            raise ClusterConfigError(
                f"{key} and {name} in its node_config both say how its machines are bought: remove one of them"
            )
    if entry.type is CapacityType.ON_DEMAND:
        return node_config
    if entry.type is CapacityType.SPOT:
        return {**node_config, "InstanceMarketOptions": {"MarketType": "spot"}}
    raise ClusterConfigError(f"{key} has {entry.key}, which AWS does not sell so")
