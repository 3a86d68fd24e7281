"""Launches into reservations of Google Cloud: what a request names, and when Google could only refuse it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accel_scaling.catalog.launch_errors import Category, Failure
from accel_scaling.message_text import utc
from accel_scaling.providers.base import reserved_launch
from accel_scaling.providers.base.zone_launch import NotYet
from accel_scaling.providers.gcp import placement
from accel_scaling.providers.gcp.capacity import reservation_in
from accel_scaling.providers.gcp.reservations import MISSING

if TYPE_CHECKING:
    from collections.abc import Callable

    from accel_scaling.providers.base.capacity_launch import Offer
    from accel_scaling.providers.gcp.capacity import ReservationName
    from accel_scaling.providers.gcp.reservations import Reservation, Reservations


class ReservedLaunches(reserved_launch.ReservedLaunches):
    """Shapes launches by what Google says of reservations."""

    def __init__(self, reservations: Reservations, clock: Callable[[], float], drain_s: Callable[[], float]) -> None:
        super().__init__(reservations, clock, drain_s)
        self.reservations = reservations

    def name_in(self, way: Offer) -> ReservationName | None:
        """Return the reservation that a way to launch names; None where it names none."""
        return reservation_in(way.node_config)

    def known_of(self, way: Offer) -> Reservation | None:
        """Return what is known of the reservation that a way to launch names; None for nothing."""
        known: Reservation | None = super().known_of(way)
        # Google refuses the launch, and says why.
        return None if known is None or known.state == MISSING else known

    def placed(self, way: Offer, body: dict[str, Any]) -> dict[str, Any]:
        """Return the body of a machine with the placement policy that its reservation takes.

        One that was made with a policy takes machines with this policy; one without it, unless Google has made it
        dense, takes machines without (GoogleCloudPlatform/cluster-toolkit, resume.py: update_reservation_props).
        """
        if self.name_in(way) is None:
            return body
        known = self.known_of(way)
        if known is not None and not known.policies and (known.is_dense or known.is_block):
            return body
        return placement.in_reservation(body, known.policies if known else ())

    def refusal(self, known: Reservation, way: Offer) -> Failure | None:
        """Return why Google launches no machine into a reservation now; None where it may."""
        if known.zone and way.zone != known.zone:
            text = f"{known.title} is in {known.zone}, which provider.availability_zone does not have"
            # Not a wrong request: where its zone was not known before, the next place may be in it.
            return Failure(Category.NOT_OFFERED, "ReservationInOtherZone", text)
        if known.begins_s > self._clock():
            text = f"{known.title} begins at {utc(known.begins_s)}"
            return NotYet(Category.CAPACITY, "ReservationNotBegun", text, until_s=known.begins_s)
        if not known.is_ready:
            return self.again("ReservationNotBegun", f"{known.title} is {known.state}")
        if known.ends_s is not None and self.ends_soon(known.ends_s):
            text = f"Google ends the machines of {known.title} at {utc(known.ends_s)}: too soon for a new one"
            return Failure(Category.CAPACITY, "BlockEnds", text)
        return None
