"""The scheduling of a Compute Engine machine: how it is bought, what is added to it, and what Google would refuse.

Sources: docs.cloud.google.com/compute/docs/gpus/gpu-host-maintenance, .../instances/create-use-spot and
.../instances/limit-vm-runtime.
"""

from __future__ import annotations

from typing import Any

from accel_scaling.cluster.cluster import CapacityType
from accel_scaling.errors import ClusterConfigError
from accel_scaling.message_text import shown

# Without these, only a spot machine is ended by Google (docs.cloud.google.com/compute/docs/instances/limit-vm-runtime).
_ENDED_BY = ("maxRunDuration", "terminationTime")


def one_message(given: Any) -> dict[str, Any]:
    """Return a message that may be written as a list of its parts."""
    parts = given if isinstance(given, list) else [given]
    return {name: held for part in parts if isinstance(part, dict) for name, held in part.items()}


def scheduling_of(at: str, node_config: dict[str, Any]) -> dict[str, Any]:
    """Return ``scheduling`` as one object: Ray's own examples write it as a list of them.

    Args:
        at: the node_config's place in the cluster file.
        node_config: as the user wrote it.

    Raises:
        ClusterConfigError: it does not hold keys.
    """
    given = node_config.get("scheduling")
    entries = given if isinstance(given, list) else [{} if given is None else given]
    if not all(isinstance(entry, dict) for entry in entries):
        raise ClusterConfigError(
            f"{at}.scheduling is {shown(given)}; it takes keys, such as {{provisioningModel: SPOT}}"
        )
    return one_message(entries)


def capacity_type_of(scheduling: dict[str, Any]) -> CapacityType:
    """Return spot where Google may take the machine back: SPOT, or preemptible, its older form."""
    spot = scheduling.get("provisioningModel") == "SPOT" or scheduling.get("preemptible") is True
    return CapacityType.SPOT if spot else CapacityType.ON_DEMAND


def missing_scheduling(node_config: dict[str, Any], *, accelerated: bool, delete_preempted: bool) -> dict[str, Any]:
    """Return what `scheduling` needs and the config does not say; what it says stays.

    A machine with accelerators, and a spot one, cannot be moved to another host, so maintenance ends it
    (docs.cloud.google.com/compute/docs/gpus/gpu-host-maintenance). A spot one is not restarted by Google, and deleted
    rather than stopped where Ray would not take a stopped one back
    (docs.cloud.google.com/compute/docs/instances/create-use-spot).
    """
    given = one_message(node_config.get("scheduling") or {})
    spot = given.get("provisioningModel") == "SPOT"
    preemptible = spot or bool(given.get("preemptible"))
    needed: dict[str, Any] = {}
    if preemptible or accelerated:
        needed["onHostMaintenance"] = "TERMINATE"
    if preemptible:
        needed["automaticRestart"] = False
    # `preemptible` alone, the older form, takes no termination action.
    if spot and delete_preempted:
        needed["instanceTerminationAction"] = "DELETE"
    return {key: value for key, value in needed.items() if key not in given}


def check_scheduling(path: str, node_config: dict[str, Any], *, accelerated: bool) -> None:
    """Refuse scheduling that Google refuses once the machine is asked for.

    Sources: docs.cloud.google.com/compute/docs/gpus/gpu-host-maintenance, .../instances/create-use-spot and
    .../instances/limit-vm-runtime.

    Args:
        path: the node_config's place in the cluster file.
        node_config: with what its instance template holds.
        accelerated: the machine has accelerators.

    Raises:
        ClusterConfigError: names the key, and what goes.
    """
    at, given = f"{path}.scheduling", one_message(node_config.get("scheduling") or {})
    model = given.get("provisioningModel")
    spot = model == "SPOT" or given.get("preemptible") is True
    if (spot or accelerated) and given.get("onHostMaintenance") == "MIGRATE":
        which = "a spot machine" if spot else "a machine with accelerators"
        raise ClusterConfigError(
            f"{at}.onHostMaintenance is MIGRATE, and {which} cannot move to another host; write TERMINATE, or leave it "
            "out"
        )
    if spot and given.get("automaticRestart"):
        raise ClusterConfigError(
            f"{at}.automaticRestart is true, and Google restarts no spot machine; write false, or leave it out"
        )
    ends = model in {"SPOT", "FLEX_START", "RESERVATION_BOUND"} or any(given.get(key) for key in _ENDED_BY)
    if given.get("instanceTerminationAction") and not ends:
        raise ClusterConfigError(
            f"{at}.instanceTerminationAction says what is done with a machine that Google ends, and Google does not "
            f"end this one; add provisioningModel: SPOT, {' or '.join(_ENDED_BY)}, or leave it out"
        )
