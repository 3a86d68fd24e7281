"""The capacity types of EC2 in a RunInstances request: one entry of `provider.capacity`, written into a node_config.

Sources: docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CapacityReservationSpecification.html, and the EC2 User
Guide, "Launch instances into an existing Capacity Reservation" and "Launch instances using Capacity Blocks".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from accel_scaling.cluster.capacity import CapacityType
from accel_scaling.errors import ClusterConfigError

if TYPE_CHECKING:
    from accel_scaling.cluster.capacity import CapacityEntry

MARKET, SPECIFICATION = "InstanceMarketOptions", "CapacityReservationSpecification"
"""The keys of a node_config that say how its machines are bought."""

SPOT, BLOCK, INTERRUPTIBLE = "spot", "capacity-block", "interruptible-capacity-reservation"
"""Values of MarketType."""

OUR_GROUPS = "accel-scaling-"
"""The beginning of the names of placement groups that `ray up` makes."""

_PREFERENCE, _TARGET = "CapacityReservationPreference", "CapacityReservationTarget"
_ID, _GROUP = "CapacityReservationId", "CapacityReservationResourceGroupArn"
_ONLY = "capacity-reservations-only"
_RESERVATION = re.compile(r"cr-[0-9a-z]+")
_GROUP_ARN = re.compile(r"arn:[a-z-]+:resource-groups:[a-z0-9-]*:[0-9]*:group/.+")


def with_capacity(key: str, node_config: dict[str, Any], entry: CapacityEntry) -> dict[str, Any]:
    """Return the node_config with what buys its machines in one way.

    Args:
        key: the order's place in the cluster file, for the error.
        node_config: a node type's, which does not say itself how its machines are bought.
        entry: the way.

    Raises:
        ClusterConfigError: EC2 does not sell so, or the node_config says so itself.
    """
    _check(key, node_config, entry)
    if entry.type is CapacityType.ON_DEMAND:
        return node_config
    if entry.type is CapacityType.SPOT:
        return {**node_config, MARKET: {"MarketType": SPOT}}
    if entry.type is CapacityType.BLOCK:
        # EC2 buys nothing else with this market type, and documents no preference beside it ("Launch instances into
        # Capacity Reservations in a group").
        target = _targeting(entry.name)[_TARGET]
        return {**node_config, MARKET: {"MarketType": BLOCK}, SPECIFICATION: {_TARGET: target}}
    # Without its name, each open reservation; with this preference EC2 buys nothing on demand where they are full.
    specification = _targeting(entry.name) if entry.name else {_PREFERENCE: _ONLY}
    return {**node_config, SPECIFICATION: specification}


def with_market(node_config: dict[str, Any], market: str) -> dict[str, Any]:
    """Return a node_config for another MarketType."""
    return {**node_config, MARKET: {**(node_config.get(MARKET) or {}), "MarketType": market}}


def capacity_type_of(node_config: dict[str, Any]) -> CapacityType:
    """Return how a node_config buys its machines; one that may fall back to on-demand machines counts as these."""
    market = _mapping(node_config, MARKET).get("MarketType")
    if market == SPOT:
        return CapacityType.SPOT
    if market == BLOCK:
        return CapacityType.BLOCK
    specification = _mapping(node_config, SPECIFICATION)
    only = specification.get(_PREFERENCE) == _ONLY
    if market == INTERRUPTIBLE or only or reservation_in(node_config):
        return CapacityType.RESERVED
    return CapacityType.ON_DEMAND


def reservation_in(node_config: dict[str, Any]) -> str:
    """Return the id of the reservation or block that a node_config names; empty where it names none, or a group."""
    return str(_mapping(_mapping(node_config, SPECIFICATION), _TARGET).get(_ID) or "")


def group_in(node_config: dict[str, Any]) -> str:
    """Return the ARN of the resource group of reservations that a node_config names; empty where it names none."""
    return str(_mapping(_mapping(node_config, SPECIFICATION), _TARGET).get(_GROUP) or "")


def _check(key: str, node_config: dict[str, Any], entry: CapacityEntry) -> None:
    for name in (MARKET, SPECIFICATION):
        if node_config.get(name):
            raise ClusterConfigError(
                f"{key} and {name} in its node_config both say how its machines are bought: remove one of them"
            )
    if entry.type is CapacityType.FLEX_START:
        raise ClusterConfigError(f"{key} has {entry.key}, which AWS does not sell so")
    if entry.wait_for_s is not None:
        raise ClusterConfigError(f"{key}: {entry.type.value} has wait_for, and AWS has no queue of requests: remove it")
    if entry.project:
        raise ClusterConfigError(
            f"{key}: {entry.type.value} has project, which is of Google Cloud: remove it; AWS finds cr-0123 without it"
        )
    if entry.name and not (_RESERVATION.fullmatch(entry.name) or _GROUP_ARN.fullmatch(entry.name)):
        raise ClusterConfigError(
            f"{key}: {entry.type.value} is {entry.name}: write the id of a reservation, such as cr-0123456789abcdef0, "
            "or the ARN of a resource group of reservations"
        )
    if entry.type is CapacityType.BLOCK:
        check_placement(key, node_config)


def check_placement(key: str, node_config: dict[str, Any]) -> None:
    """Refuse a placement group for the machines of a capacity block.

    Raises:
        ClusterConfigError: the node_config has one.
    """
    group = _mapping(node_config, "Placement")
    # The group of `provider.placement` is for the other entries: the launch leaves it out of a block's request.
    ours = str(group.get("GroupName") or "").startswith(OUR_GROUPS)
    if (group.get("GroupName") or group.get("GroupId")) and not ours:
        raise ClusterConfigError(
            f"{key} buys machines of a capacity block, and its node_config has a placement group, which EC2 does not "
            "take with one: remove Placement.GroupName; EC2 places the machines of a block close together"
        )


def _targeting(name: str) -> dict[str, Any]:
    if name.startswith("arn:"):
        # Without it EC2 launches on demand where the group is full ("Work with Capacity Reservation groups").
        return {_PREFERENCE: _ONLY, _TARGET: {_GROUP: name}}
    return {_TARGET: {_ID: name}}


def _mapping(given: dict[str, Any], key: str) -> dict[str, Any]:
    value = given.get(key)
    return value if isinstance(value, dict) else {}
