"""Launches into reservations of EC2: what a request names, and when EC2 could only refuse it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accel_scaling.catalog.launch_errors import Category, Failure
from accel_scaling.cluster.capacity import CapacityType
from accel_scaling.message_text import utc
from accel_scaling.providers.aws.capacity import INTERRUPTIBLE, capacity_type_of, reservation_in, with_market
from accel_scaling.providers.aws.placement import without_ours
from accel_scaling.providers.aws.reservations import OVER
from accel_scaling.providers.base import reserved_launch
from accel_scaling.providers.base.zone_launch import NotYet

if TYPE_CHECKING:
    from accel_scaling.providers.aws.reservations import Reservation
    from accel_scaling.providers.base.capacity_launch import Offer


class ReservedLaunches(reserved_launch.ReservedLaunches):
    """Shapes launches by what EC2 says of reservations and blocks."""

    def name_in(self, way: Offer) -> str | None:
        """Return the id of the reservation that a way to launch names; None where it names none, or a group."""
        return reservation_in(way.node_config) or None

    def is_reserved(self, way: Offer) -> bool:
        """Return whether a way to launch takes places of reservations, named or not."""
        return capacity_type_of(way.node_config) in (CapacityType.RESERVED, CapacityType.BLOCK)

    def node_config(self, way: Offer) -> dict[str, Any]:
        """Return the node_config to launch with: an interruptible reservation has a market of its own.

        A reservation that was created in a placement group takes no launch into another group; without one, its
        machines are in its group ("Use Capacity Reservations with cluster placement groups").
        """
        known, node_config = self.known_of(way), way.node_config
        if known is not None and known.placement_group:
            node_config = without_ours(node_config)
        interruptible = known is not None and known.is_interruptible
        return with_market(node_config, INTERRUPTIBLE) if interruptible else node_config

    def refusal(self, known: Reservation, way: Offer) -> Failure | None:
        """Return why EC2 launches no machine into a reservation now; None where it may."""
        now_s = self._clock()
        if known.state in OVER:
            return Failure(Category.CAPACITY, "ReservationOver", f"{known.title} is {known.state}")
        if known.zone and way.zone not in ("", known.zone):
            text = f"{known.title} is in {known.zone}, where this node type has no subnet"
            # Not a wrong request: where its zone was not known before, the next place may be in it.
            return Failure(Category.NOT_OFFERED, "ReservationInOtherZone", text)
        if not known.has_begun(now_s):
            text = f"{known.title} begins at {utc(known.begins_s)}"
            if known.begins_s <= now_s:
                return self.again("ReservationNotBegun", f"{known.title} is {known.state}")
            return NotYet(Category.CAPACITY, "ReservationNotBegun", text, until_s=known.begins_s)
        if known.ends_s is not None and self.ends_soon(known.ends_s):
            text = f"EC2 ends the machines of {known.title} from {utc(known.ends_s)} on: too soon for a new one"
            return Failure(Category.CAPACITY, "BlockEnds", text)
        return None
