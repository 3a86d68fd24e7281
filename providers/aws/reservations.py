"""The Capacity Reservations and Capacity Blocks that a launch names: their zone, places, begin and end, asked of EC2.

EC2 is asked by `ec2:DescribeCapacityReservations`. Where the caller may not, a launch continues without the answer:
EC2 refuses what does not fit.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from accel_scaling import timeouts
from accel_scaling.catalog.capacity_types import sold_as
from accel_scaling.providers.aws.cloud import CLOUD
from accel_scaling.providers.aws.errors import NOT_ALLOWED, code_of
from accel_scaling.providers.base.known_reservations import KnownReservations

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

PERMISSION = "ec2:DescribeCapacityReservations"

# CapacityReservation.State in EC2's API reference. Not in these: active, and pending, which may be usable already.
OVER = frozenset({"expired", "cancelled", "cancelling", "failed", "payment-failed", "unsupported"})
LATER = frozenset({"scheduled", "payment-pending", "assessing", "delayed", "unavailable"})


@dataclass(frozen=True)
class Reservation:
    """One reservation or block, as EC2 describes it.

    Attributes:
        id: such as ``cr-0123456789abcdef0``.
        zone: where its machines are.
        machine_type: of its machines.
        state: EC2's word.
        total: how many machines have a place in it.
        free: how many more can be launched into it.
        begins_s: from when it can be used, in Unix seconds; 0 where EC2 does not say.
        ends_s: when EC2 begins to end its machines, in Unix seconds; None where it does not end them.
        is_block: it is a Capacity Block.
        is_interruptible: its owner may take its machines back.
        lender: the reservation of its owner, of which it is a part; empty for none.
        placement_group: in which its owner has created it; empty for none, and where its owner does not share that.
        lends: of how many machines another, interruptible reservation is to consist that has its places from this one;
            None where it lends none.
    """

    id: str
    zone: str
    machine_type: str
    state: str
    total: int
    free: int
    begins_s: float = 0.0
    ends_s: float | None = None
    is_block: bool = False
    is_interruptible: bool = False
    lender: str = ""
    placement_group: str = ""
    lends: int | None = None

    @property
    def title(self) -> str:
        """What it is, and its id: for messages."""
        return f"the capacity block {self.id}" if self.is_block else f"the reservation {self.id}"

    def has_begun(self, now_s: float) -> bool:
        """Return whether it can be used already, as far as EC2 says."""
        return self.state not in LATER or 0 < self.begins_s <= now_s


def read(described: dict[str, Any]) -> Reservation:
    """Return a reservation from EC2's answer."""
    block, begin, end = described.get("ReservationType") == "capacity-block", "StartDate", described.get("EndDate")
    # Machines in any other reservation run on after its end, on demand.
    ends_s = end.timestamp() - _ends_before_s(str(described.get("InstanceType") or "")) if block and end else None
    allocation, target = described.get("InterruptibleCapacityAllocation") or {}, "TargetInstanceCount"
    return Reservation(
        str(described["CapacityReservationId"]),
        str(described.get("AvailabilityZone") or ""),
        str(described.get("InstanceType") or ""),
        str(described.get("State") or ""),
        int(described.get("TotalInstanceCount") or 0),
        int(described.get("AvailableInstanceCount") or 0),
        described[begin].timestamp() if described.get(begin) else 0.0,
        ends_s,
        is_block=block,
        is_interruptible=bool(described.get("Interruptible")),
        lender=str((described.get("InterruptionInfo") or {}).get("SourceCapacityReservationId") or ""),
        # arn:aws:ec2:us-west-2:123456789012:placement-group/NAME
        placement_group=str(described.get("PlacementGroupArn") or "").rpartition("/")[2],
        lends=int(allocation[target]) if target in allocation else None,
    )


def _ends_before_s(instance_type: str) -> float:
    row = sold_as(CLOUD.name, instance_type)
    return row.block_end_min * 60.0 if row and row.block_end_min else timeouts.AWS_BLOCK_ENDS_BEFORE_S


class Reservations(KnownReservations[str, Reservation]):
    """What EC2 says of reservations, by their ids.

    Args:
        client: boto3's EC2 client.
        clock: Unix seconds.
    """

    def __init__(self, client: Any, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self._client = client
        self._not_allowed_until_s = 0.0
        self._said = False

    def ask(self, name: str) -> Reservation | None:
        """Ask EC2 for a reservation; None where it does not say."""
        if self._clock() < self._not_allowed_until_s:
            return None
        try:
            answer = self._client.describe_capacity_reservations(CapacityReservationIds=[name])
            return next((read(one) for one in answer["CapacityReservations"]), None)
        except ClientError as error:
            if code_of(error) in NOT_ALLOWED:
                self._not_allowed_until_s = self._clock() + timeouts.NOT_ALLOWED_S
                if not self._said:
                    self._said = True
                    logger.warning(
                        "the head's role lacks %s: launches into reservations continue without knowing their zone, "
                        "their free places, and when they begin and end",
                        PERMISSION,
                    )
            # A wrong id is the launch's to say, which EC2 refuses with the same words.
            return None
        except Exception as error:  # noqa: BLE001 - no answer; the launch meets the same network
            logger.warning("it is not known what %s has: %s", name, error)
            return None
