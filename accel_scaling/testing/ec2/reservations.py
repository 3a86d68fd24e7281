"""Capacity Reservations of the local EC2: what DescribeCapacityReservations says, and where a launch gets its machines.

No moto here. The rules, each with its source (UserGuide: docs.aws.amazon.com/AWSEC2/latest/UserGuide/):

- A launch that targets a reservation by its id gets a place in it or fails (capacity-reservations-launch.html). The
  sentence of ReservationCapacityExceeded: github.com/hashicorp/terraform-provider-aws/pull/35745.
- One that targets a resource group, and finds no place in it, runs on demand (create-cr-group.html); with the
  preference ``capacity-reservations-only`` it fails. Both together may be asked for with this preference alone
  (APIReference/API_CapacityReservationSpecification.html).
- A launch that says nothing takes places of open reservations first; ``none`` takes none (the same page).
- A reservation that was created in a cluster placement group takes launches into this group, and those that name none
  (cr-cpg.html).
- A place is free again when its machine is gone, not while it shuts down (capacity-blocks-launch.html).
- A Capacity Block takes launches with the market type ``capacity-block`` alone; another one is refused with the
  sentence of github.com/terraform-aws-modules/terraform-aws-ec2-instance/pull/404. Until it begins, the code is
  InvalidCapacityReservationState.PendingActivation (APIReference/errors-overview.html); when it is full, EC2 has
  insufficient capacity (ec2-fleet-launch-instances-capacity-blocks-walkthrough.html). Its machines end
  from 30 minutes before its EndDate on (capacity-blocks-using.html).
- No placement group with a Capacity Block (github.com/aws/aws-parallelcluster/pull/6311): the code and the sentence of
  this refusal are made up, as nobody has written them down.
- Machines in any other reservation run on after its end (APIReference/API_CancelCapacityReservation.html); those of an
  interruptible one end; ``interruptible.py`` has more of these.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from accel_scaling.testing.ec2.interruptible import is_taken_back
from accel_scaling.testing.reservations import ReservationKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from accel_scaling.testing.reservations import Reservation

BLOCK_TERMINATION_S, ULTRASERVER_TERMINATION_S = 1800.0, 3600.0
"""EC2 begins to end a block's machines so long before the EndDate that it describes (ec2-capacity-blocks.html)."""

BLOCK, INTERRUPTIBLE, SPOT, ON_DEMAND = "capacity-block", "interruptible-capacity-reservation", "spot", "on-demand"
_MARKETS = {ReservationKind.BLOCK: BLOCK, ReservationKind.INTERRUPTIBLE: INTERRUPTIBLE}
_ONLY, _NONE = "capacity-reservations-only", "none"

_EXCEEDED = "The requested reservation does not have sufficient compatible and available capacity for this request."
_MARKET = "The market type (purchasing) option is not valid. Choose a different market type and try again."
_COMBINATION = "CapacityReservationTarget cannot be specified with this CapacityReservationPreference or market type."
_PLACEMENT = "A placement group cannot be specified for a launch into a Capacity Block."


