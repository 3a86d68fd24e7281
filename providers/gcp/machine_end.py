"""Why a machine of Compute Engine, or a TPU slice, ended, as Google's operations and states say it.

Sources: docs.cloud.google.com/compute/docs/samples/compute-preemptible-history (the filter, the operation type of a
preemption), docs.cloud.google.com/tpu/docs/reference/rest/v2/projects.locations.nodes#state
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accel_scaling.catalog.launch_errors import SOLD_OUT
from accel_scaling.providers.base.machine_end import EndedBy, MachineEnd
from accel_scaling.providers.gcp.calls import of_operation, status_of
from accel_scaling.providers.gcp.client import collection
from accel_scaling.providers.gcp.tpu_queue import OVER, STATE, failure_of
from accel_scaling.quarantine.machine import GONE

if TYPE_CHECKING:
    from collections.abc import Callable

_LINK = "https://www.googleapis.com/compute/v1/projects/{}/zones/{}/instances/{}"
_PREEMPTED = "compute.instances.preempted"
# Of the operations that Google begins by itself, those that leave a machine running.
_HARMLESS = frozenset({"compute.instances.migrateOnHostMaintenance", "compute.instances.automaticRestart"})
_BY_USERS = frozenset({"delete", "stop", "suspend"})


def ends_of(resource_of: Callable[[str], Any], node_ids: list[str]) -> dict[str, MachineEnd]:
    """Return why nodes ended; those that live are left out.

    Args:
        resource_of: compute.Compute or tpu.Tpu, by a node's name.
        node_ids: the nodes.
    """
    ends = {}
    for node_id in node_ids:
        resource = resource_of(node_id)
        node = _node(resource, node_id)
        if node is not None and not node.is_terminated():
            continue
        end = _slice_end(node) if resource.KIND == "tpu" else _machine_end(resource, node_id, node)
        ends[node_id] = end if node is None else end._replace(tags=node.get_labels())
    return ends


def _node(resource: Any, node_id: str) -> Any | None:
    try:
        return resource.get_instance(node_id)
    except Exception as error:
        if status_of(error) != 404:
            raise
        return resource.last_seen(node_id)


def _slice_end(node: Any | None) -> MachineEnd:
    if node is None:
        return MachineEnd(EndedBy.USER, "delete", "the slice was deleted")
    state = str(node.get("state"))
    if state in OVER and (node[STATE].get("stateInitiator") != "USER"):
        failure = failure_of(node)
        return MachineEnd(EndedBy.CLOUD, failure.code, failure.message, sold_out=failure.category in SOLD_OUT)
    if state in OVER:
        return MachineEnd(EndedBy.USER, state, "a user has deleted the slice of the queued resource")
    if node.is_preempted():
        return MachineEnd(EndedBy.INTERRUPTION, state, "Google has taken the slice back")
    return MachineEnd(EndedBy.USER, state, "the slice was stopped or deleted")


def _machine_end(resource: Any, node_id: str, node: Any | None) -> MachineEnd:
    try:
        operations = _operations(resource, node_id)
    except Exception as error:
        if status_of(error) != 403:
            raise
        operations = []  # without compute.zoneOperations.list, the machine's own state is all that is known
        if node is None:
            return MachineEnd(EndedBy.USER, "delete", "the machine was deleted; the operations may not be listed")
    failed = next((one["error"] for one in operations if one.get("operationType") == "insert" and "error" in one), None)
    if node is None and failed is not None:
        # A flex-start machine whose wait is over: Google deletes it, and its creation has failed; any other launch
        # waits for the end of its operation. Whatever the code is, which Google does not document, no machine was there.
        failure = of_operation(failed)
        return MachineEnd(EndedBy.CLOUD, failure.code, failure.message, sold_out=True)
    return _end_by(node, [str(operation.get("operationType")) for operation in operations])


def _end_by(node: Any | None, types: list[str]) -> MachineEnd:
    # In this order: what Google took back, or stopped, is deleted by this package or by Ray afterwards.
    if _PREEMPTED in types or (node is not None and not types and node.is_preempted()):
        return MachineEnd(EndedBy.INTERRUPTION, _PREEMPTED, "Google has taken the machine back")
    by_google = [word for word in types if word.startswith("compute.instances.") and word not in _HARMLESS]
    if by_google:
        return MachineEnd(EndedBy.CLOUD, by_google[-1], _said_of(node) or "the machine ended by itself")
    by_user = [word for word in types if word in _BY_USERS]
    if by_user:
        return MachineEnd(EndedBy.USER, by_user[-1], f"a user called {by_user[-1]} of the machine")
    if node is not None:
        return MachineEnd(EndedBy.CLOUD, str(node.get("status")), _said_of(node) or "the machine ended by itself")
    return MachineEnd(EndedBy.UNKNOWN, GONE, "Google does not know it any more")


def _said_of(node: Any | None) -> str:
    return str((node or {}).get("statusMessage") or "")


def _operations(resource: Any, node_id: str) -> list[dict[str, Any]]:
    """Return the operations on a machine, oldest first."""
    operations: list[dict[str, Any]] = []
    for zone in resource.zones_of(node_id):
        link = _LINK.format(resource.project_id, zone, node_id)
        request = collection(resource.resource, "zoneOperations").list(
            project=resource.project_id, zone=zone, filter=f'targetLink="{link}"'
        )
        operations += request.execute().get("items", [])
    operations.sort(key=lambda operation: str(operation.get("insertTime", "")))
    return operations
