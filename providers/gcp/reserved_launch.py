"""Launches into reservations: what Google says of them shapes the request, and says when to ask again.

A place in a reservation is paid for whether it is used or not. So a reservation that is full, or has not begun, is no
sold-out machine, for which the waits double: it is asked again at its begin, or after a minute.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from accel_scaling import timeouts
from accel_scaling.catalog.launch_errors import Category, Failure
from accel_scaling.providers.base.zone_launch import NotYet
from accel_scaling.providers.gcp.capacity import reservation_in
from accel_scaling.providers.gcp.reservations import MISSING, utc

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from accel_scaling.providers.base.capacity_launch import Offer
    from accel_scaling.providers.gcp.reservations import Reservation, Reservations


@dataclass(frozen=True)
class Shaped:
    """A launch as a reservation lets it be.

    Attributes:
        count: how many machines to ask for; 0 where Google need not be asked.
        failure: why these are fewer than wanted; None where they are all.
    """

    count: int
    failure: Failure | None = None


class ReservedLaunches:
    """Shapes launches by what is known of reservations.

    Args:
        reservations: what Google says of them.
        clock: Unix seconds.
        drain_s: returns for how long a machine is drained before the end of its reservation.
    """

    def __init__(self, reservations: Reservations, clock: Callable[[], float], drain_s: Callable[[], float]) -> None:
        self.reservations, self._clock, self._drain_s = reservations, clock, drain_s

    def in_their_zones(self, ways: Mapping[str, Offer]) -> list[str]:
        """Return the places of all ways to launch but those into a reservation of another zone; each keeps one."""
        zones = {place: self._zone_of(way) for place, way in ways.items()}
        kept = {place for place, way in ways.items() if zones[place] in ("", way.zone)}
        there = {reservation_in(ways[place].node_config) for place in kept}
        for place, way in ways.items():
            # The cluster does not have the reservation's zone: one place says so.
            if (name := reservation_in(way.node_config)) not in there:
                there.add(name)
                kept.add(place)
        return [place for place in ways if place in kept]

    def shaped(self, way: Offer, count: int) -> Shaped:
        """Return a launch as its reservation lets it be; as it is, where nothing is known of one."""
        name = reservation_in(way.node_config)
        known = self.reservations.of(name) if name else None
        if known is None or known.state == MISSING:
            return Shaped(count)
        if failure := self._refusal(known, way):
            return Shaped(0, failure)
        if known.free >= count:
            return Shaped(count)
        text = f"{known} has {known.free} free of {known.total} places"
        return Shaped(known.free, self._again("ReservationInUse", text))

    def judged(self, way: Offer, failure: Failure | None) -> Failure | None:
        """Return what a failure of a launch means; whatever it is, the reservation has other free places now."""
        name = reservation_in(way.node_config)
        if name is None:
            return failure
        self.reservations.used(name)
        if failure is None or isinstance(failure, NotYet) or failure.category is not Category.CAPACITY:
            return failure
        return self._again(failure.code, failure.message)

    def _zone_of(self, way: Offer) -> str:
        name = reservation_in(way.node_config)
        return self.reservations.zone_of(name) if name else ""

    def _refusal(self, known: Reservation, way: Offer) -> Failure | None:
        now_s = self._clock()
        if known.zone and way.zone != known.zone:
            text = f"{known} is in {known.zone}, which provider.availability_zone does not have"
            return Failure(Category.BAD_REQUEST, "ReservationInOtherZone", text)
        if known.begins_s > now_s:
            text = f"{known} begins at {utc(known.begins_s)}"
            return NotYet(Category.CAPACITY, "ReservationNotBegun", text, until_s=known.begins_s)
        if not known.is_ready:
            return self._again("ReservationNotBegun", f"{known} is {known.state}")
        if known.ends_s is not None and now_s > known.ends_s - self._drain_s() - timeouts.GCP_BLOCK_LEAST_S:
            text = f"Google ends the machines of {known} at {utc(known.ends_s)}: too soon for a new one"
            return Failure(Category.CAPACITY, "BlockEnds", text)
        return None

    def _again(self, code: str, message: str) -> NotYet:
        until_s = self._clock() + timeouts.GCP_RESERVATION_AGAIN_S
        return NotYet(Category.CAPACITY, code, message, until_s=until_s)
