"""The compact placement policies of a cluster: made at `ray up`, deleted by `ray down`. They cost nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from googleapiclient.errors import HttpError

from accel_scaling import timeouts
from accel_scaling.cluster.networks import PLACEMENT
from accel_scaling.errors import ClusterConfigError
from accel_scaling.providers.gcp.calls import OperationFailedError, of_operation, reason_of, status_of
from accel_scaling.providers.gcp.client import collection, new_request_id
from accel_scaling.providers.gcp.placement import POLICIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


def make(compute: Any, provider: Mapping[str, Any], cluster_name: str, names: Iterable[str]) -> None:
    """Make the policies that are not there.

    Raises:
        ClusterConfigError: one of that name is another's.
        HttpError, OperationFailedError: Google refuses.
    """
    place = {"project": provider["project_id"], "region": provider["region"]}
    policies = collection(compute, POLICIES)
    for name in names:
        if (there := _there(policies, place, name)) is not None:
            if there.get("description") != _mark(cluster_name):
                raise ClusterConfigError(
                    f"provider.{PLACEMENT} needs a placement policy {name}, and one of that name is there that this "
                    "cluster has not made; delete it, or choose another cluster_name"
                )
            continue
        body = {
            "name": name,
            "description": _mark(cluster_name),
            "groupPlacementPolicy": {"collocation": "COLLOCATED"},
        }
        _wait(compute, place, policies.insert(**place, body=body, requestId=new_request_id()).execute())


def delete(
    compute: Any,
    provider: Mapping[str, Any],
    cluster_name: str,
    names: Iterable[str],
    *,
    wait: bool = True,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[str]:
    """Delete a cluster's policies; machines that are ending hold theirs for a while.

    Args:
        compute: Google's client of Compute Engine.
        provider: the provider section.
        cluster_name: whose policies.
        names: of the policies.
        wait: for machines that are ending; without it, policies with machines are kept, and nothing is reported.
        clock: seconds that only grow.
        sleep: waits so many seconds.

    Returns:
        A sentence for those that are left: they cost nothing, and the next `ray up` uses them.
    """
    place = {"project": provider["project_id"], "region": provider["region"]}
    policies, until_s = collection(compute, POLICIES), clock() + timeouts.PLACEMENT_GROUP_S
    reasons: dict[str, str] = {}
    left = list(names)
    while left := [name for name in left if not _deleted(compute, place, policies, (cluster_name, name), reasons)]:
        if not wait:
            return []
        if clock() >= until_s:
            break
        sleep(timeouts.PLACEMENT_GROUP_POLL_S)
    return [f"the placement policy {name} is not deleted ({reasons[name]}); it costs nothing" for name in left]


def _deleted(
    compute: Any, place: Mapping[str, str], policies: Any, whose: tuple[str, str], reasons: dict[str, str]
) -> bool:
    cluster_name, name = whose
    try:
        there = _there(policies, place, name)
        if there is None or there.get("description") != _mark(cluster_name):
            return True
        call = policies.delete(**place, resourcePolicy=name, requestId=new_request_id())
        _wait(compute, place, call.execute())
    except (HttpError, OperationFailedError) as error:
        reasons[name] = reason_of(error)
        return False
    return True


def _there(policies: Any, place: Mapping[str, str], name: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = policies.get(**place, resourcePolicy=name).execute()
    except HttpError as error:
        if status_of(error) == 404:
            return None
        raise
    return found


def _wait(compute: Any, place: Mapping[str, str], operation: dict[str, Any]) -> None:
    """Wait until an operation of the region is done.

    Raises:
        OperationFailedError: it failed.
    """
    until_s = time.monotonic() + timeouts.PLACEMENT_GROUP_S
    while operation.get("status") != "DONE" and time.monotonic() < until_s:
        call = collection(compute, "regionOperations").wait(**place, operation=operation["name"])
        operation = call.execute()
    if "error" in operation:
        raise OperationFailedError(of_operation(operation["error"]))


def _mark(cluster_name: str) -> str:
    return f"accel_scaling: machines of the cluster {cluster_name}"
