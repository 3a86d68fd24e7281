"""The capacity types of Cloud TPU: how a slice is bought, and whether its request waits in Google's queue.

What version 2 of the API, which the provider calls, has (docs.cloud.google.com/tpu/docs/reference/rest/v2):
SchedulingConfig of a node (``spot``, ``reserved``), QueuedResource (``spot``, ``reservationName``, ``queueingPolicy``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accel_scaling import timeouts
from accel_scaling.cluster.capacity import CapacityType
from accel_scaling.errors import ClusterConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accel_scaling.cluster.capacity import CapacityEntry

_SCHEDULING: Mapping[CapacityType, dict[str, bool]] = {
    CapacityType.ON_DEMAND: {},
    CapacityType.SPOT: {"spot": True},
    CapacityType.RESERVED: {"reserved": True},
}
# docs.cloud.google.com/tpu/docs/consume-reservation: calendar mode needs a provisioning model, which v2 does not have.
_NOT_SOLD = {
    CapacityType.BLOCK: "version 2 of the Cloud TPU API cannot use a reservation of calendar mode",
    CapacityType.FLEX_START: "version 2 of the Cloud TPU API has no flex-start",
}
_INSTEAD = "write spot, on-demand or {reserved: NAME}, each with wait_for where Google is to queue it"


def slice_with_capacity(key: str, node_config: dict[str, Any], entry: CapacityEntry) -> dict[str, Any]:
    """Return the node_config of a TPU slice with what buys it in one way.

    Args:
        key: the order's place in the cluster file, for the error.
        node_config: a node type's, which does not say itself how its slices are bought.
        entry: the way.

    Raises:
        ClusterConfigError: Google does not sell slices so, or the node_config says so itself.
    """
    if node_config.get("schedulingConfig"):
        raise ClusterConfigError(
            f"{key} and schedulingConfig in its node_config both say how its slices are bought: remove one of them"
        )
    if entry.type not in _SCHEDULING:
        raise ClusterConfigError(f"{key} has {entry.key}, and {_NOT_SOLD[entry.type]}: {_INSTEAD}")
    scheduling = _SCHEDULING[entry.type]
    return {**node_config, "schedulingConfig": dict(scheduling)} if scheduling else node_config


def queue_time_s(entry: CapacityEntry | None) -> float | None:
    """Return how long a request for a slice may wait in Google's queue; None where it is made without a queue.

    A node cannot name a reservation, a queued resource can: one of a name is queued in any case.
    """
    if entry is None:
        return None
    if entry.wait_for_s is None and entry.name:
        return timeouts.GCP_RESERVATION_QUEUE_S
    return entry.wait_for_s


def tier(entry: CapacityEntry, project: str, zone: str) -> dict[str, Any]:
    """Return the part of a queued resource that says how its slice is bought.

    Args:
        entry: the way.
        project: the cluster's.
        zone: the slice's.
    """
    if entry.type is CapacityType.SPOT:
        return {"spot": {}}
    if not entry.name:
        return {}
    # As users copy it from Google's pages: the name alone, or a path, with the zone or without.
    owner = entry.project or (entry.name.split("/")[1] if entry.name.startswith("projects/") else project)
    return {"reservationName": f"projects/{owner}/locations/{zone}/reservations/{entry.name.rpartition('/')[2]}"}
