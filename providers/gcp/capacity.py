"""The capacity types of Google Cloud in its requests: one entry of `provider.capacity`, written into a node_config.

Sources: docs.cloud.google.com/ai-hypercomputer/docs/create/create-vm (flex-start and reservation-bound, in REST),
.../compute/docs/instances/reservations-consume, .../compute/docs/instances/about-flex-start-vms
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from accel_scaling.cluster.capacity import CapacityType
from accel_scaling.errors import ClusterConfigError
from accel_scaling.providers.gcp.scheduling import SPECIFIC, capacity_type_of, one_message
from accel_scaling.providers.gcp.tpu_capacity import slice_with_capacity
from accel_scaling.providers.gcp.tpu_node_config import is_tpu

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accel_scaling.cluster.capacity import CapacityEntry

AFFINITY, PARAMS = "reservationAffinity", "params"
_RESERVATION_KEY = "compute.googleapis.com/reservation-name"
_RESERVATION = re.compile(r"(?:projects/(?P<project>[^/]+)/reservations/)?(?P<name>[^/]+)(?:/reservationBlocks/.+)?")
_NAME = re.compile(r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?")

# "Create an AI-optimized instance": below the shortest wait, a machine comes at once or not at all.
SHORTEST_WAIT_S, LONGEST_WAIT_S = 90, 2 * 3600
SHORTEST_RUN_S, LONGEST_RUN_S = 600, 7 * 24 * 3600


class ReservationName(NamedTuple):
    """A reservation, as a request names it: its project, empty for that of the machines, and its name."""

    project: str
    name: str

    def __str__(self) -> str:
        return f"{self.project}/{self.name}" if self.project else self.name


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
    if "provisioningModel" in scheduling or "preemptible" in scheduling or node_config.get(AFFINITY):
        raise ClusterConfigError(
            f"{key} and its node_config both say how its machines are bought: remove provisioningModel, preemptible "
            "and reservationAffinity from it, or the order"
        )
    if entry.type is CapacityType.FLEX_START:
        return _flex_start(key, node_config, scheduling, entry)
    if entry.wait_for_s is not None:
        raise ClusterConfigError(
            f"{key}: {entry.type.value} has wait_for, and only flex-start machines, and TPU slices, wait in a queue: "
            "remove it"
        )
    if entry.type is CapacityType.ON_DEMAND:
        return node_config
    if entry.type is CapacityType.SPOT:
        return {**node_config, "scheduling": {**scheduling, "provisioningModel": "SPOT"}}
    if not entry.name:
        raise ClusterConfigError(
            f"{key}: reserved names no reservation; write {{reserved: NAME}}; one that any machine may use is "
            "taken by on-demand"
        )
    if not _NAME.fullmatch(entry.name) or (entry.project and "/" in entry.project):
        raise ClusterConfigError(
            f"{key}: {entry.type.value} is {entry.name}, which is no name of a reservation; write {{"
            f"{entry.type.value}: NAME}}, or {{{entry.type.value}: {{name: NAME, project: PROJECT}}}} for one that "
            "another project shares"
        )
    path = f"projects/{entry.project}/reservations/{entry.name}" if entry.project else entry.name
    affinity = {"consumeReservationType": SPECIFIC, "key": _RESERVATION_KEY, "values": [path]}
    if entry.type is CapacityType.RESERVED:
        return {**node_config, AFFINITY: affinity}
    bound = {
        # At the end of the reservation; a stopped machine would be started again before the first type of the order.
        "instanceTerminationAction": "DELETE",
        "onHostMaintenance": "TERMINATE",
        **scheduling,
        "provisioningModel": "RESERVATION_BOUND",
    }
    return {**node_config, "scheduling": bound, AFFINITY: affinity}


def _flex_start(
    key: str, node_config: dict[str, Any], scheduling: dict[str, Any], entry: CapacityEntry
) -> dict[str, Any]:
    run_s, wait_s = entry.run_for_s, entry.wait_for_s
    by_hand = next((name for name in ("maxRunDuration", "terminationTime") if scheduling.get(name)), None)
    if run_s is not None and by_hand:
        raise ClusterConfigError(
            f"{key} has run_for, and its node_config has scheduling.{by_hand}, which says when its machines end too: "
            "remove one of them"
        )
    if run_s is None and not any(scheduling.get(name) for name in ("maxRunDuration", "terminationTime")):
        raise ClusterConfigError(
            f"{key}: flex-start does not say for how long its machines run; write {{flex-start: {{run_for: 24h}}}}, of "
            "10m to 7d"
        )
    if run_s is not None and not SHORTEST_RUN_S <= run_s <= LONGEST_RUN_S:
        raise ClusterConfigError(f"{key}: run_for of flex-start is {run_s:.0f} s; Google takes 10m to 7d")
    if wait_s is not None and not SHORTEST_WAIT_S <= wait_s <= LONGEST_WAIT_S:
        raise ClusterConfigError(f"{key}: wait_for of flex-start is {wait_s:.0f} s; Google takes 90s to 2h")
    flex: dict[str, Any] = {
        "instanceTerminationAction": "DELETE",
        "onHostMaintenance": "TERMINATE",
        **scheduling,
        "provisioningModel": "FLEX_START",
    }
    if run_s is not None:
        flex["maxRunDuration"] = {"seconds": str(int(run_s))}
    bought = {**node_config, "scheduling": flex, AFFINITY: {"consumeReservationType": "NO_RESERVATION"}}
    if wait_s is not None:
        waits = {"requestValidForDuration": {"seconds": str(int(wait_s))}}
        bought[PARAMS] = {**(node_config.get(PARAMS) or {}), **waits}
    return bought


def reservation_in(node_config: Mapping[str, Any]) -> ReservationName | None:
    """Return the reservation that a node_config, or a request, names; None where it names none."""
    affinity = one_message(node_config.get(AFFINITY) or {})
    values = affinity.get("values")
    if affinity.get("consumeReservationType") != SPECIFIC or not isinstance(values, list) or len(values) != 1:
        return None
    found = _RESERVATION.fullmatch(str(values[0]))
    return ReservationName(found["project"] or "", found["name"]) if found else None


def is_block(node_config: Mapping[str, Any]) -> bool:
    """Return whether a node_config, or a request, takes machines that end with their reservation."""
    return capacity_type_of(one_message(node_config.get("scheduling") or {})) is CapacityType.BLOCK


def wait_s(node_config: Mapping[str, Any]) -> float:
    """Return how long a request for a machine may wait for capacity, with the machine PENDING; 0 where it does not."""
    scheduling = one_message(node_config.get("scheduling") or {})
    if capacity_type_of(scheduling) is not CapacityType.FLEX_START:
        return 0.0
    duration = one_message(node_config.get(PARAMS) or {}).get("requestValidForDuration")
    seconds = duration.get("seconds") if isinstance(duration, dict) else None
    given = float(str(seconds)) if str(seconds or "").isdecimal() else 0.0
    return given if given >= SHORTEST_WAIT_S else 0.0
