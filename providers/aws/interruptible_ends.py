"""The ends of machines of interruptible reservations, which their owner takes back with two minutes' warning.

EC2 sends the warning as an event of EventBridge, which a cluster does not receive, and documents no other. The
reservation that has lent the places shows it too, to accounts that may see that one: the count that its
``InterruptibleCapacityAllocation`` is to have. Which machines go where the owner takes back some, only the event says.
So machines are drained where it takes back all.

Sources: the EC2 User Guide, "Interruptible Capacity Reservations for capacity owners" (Reclamation process and
tracking) and "... for capacity consumers" (Interruption experience).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling import timeouts
from accel_scaling.providers.aws.block_ends import end_of
from accel_scaling.providers.aws.capacity import INTERRUPTIBLE
from accel_scaling.providers.aws.subnet_zones import described_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from accel_scaling.providers.aws.reservations import Reservation, Reservations
    from accel_scaling.providers.base.known_ends import KnownEnd


class InterruptibleEnds:
    """Finds out which interruptible reservations their owners take back.

    Args:
        reservations: what EC2 says of them.
        clock: Unix seconds.
    """

    def __init__(self, reservations: Reservations, clock: Callable[[], float]) -> None:
        self._reservations, self._clock = reservations, clock
        self._ends_s: dict[str, float] = {}  # of reservations that are taken back
        self._hidden_until_s: dict[str, float] = {}  # lenders that another account does not show

    def of(self, machines: Iterable[Any]) -> Iterator[KnownEnd]:
        """Yield the ends of machines whose reservation is taken back as a whole.

        Args:
            machines: instances of boto3, as EC2 has listed them.
        """
        by_name: dict[str, list[Any]] = {}
        for machine in machines:
            described = described_in(machine)
            name = described.get("CapacityReservationId")
            if name and described.get("InstanceLifecycle") == INTERRUPTIBLE:
                by_name.setdefault(name, []).append(machine)
        for name, inside in by_name.items():
            if (ends_s := self._end_of(name)) is not None:
                message = f"the owner of the reservation {name} takes its machines back"
                yield from (end_of(machine, ends_s, "taken back", message) for machine in inside)

    def _end_of(self, name: str) -> float | None:
        """Return when EC2 ends the machines of a reservation; None where nothing says that it does."""
        lender = self._lender_of(name)
        if lender is not None and lender.lends == 0:
            # The owner may have done so just after the last look.
            soonest_s = self._clock() + timeouts.AWS_TAKEN_BACK_S - timeouts.AWS_LENDER_LOOK_S
            return self._ends_s.setdefault(name, soonest_s)
        if lender is not None:
            self._ends_s.pop(name, None)
        # Without an answer, what was seen stays: the two minutes run.
        return self._ends_s.get(name)

    def _lender_of(self, name: str) -> Reservation | None:
        known = self._reservations.last(name) or self._reservations.of(name)
        lender = known.lender if known else ""
        if not lender or self._clock() < self._hidden_until_s.get(lender, 0.0):
            return None
        found = self._reservations.of(lender, timeouts.AWS_LENDER_LOOK_S)
        if found is None and self._reservations.last(lender) is None:
            self._hidden_until_s[lender] = self._clock() + timeouts.NOT_ALLOWED_S
        return found
