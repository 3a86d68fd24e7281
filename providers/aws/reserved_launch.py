"""Launches into reservations: what EC2 says of them shapes the request, and says when to ask again.

A place in a reservation is paid for whether it is used or not. So a reservation that is full, or has not begun, is no
sold-out machine, for which the waits double: it is asked again at its begin, or after a minute.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from accel_scaling import timeouts
from accel_scaling.catalog.launch_errors import Category, Failure
from accel_scaling.cluster.capacity import CapacityType
from accel_scaling.providers.aws.capacity import INTERRUPTIBLE, capacity_type_of, reservation_in, with_market
from accel_scaling.providers.aws.reservations import OVER, utc
from accel_scaling.providers.base.zone_launch import NotYet

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from accel_scaling.providers.aws.reservations import Reservation, Reservations
    from accel_scaling.providers.base.capacity_launch import Offer


@dataclass(frozen=True)
class Request:
    """A launch as a reservation lets it be.

    Attributes:
        node_config: to launch with.
        count: how many machines; 0 where EC2 need not be asked.
        failure: why these are fewer than wanted; None where they are all.
    """

    node_config: dict[str, Any]
    count: int
    failure: Failure | None = None


class ReservedLaunches:
    """Shapes launches by what is known of reservations.

    Args:
        reservations: what EC2 says of them.
        clock: Unix seconds.
        drain_s: for how long a machine is drained before the end of its block.
    """

    def __init__(self, reservations: Reservations, clock: Callable[[], float], drain_s: float) -> None:
        self._reservations, self._clock, self._drain_s = reservations, clock, drain_s

    def in_their_zones(self, ways: Mapping[str, Offer]) -> dict[str, Offer]:
        """Return the ways to launch without those into a reservation of another zone; each reservation keeps one."""
        zones = {place: self._zone_of(way) for place, way in ways.items()}
        kept = {place for place, way in ways.items() if not zones[place] or way.zone in ("", zones[place])}
        there = {reservation_in(ways[place].node_config) for place in kept}
        for place, way in ways.items():
            if (name := reservation_in(way.node_config)) not in there:
                # No subnet of the node type is in its zone: this one place says so.
                there.add(name)
                kept.add(place)
        return {place: way for place, way in ways.items() if place in kept}

    def shaped(self, way: Offer, count: int) -> Request:
        """Return a launch as its reservation lets it be; as it is, where nothing is known of one."""
        name = reservation_in(way.node_config)
        known = self._reservations.of(name) if name else None
        if known is None:
            return Request(way.node_config, count)
        if failure := self._refusal(known, way):
            return Request(way.node_config, 0, failure)
        node_config = with_market(way.node_config, INTERRUPTIBLE) if known.is_interruptible else way.node_config
        if known.free >= count:
            return Request(node_config, count)
        text = f"{known.name} has {known.free} free of {known.total} places"
        return Request(node_config, known.free, self._again("ReservationInUse", text))

    def judged(self, way: Offer, failure: Failure | None) -> Failure | None:
        """Return what a failure of a launch means; whatever it is, the reservation has other free places now."""
        if name := reservation_in(way.node_config):
            self._reservations.used(name)
        reserved = capacity_type_of(way.node_config) in (CapacityType.RESERVED, CapacityType.BLOCK)
        if failure is None or isinstance(failure, NotYet) or not reserved or failure.category is not Category.CAPACITY:
            return failure
        return self._again(failure.code, failure.message)

    def _zone_of(self, way: Offer) -> str:
        name = reservation_in(way.node_config)
        return self._reservations.zone_of(name) if name else ""

    def _refusal(self, known: Reservation, way: Offer) -> Failure | None:
        now_s = self._clock()
        if known.state in OVER:
            return Failure(Category.CAPACITY, "ReservationOver", f"{known.name} is {known.state}")
        if known.zone and way.zone not in ("", known.zone):
            text = f"{known.name} is in {known.zone}, where this node type has no subnet"
            return Failure(Category.BAD_REQUEST, "ReservationInOtherZone", text)
        if not known.has_begun(now_s):
            text = f"{known.name} begins at {utc(known.begins_s)}"
            if known.begins_s <= now_s:
                return self._again("ReservationNotBegun", f"{known.name} is {known.state}")
            return NotYet(Category.CAPACITY, "ReservationNotBegun", text, until_s=known.begins_s)
        if known.ends_s is not None and now_s > known.ends_s - self._drain_s - timeouts.AWS_BLOCK_LEAST_S:
            text = f"EC2 ends the machines of {known.name} from {utc(known.ends_s)} on: too soon for a new one"
            return Failure(Category.CAPACITY, "BlockEnds", text)
        return None

    def _again(self, code: str, message: str) -> NotYet:
        until_s = self._clock() + timeouts.AWS_RESERVATION_AGAIN_S
        return NotYet(Category.CAPACITY, code, message, until_s=until_s)
