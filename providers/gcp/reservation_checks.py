"""Questions about the reservations that a cluster file names, before the head is paid for.

A reservation that no launch could use is refused. Where the account may not ask, `ray up` continues, with a note.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from googleapiclient.errors import HttpError

from accel_scaling import timeouts
from accel_scaling.cluster import machine_lists
from accel_scaling.cluster.capacity import CAPACITY
from accel_scaling.cluster.cluster import with_capacity
from accel_scaling.cluster.policies import watcher_policy
from accel_scaling.errors import ClusterConfigError
from accel_scaling.message_text import listed, utc
from accel_scaling.providers.gcp.calls import status_of
from accel_scaling.providers.gcp.capacity import AFFINITY, is_block, reservation_in
from accel_scaling.providers.gcp.client import client
from accel_scaling.providers.gcp.node_config import is_tpu, zones_of
from accel_scaling.providers.gcp.reservations import MISSING, PERMISSION, asked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from accel_scaling.cluster.cluster import Cluster, NodeType
    from accel_scaling.providers.gcp.capacity import ReservationName
    from accel_scaling.providers.gcp.reservations import Reservation


@dataclass(frozen=True)
class _Named:
    """A reservation that a node type names.

    Attributes:
        key: where in the cluster file.
        name: of the reservation.
        node_type: which names it.
        is_block: its machines are to end with it.
        by_hand: in the node_config, and not by an order.
        is_last: no other capacity type follows it.
    """

    key: str
    name: ReservationName
    node_type: NodeType
    is_block: bool
    by_hand: bool
    is_last: bool


def check_reservations(cluster: Cluster, clock: Callable[[], float] = time.time) -> list[str]:
    """Refuse reservations that do not exist, are over, or do not fit their node type; return notes.

    Args:
        cluster: a cluster file, with what its instance templates hold.
        clock: Unix seconds.

    Raises:
        ClusterConfigError: names the key, and what the reservation is.
        Exception: as Google's client raises it.
    """
    # The other machines of a list have the reservations of their node type.
    types = [one for one in cluster.node_types.values() if not machine_lists.is_other(cluster.provider, one.name)]
    named = [one for node_type in types for one in _named(cluster, node_type)]
    if not named:
        return []
    provider = cluster.provider
    compute, project = client(provider, "compute"), str(provider["project_id"])
    known: dict[ReservationName, Reservation | None] = {}
    notes: list[str] = []
    for one in named:
        if one.name not in known:
            try:
                known[one.name] = asked(compute, project, one.name)
            except HttpError as error:
                if status_of(error) != 403:
                    raise
                known[one.name] = None
                notes.append(
                    f"{one.key}: your account lacks the permission {PERMISSION} in project "
                    f"{one.name.project or project}: it is not known whether the reservation {one.name} exists, where "
                    "it is, and when it begins and ends"
                )
        found = known[one.name]
        if found is not None:
            _check(one, found, machine_lists.machine_names(cluster, one.node_type), project, zones_of(provider))
            _check_end(one, found, clock() + watcher_policy(provider).drain_s)
            notes += _notes(one, found, cluster, clock())
    return notes


def _named(cluster: Cluster, node_type: NodeType) -> Iterator[_Named]:
    if is_tpu(node_type.node_config):
        return  # its queued resource names it, which Google looks up
    for entry in node_type.order:
        bought = with_capacity(cluster.cloud, node_type.name, node_type.node_config, entry)
        if name := reservation_in(bought):
            key, is_last = f"provider.{CAPACITY}.{node_type.name}", entry is node_type.order[-1]
            yield _Named(key, name, node_type, is_block(bought), by_hand=False, is_last=is_last)
    if not node_type.order and (name := reservation_in(node_type.node_config)):
        key, block = f"{node_type.location}.node_config.{AFFINITY}", is_block(node_type.node_config)
        yield _Named(key, name, node_type, block, by_hand=True, is_last=True)


def _check(one: _Named, found: Reservation, machines: list[str], project: str, zones: tuple[str, ...]) -> None:
    owner = one.name.project or project
    if found.state == MISSING:
        shared = "" if one.name.project else "; one that another project shares is named with its project"
        raise ClusterConfigError(
            f"{one.key}: project {owner} has no reservation {one.name.name}; `gcloud compute reservations list "
            f"--project {owner}` lists those that there are{shared}"
        )
    if found.zone and found.zone not in zones:
        raise ClusterConfigError(
            f"{one.key}: {found} is in {found.zone}, and provider.availability_zone is {','.join(zones)}; add its zone"
        )
    if found.machine_type and found.machine_type not in machines:
        raise ClusterConfigError(
            f"{one.key}: {found} is for {found.machine_type}, and the machine of node type {one.node_type.name} is "
            f"{listed(machines, 'or')}; name a reservation for that, or another machineType"
        )
    if found.is_block and not one.is_block:
        write = "add provisioningModel: RESERVATION_BOUND to scheduling" if one.by_hand else "write {block: NAME}"
        raise ClusterConfigError(f"{one.key}: {found} is of calendar mode, and ends with its machines; {write}")


def _check_end(one: _Named, found: Reservation, drained_s: float) -> None:
    if found.ends_s is not None and drained_s > found.ends_s - timeouts.BLOCK_LEAST_S:
        raise ClusterConfigError(
            f"{one.key}: Google ends the machines of {found} at {utc(found.ends_s)}, which is too soon for a new one; "
            "remove it, or name another one"
        )


def _notes(one: _Named, found: Reservation, cluster: Cluster, now_s: float) -> Iterator[str]:
    if found.begins_s > now_s:
        until = "no machine of it is launched before" if one.is_last else "until then, what follows it is launched"
        yield f"{one.key}: {found} begins at {utc(found.begins_s)}; {until}"
    most: Any = cluster.config["available_node_types"][one.node_type.name].get("max_workers")
    alone = one.by_hand or len(one.node_type.order) == 1
    if alone and isinstance(most, int) and most > found.total > 0:
        yield (
            f"{one.key}: {found} has places for {found.total} machines, and max_workers of {one.node_type.name} is "
            f"{most}; more than {found.total} are not launched"
        )
