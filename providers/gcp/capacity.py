"""The capacity types of Google Cloud in its requests: one entry of `provider.capacity`, written into a node_config."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accel_scaling.cluster.capacity import CapacityType
from accel_scaling.errors import ClusterConfigError
from accel_scaling.providers.gcp.scheduling import one_message
from accel_scaling.providers.gcp.tpu_node_config import is_tpu

if TYPE_CHECKING:
    from accel_scaling.cluster.capacity import CapacityEntry


def with_capacity(key: str, node_config: dict[str, Any], entry: CapacityEntry) -> dict[str, Any]:
    """Return the node_config with what buys its machines in one way.

    Args:
        key: the order's place in the cluster file, for the error.
        node_config: a node type's, which does not say itself how its machines are bought.
        entry: the way.

    Raises:
        ClusterConfigError: Google does not sell so, or the node_config says so itself.
    """
    if is_tpu(node_config):
        return slice_with_capacity(key, node_config, entry)
    scheduling = one_message(node_config.get("scheduling") or {})
    if "provisioningModel" in scheduling or "preemptible" in scheduling or node_config.get("reservationAffinity"):
        raise ClusterConfigError(
            f"{key} and its node_config both say how its machines are bought: remove provisioningModel, preemptible "
            "and reservationAffinity from it, or the order"
        )
    if entry.type is CapacityType.ON_DEMAND:
        return node_config
    if entry.type is CapacityType.SPOT:
        return {**node_config, "scheduling": {**scheduling, "provisioningModel": "SPOT"}}
    raise ClusterConfigError(f"{key} has {entry.key}, which Google Cloud does not sell so")


def slice_with_capacity(key: str, node_config: dict[str, Any], entry: CapacityEntry) -> dict[str, Any]:
    """Return the node_config of a TPU slice with what buys it in one way; see `with_capacity`.

    Raises:
        ClusterConfigError: Google does not sell slices so, or the node_config says so itself.
    """
    if node_config.get("schedulingConfig"):
        raise ClusterConfigError(
            f"{key} and schedulingConfig in its node_config both say how its slices are bought: remove one of them"
        )
    if entry.type is CapacityType.ON_DEMAND:
        return node_config
    if entry.type is CapacityType.SPOT:
        return {**node_config, "schedulingConfig": {"spot": True}}
    raise ClusterConfigError(f"{key} has {entry.key}, which Cloud TPU does not sell so")
