"""The scheduling of a Compute Engine machine: how it is bought, what is added to it, and what Google would refuse.

Sources: docs.cloud.google.com/compute/docs/gpus/gpu-host-maintenance, .../instances/create-use-spot,
.../instances/provisioning-models, .../instances/about-flex-start-vms and .../instances/limit-vm-runtime.
"""

from __future__ import annotations

from typing import Any

from accel_scaling.catalog.model import SoldAs
from accel_scaling.catalog.suggest import hint
from accel_scaling.cluster.capacity import CapacityType
from accel_scaling.cluster.capacity_notes import capacity_note
from accel_scaling.errors import ClusterConfigError
from accel_scaling.message_text import shown
from accel_scaling.providers.gcp.cloud import CLOUD

# Without these, only a spot machine is ended by Google (docs.cloud.google.com/compute/docs/instances/limit-vm-runtime).
_ENDED_BY = ("maxRunDuration", "terminationTime")

# The words of `provisioningModel` in Google's document of Compute Engine, as a test holds; upper case only.
PROVISIONING_MODELS = {
    "STANDARD": SoldAs.ON_DEMAND,
    "SPOT": SoldAs.SPOT,
    "FLEX_START": SoldAs.FLEX_START,
    "RESERVATION_BOUND": SoldAs.RESERVED,
}

SPECIFIC = "SPECIFIC_RESERVATION"
# The reservation types of `reservationAffinity` that take a machine from a reservation.
_FROM_RESERVATION = (SPECIFIC, "ANY_RESERVATION")

_REMEDIES = {
    SoldAs.ON_DEMAND: "scheduling without provisioningModel",
    SoldAs.SPOT: "scheduling: {provisioningModel: SPOT}",
    SoldAs.FLEX_START: (
        "scheduling: {provisioningModel: FLEX_START, maxRunDuration: {seconds: 86400}, instanceTerminationAction: "
        "DELETE}"
    ),
    SoldAs.RESERVED: "scheduling: {provisioningModel: RESERVATION_BOUND} with the reservationAffinity of your "
    "reservation",
}


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
            f"{at}.scheduling is {shown(given)}; expected keys, such as {{provisioningModel: SPOT}}"
        )
    return one_message(entries)


def capacity_type_of(scheduling: dict[str, Any], affinity: dict[str, Any] | None = None) -> CapacityType:
    """Return how a machine is bought.

    Args:
        scheduling: its ``scheduling``, as one object; ``preemptible`` is the older form of SPOT.
        affinity: its ``reservationAffinity``, as one object. One that takes any reservation takes machines on demand
            beside them.
    """
    model = scheduling.get("provisioningModel")
    if model == "SPOT" or scheduling.get("preemptible") is True:
        return CapacityType.SPOT
    if model == "FLEX_START":
        return CapacityType.FLEX_START
    if model == "RESERVATION_BOUND":
        return CapacityType.BLOCK
    named = (affinity or {}).get("consumeReservationType") == SPECIFIC
    return CapacityType.RESERVED if named else CapacityType.ON_DEMAND


def check_provisioning_model(at: str, scheduling: dict[str, Any]) -> None:
    """Refuse a provisioning model that Google does not have: ``spot`` would be on demand for us, an error for Google.

    Args:
        at: the node_config's place in the cluster file.
        scheduling: its ``scheduling``, as one object.

    Raises:
        ClusterConfigError: names the key and the nearest words.
    """
    model = scheduling.get("provisioningModel")
    if model is not None and model not in PROVISIONING_MODELS:
        near = hint(model.upper(), PROVISIONING_MODELS) if isinstance(model, str) else ""
        raise ClusterConfigError(
            f"{at}.scheduling.provisioningModel is {shown(model)}, which Google does not know"
            + (near or f"; it takes {', '.join(PROVISIONING_MODELS)}")
        )


def purchase_notes(machine_type: str, node_config: dict[str, Any]) -> tuple[str, ...]:
    """Return notes where Google does not sell a machine so, or a key is missing without which it refuses the launch.

    Args:
        machine_type: its name.
        node_config: as the user wrote it, without an instance template: that may hold any of these keys.
    """
    scheduling = one_message(node_config.get("scheduling") or {})
    affinity = one_message(node_config.get("reservationAffinity") or {})
    reserved = affinity.get("consumeReservationType") in _FROM_RESERVATION
    bought = PROVISIONING_MODELS.get(str(scheduling.get("provisioningModel")), SoldAs.ON_DEMAND)
    if capacity_type_of(scheduling) is CapacityType.SPOT:
        bought = SoldAs.SPOT
    # A reservation of any kind is the user's to know: no table says what they were granted.
    refused = None if reserved else capacity_note(CLOUD.name, machine_type, bought, _REMEDIES)
    notes = [refused] if refused else []
    if reserved and bought is SoldAs.ON_DEMAND and capacity_note(CLOUD.name, machine_type, bought, _REMEDIES):
        notes.append(
            f"its reservationAffinity has no provisioningModel: RESERVATION_BOUND beside it; Google gives "
            f"{machine_type} through future reservations, which need this model; add it to scheduling"
        )
    if bought is SoldAs.FLEX_START and not any(scheduling.get(key) for key in _ENDED_BY):
        notes.append(
            "provisioningModel: FLEX_START needs maxRunDuration, or Google refuses the launch; add "
            "maxRunDuration: {seconds: 86400}, of 10 minutes to 7 days"
        )
    if bought is SoldAs.RESERVED and affinity.get("consumeReservationType") != SPECIFIC:
        notes.append(
            "provisioningModel: RESERVATION_BOUND names no reservation; add reservationAffinity: "
            "{consumeReservationType: SPECIFIC_RESERVATION, key: compute.googleapis.com/reservation-name, "
            "values: [NAME]}"
        )
    return tuple(notes)


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
            f"{at}.onHostMaintenance is MIGRATE, but {which} cannot move to another host; write TERMINATE, or leave it "
            "out"
        )
    if spot and given.get("automaticRestart"):
        raise ClusterConfigError(
            f"{at}.automaticRestart is true, but Google never restarts a spot machine; write false, or leave it out"
        )
    ends = model in {"SPOT", "FLEX_START", "RESERVATION_BOUND"} or any(given.get(key) for key in _ENDED_BY)
    if given.get("instanceTerminationAction") and not ends:
        raise ClusterConfigError(
            f"{at}.instanceTerminationAction is for machines that Google ends, and Google does not end this one; add "
            f"provisioningModel: SPOT, {' or '.join(_ENDED_BY)}, or leave it out"
        )