class RefusedError(Exception):
    """What EC2 answers instead of machines: its error code, and its sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code, self.message = code, message


_NOT_ACTIVE = RefusedError(
    "InvalidCapacityReservationState.PendingActivation", "Your Capacity Block is not active yet."
)


_UNAVAILABLE = RefusedError(
    "InvalidCapacityReservationState.Unavailable", "The interruptible Capacity Reservation is not available."
)


@dataclass(frozen=True)
class Wanted:
    """What a launch asks for, as far as capacity is concerned.

    Attributes:
        instance_type: of the machines.
        zone: where they shall be.
        market: the MarketType; empty where nothing is written.
        target: the id of a reservation; empty for none.
        group: the ARN of a resource group of reservations; empty for none.
        preference: the CapacityReservationPreference; empty where nothing is written.
        placement_group: its name; empty for none.
    """

    instance_type: str
    zone: str
    market: str = ""
    target: str = ""
    group: str = ""
    preference: str = ""
    placement_group: str = ""

    @property
    def pool(self) -> str:
        """The pool for machines that no reservation has."""
        return SPOT if self.market == SPOT else ON_DEMAND


@dataclass(frozen=True)
class Places:
    """Where the machines of a launch may come from.

    Attributes:
        reserved: reservation and its free places, in the order in which they are taken.
        otherwise: those that fit into none are launched without one.
        refusal: what EC2 answers where there is no place at all.
    """

    reserved: tuple[tuple[Reservation, int], ...] = ()
    otherwise: bool = True
    refusal: RefusedError | None = None

    @property
    def free(self) -> int:
        """How many machines fit into its reservations."""
        return sum(free for _, free in self.reserved)


def capacity_word(reservation: Reservation | None, pool: str) -> str:
    """Return how a machine is bought, as the events have it: ``reserved cr-1``, ``block cr-1``, or the pool."""
    if reservation is None:
        return pool
    return f"{'block' if reservation.kind is ReservationKind.BLOCK else 'reserved'} {reservation.name}"


def places_for(
    wanted: Wanted, reservations: Sequence[Reservation], used: Callable[[Reservation], int], now_s: float
) -> Places:
    """Return where a launch gets its machines.

    Args:
        wanted: what it asks for.
        reservations: all of the account.
        used: how many machines are in one.
        now_s: Unix time.

    Raises:
        RefusedError: what it asks for contradicts itself, or there is no such reservation.
    """
    _check(wanted)

    def free(one: Reservation) -> int:
        return max(0, one.count - used(one)) if _takes(one, wanted, now_s) else 0

    def places(chosen: Iterable[Reservation], *, otherwise: bool, refusal: RefusedError | None) -> Places:
        return Places(tuple((one, free(one)) for one in chosen if free(one)), otherwise, refusal)

    exceeded = RefusedError("ReservationCapacityExceeded", _EXCEEDED)
    if wanted.target:
        target = _named(wanted.target, reservations)
        if _MARKETS.get(target.kind or ReservationKind.TARGETED, "") != wanted.market.replace(ON_DEMAND, ""):
            raise RefusedError("InvalidParameterValue", _MARKET)
        refusal = exceeded
        if target.kind is ReservationKind.BLOCK:
            refusal = insufficient(wanted.instance_type) if target.has_begun(now_s) else _NOT_ACTIVE
        if is_taken_back(target, now_s):
            return Places(otherwise=False, refusal=_UNAVAILABLE)
        return places([target], otherwise=False, refusal=refusal)
    if wanted.group:
        inside = [one for one in reservations if _is_in(one, wanted.group)]
        only = wanted.preference == _ONLY or wanted.market in (BLOCK, INTERRUPTIBLE)
        return places(inside, otherwise=not only, refusal=exceeded if only else None)
    if wanted.market == SPOT or wanted.preference == _NONE:
        return Places()
    is_open = [one for one in reservations if one.kind is ReservationKind.OPEN]
    only = wanted.preference == _ONLY
    return places(is_open, otherwise=not only, refusal=exceeded if only else None)


def _check(wanted: Wanted) -> None:
    if wanted.market not in ("", SPOT, ON_DEMAND, BLOCK, INTERRUPTIBLE):
        raise RefusedError("InvalidParameterValue", _MARKET)
    targeted = bool(wanted.target or wanted.group)
    if wanted.market in (BLOCK, INTERRUPTIBLE) and not targeted:
        raise RefusedError("InvalidParameterValue", _MARKET)
    if targeted and (wanted.preference not in ("", _ONLY) or wanted.market == SPOT):
        raise RefusedError("InvalidParameterCombination", _COMBINATION)
    if wanted.market == SPOT and wanted.preference == _ONLY:
        raise RefusedError("InvalidParameterCombination", _COMBINATION)
    if wanted.market == BLOCK and wanted.placement_group:
        raise RefusedError("InvalidParameterCombination", _PLACEMENT)


def _named(name: str, reservations: Sequence[Reservation]) -> Reservation:
    if not name.startswith("cr-"):
        raise RefusedError("InvalidCapacityReservationId.Malformed", f'Invalid id: "{name}" (expecting "cr-...")')
    for one in reservations:
        if one.name == name:
            return one
    raise RefusedError(
        "InvalidCapacityReservationId.NotFound", f"The specified Capacity Reservation ID '{name}' does not exist."
    )


def insufficient(instance_type: str) -> RefusedError:
    """Return what EC2 answers where it has no machine of a type."""
    text = f"We currently do not have sufficient {instance_type} capacity in the Availability Zone you requested."
    return RefusedError("InsufficientInstanceCapacity", text)


def _is_in(one: Reservation, arn: str) -> bool:
    # A rehearsal may name a group by the last part of its ARN alone.
    return bool(one.group) and one.group in (arn, arn.rpartition("/")[2])


def _takes(one: Reservation, wanted: Wanted, now_s: float) -> bool:
    fits = (one.machine_type, one.zone) == (wanted.instance_type, wanted.zone)
    same = _MARKETS.get(one.kind or ReservationKind.TARGETED, "") == wanted.market.replace(ON_DEMAND, "")
    near = not one.placement_group or wanted.placement_group in ("", one.placement_group)
    return fits and same and near and one.has_begun(now_s) and not one.has_ended(now_s)


def described(one: Reservation, used: int, now_s: float, *, zone_id: str, account: str, region: str) -> dict[str, Any]:
    """Return what DescribeCapacityReservations says of a reservation, as botocore's model has it."""
    block = one.kind is ReservationKind.BLOCK
    owner = one.owner or account
    in_ultraserver = one.machine_type.startswith(("trn2u.", "p6e-"))
    before_s = 0.0 if not block else ULTRASERVER_TERMINATION_S if in_ultraserver else BLOCK_TERMINATION_S
    end_s = one.ends_at_s if one.ends_at_s is None else one.ends_at_s + before_s
    state = "scheduled" if not one.has_begun(now_s) else "active" if end_s is None or now_s < end_s else "expired"
    facts = {
        "CapacityReservationId": one.name,
        "OwnerId": owner,
        "CapacityReservationArn": f"arn:aws:ec2:{region}:{owner}:capacity-reservation/{one.name}",
        "AvailabilityZone": one.zone,
        "AvailabilityZoneId": zone_id,
        "InstanceType": one.machine_type,
        "InstancePlatform": "Linux/UNIX",
        "Tenancy": "default",
        "TotalInstanceCount": one.count,
        "AvailableInstanceCount": max(0, one.count - used) if state == "active" else 0,
        "State": state,
        "StartDate": _iso(one.begins_at_s),
        "CreateDate": _iso(one.since_s),
        "EndDateType": "unlimited" if end_s is None else "limited",
        "InstanceMatchCriteria": "open" if one.kind is ReservationKind.OPEN else "targeted",
        "ReservationType": BLOCK if block else "default",
        "Interruptible": one.kind is ReservationKind.INTERRUPTIBLE,
    }
    if one.placement_group:
        facts["PlacementGroupArn"] = f"arn:aws:ec2:{region}:{owner}:placement-group/{one.placement_group}"
    return facts if end_s is None else {**facts, "EndDate": _iso(end_s)}


_FILTERS = {
    "availability-zone": "AvailabilityZone",
    "instance-match-criteria": "InstanceMatchCriteria",
    "instance-type": "InstanceType",
    "owner-id": "OwnerId",
    "state": "State",
}


def matching(rows: Iterable[dict[str, Any]], filters: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """Return the described reservations that pass all filters.

    Raises:
        RefusedError: EC2 has a filter of this name, or has none; this cloud does not.
    """
    if unknown := [name for name in filters if name not in _FILTERS]:
        raise RefusedError("InvalidParameterValue", f"The filter '{unknown[0]}' is invalid")
    return [row for row in rows if all(row[_FILTERS[name]] in values for name, values in filters.items())]


def _iso(unix_s: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(unix_s))
