"""Interruptible Capacity Reservations of the local EC2, and the reservations of their owners that lend the places.

No moto here. Sources: the EC2 User Guide, "Interruptible Capacity Reservations for capacity owners"
(capacity-owner-procedures.html), and the shapes of CapacityReservation in EC2's API.

- The owner takes machines back by a lower count. Two minutes later EC2 terminates them. Until then, the lender shows
  the count that there is to be, with the status ``updating``; the machines' own metadata has no notice.
- It has no end date. When it has no places any more, its state is ``cancelled`` (aws/karpenter-provider-aws,
  test/pkg/environment/aws/expectations.go). Within the two minutes, its state is not documented: here ``active``.
- A launch within the two minutes is refused with the code InvalidCapacityReservationState.Unavailable
  (aws/karpenter-provider-aws, which counts it as missing capacity); the sentence is made up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accel_scaling.testing.reservations import ReservationKind

if TYPE_CHECKING:
    from accel_scaling.testing.reservations import Reservation

TAKEN_BACK_S = 120.0
"""EC2 terminates the machines of an interruptible reservation so long after its owner has taken it back."""


def is_taken_back(one: Reservation, now_s: float) -> bool:
    """Return whether the owner of an interruptible reservation has taken it back; its machines may still run."""
    ends_s = one.ends_at_s if one.kind is ReservationKind.INTERRUPTIBLE else None
    return ends_s is not None and now_s >= ends_s - TAKEN_BACK_S


def with_lender(one: Reservation, row: dict[str, Any], now_s: float) -> list[dict[str, Any]]:
    """Return what EC2 says of an interruptible reservation, and of its lender where the caller may see that.

    Args:
        one: any reservation; of another kind, its row is returned as it is.
        row: what EC2 says of it.
        now_s: Unix time.
    """
    if one.kind is not ReservationKind.INTERRUPTIBLE:
        return [row]
    back, over = is_taken_back(one, now_s), one.has_ended(now_s)
    lender = f"{one.name}0lender"
    mine = {key: value for key, value in row.items() if key != "EndDate"}
    mine |= {
        "State": "cancelled" if over else "active",
        "AvailableInstanceCount": 0 if back else row["AvailableInstanceCount"],
        "EndDateType": "unlimited",
        "InterruptionInfo": {"SourceCapacityReservationId": lender, "InterruptionType": "adhoc"},
    }
    # It is shared with the caller; that does not share its lender.
    if one.owner:
        return [mine]
    allocation = {
        "InstanceCount": 0 if over else one.count,
        "TargetInstanceCount": 0 if back else one.count,
        "Status": "canceled" if over else "updating" if back else "active",
        "InterruptibleCapacityReservationId": one.name,
        "InterruptionType": "adhoc",
    }
    of_owner = {
        "CapacityReservationId": lender,
        "CapacityReservationArn": f"{row['CapacityReservationArn']}0lender",
        "TotalInstanceCount": one.count if over else 0,
        "AvailableInstanceCount": one.count if over else 0,
        "State": "active",
        "Interruptible": False,
        "InterruptibleCapacityAllocation": allocation,
    }
    own = {key: value for key, value in mine.items() if key != "InterruptionInfo"}
    return [mine, {**own, **of_owner}]
