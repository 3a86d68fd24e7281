"""Questions about the reservations and capacity blocks that a cluster file names, before the head is paid for.

A reservation that no launch could use is refused. Where the account may not ask, `ray up` continues, with a note.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import botocore.exceptions

from accel_scaling import _ray, timeouts
from accel_scaling.cluster import machine_lists
from accel_scaling.cluster.capacity import CAPACITY, CapacityType
from accel_scaling.cluster.cluster import with_capacity
from accel_scaling.cluster.policies import watcher_policy
from accel_scaling.errors import ClusterConfigError
from accel_scaling.message_text import listed, utc
from accel_scaling.providers.aws.account_checks import texts, zones_of
from accel_scaling.providers.aws.capacity import BLOCK, MARKET, SPECIFICATION, capacity_type_of, reservation_in
from accel_scaling.providers.aws.client import quickly
from accel_scaling.providers.aws.errors import NOT_ALLOWED, code_of, one_sentence
from accel_scaling.providers.aws.reservations import OVER, PERMISSION, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from accel_scaling.cluster.cluster import Cluster, NodeType
    from accel_scaling.providers.aws.reservations import Reservation


class _NotAllowedError(Exception):
    """This account may not ask about reservations."""


@dataclass(frozen=True)
class _Named:
    """A reservation that a node type names.

    Attributes:
        key: where in the cluster file.
        id: of the reservation.
        node_type: which names it.
        is_block: it is named as a capacity block.
        by_hand: in the node_config, and not by an order.
        is_last: no other capacity type follows it.
    """

    key: str
    id: str
    node_type: NodeType
    is_block: bool
    by_hand: bool
    is_last: bool


def check_reservations(cluster: Cluster, config: dict[str, Any], clock: Callable[[], float] = time.time) -> list[str]:
    """Refuse reservations that do not exist, are over, or do not fit their node type; return notes.

    Args:
        cluster: a cluster file, read.
        config: its config with ``SubnetIds`` in each node_config, as Ray has chosen them where the file names none.
        clock: Unix seconds.

    Raises:
        ClusterConfigError: names the key, and what the reservation is.
        AWSRefusedError: AWS cannot be asked.
    """
    # The other machines of a list have the reservations of their node type.
    types = [one for one in cluster.node_types.values() if not machine_lists.is_other(cluster.provider, one.name)]
    named = [one for node_type in types for one in _named(cluster, node_type)]
    if not named:
        return []
    client = _ray.ec2_client(cluster.provider["region"], quickly(cluster.provider.get("aws_credentials")))
    known: dict[str, Reservation | None] = {}
    notes: list[str] = []
    for one in named:
        if one.id not in known:
            try:
                known[one.id] = _asked(client, one, cluster.provider["region"])
            except _NotAllowedError:
                note = (
                    f"your AWS credentials lack the permission {PERMISSION}: it is not known whether {one.id} and other"
                )
                return [f"{note} reservations of the file exist, where they are, and when they begin and end"]
        found = known[one.id]
        if found is not None:
            subnets = texts(config["available_node_types"][one.node_type.name]["node_config"].get("SubnetIds"))
            zones = (zones_of(client, sorted(subnets)) or {}).values()
            _check(one, found, machine_lists.machine_names(cluster, one.node_type), list(dict.fromkeys(zones)))
            drain_s = watcher_policy(cluster.provider).of(one.node_type.name).drain_s
            _check_end(one, found, clock() + drain_s)
            notes += _notes(one, found, cluster, clock())
    return notes


def _named(cluster: Cluster, node_type: NodeType) -> Iterator[_Named]:
    for entry in node_type.order:
        bought = with_capacity(cluster.cloud, node_type.name, node_type.node_config, entry)
        if name := reservation_in(bought):
            key = f"provider.{CAPACITY}.{node_type.name}"
            is_block, is_last = entry.type is CapacityType.BLOCK, entry is node_type.order[-1]
            yield _Named(key, name, node_type, is_block, by_hand=False, is_last=is_last)
    if not node_type.order and (name := reservation_in(node_type.node_config)):
        key, way = f"{node_type.location}.node_config.{SPECIFICATION}", capacity_type_of(node_type.node_config)
        yield _Named(key, name, node_type, way is CapacityType.BLOCK, by_hand=True, is_last=True)


def _asked(client: Any, one: _Named, region: str) -> Reservation | None:
    """Return what EC2 says of a reservation.

    Raises:
        _NotAllowedError: this account may not ask.
        ClusterConfigError: EC2 does not have it.
    """
    with one_sentence():
        try:
            answer = client.describe_capacity_reservations(CapacityReservationIds=[one.id])
        except botocore.exceptions.ClientError as error:
            code = code_of(error)
            if code in NOT_ALLOWED:
                raise _NotAllowedError from None
            if not code.startswith("InvalidCapacityReservationId"):
                raise
            raise ClusterConfigError(
                f"{one.key}: {one.id} does not exist in {region}, or belongs to an account that does not share it with "
                "yours; `aws ec2 describe-capacity-reservations` lists those that you have"
            ) from None
    return next((read(row) for row in answer["CapacityReservations"]), None)


def _check(one: _Named, found: Reservation, machines: list[str], zones: list[str]) -> None:
    if found.state in OVER:
        raise ClusterConfigError(f"{one.key}: {found.title} is {found.state}; remove it, or name another one")
    if found.is_block != one.is_block:
        raise ClusterConfigError(f"{one.key}: {_other_kind(one, found)}")
    if found.machine_type and found.machine_type not in machines:
        raise ClusterConfigError(
            f"{one.key}: {found.title} is for {found.machine_type}, and the machine of node type {one.node_type.name} "
            f"is a {listed(machines, 'or')}; name a reservation for that, or another InstanceType"
        )
    group = str((one.node_type.node_config.get("Placement") or {}).get("GroupName") or "")
    if found.placement_group and group and group != found.placement_group:
        raise ClusterConfigError(
            f"{one.key}: {found.title} was created in the placement group {found.placement_group}, and the node_config "
            f"of {one.node_type.name} has Placement.GroupName: {group}; write the group of the reservation, or none"
        )
    if found.zone and zones and found.zone not in zones:
        raise ClusterConfigError(
            f"{one.key}: {found.title} is in {found.zone}, and node type {one.node_type.name} has subnets in "
            f"{', '.join(zones)} only; add {found.zone} to provider.availability_zone, or a subnet there to SubnetIds"
        )


def _check_end(one: _Named, found: Reservation, drained_s: float) -> None:
    if found.ends_s is not None and drained_s > found.ends_s - timeouts.BLOCK_LEAST_S:
        raise ClusterConfigError(
            f"{one.key}: EC2 ends the machines of {found.title} from {utc(found.ends_s)} on, which is too soon for a "
            "new one; remove it, or name another one"
        )


def _other_kind(one: _Named, found: Reservation) -> str:
    if found.is_block:
        write = f"{MARKET}: {{MarketType: {BLOCK}}}" if one.by_hand else f"{{block: {found.id}}}"
        return f"{found.id} is a capacity block; write {write}"
    write = f"no {MARKET}: {{MarketType: {BLOCK}}}" if one.by_hand else f"{{reserved: {found.id}}}"
    return f"{found.id} is a reservation, and no capacity block; write {write}"


def _notes(one: _Named, found: Reservation, cluster: Cluster, now_s: float) -> Iterator[str]:
    if not found.has_begun(now_s) and found.begins_s:
        until = "no machine of it is launched before" if one.is_last else "until then, what follows it is launched"
        yield f"{one.key}: {found.title} begins at {utc(found.begins_s)}; {until}"
    most = cluster.config["available_node_types"][one.node_type.name].get("max_workers")
    alone = one.by_hand or len(one.node_type.order) == 1
    if alone and isinstance(most, int) and most > found.total > 0:
        yield (
            f"{one.key}: {found.title} has places for {found.total} machines, and max_workers of {one.node_type.name} "
            f"is {most}; more than {found.total} are not launched"
        )
