"""Launches into reservations: what the cloud says of them shapes the request, and says when to ask again.

A place in a reservation is paid for whether it is used or not. So a reservation that is full, or has not begun, is no
sold-out machine, for which the waits double: it is asked again at its begin, or after a minute.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from accel_scaling import timeouts
from accel_scaling.catalog.launch_errors import Category, Failure
from accel_scaling.providers.base.zone_launch import NotYet

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from accel_scaling.providers.base.capacity_launch import Offer


@dataclass(frozen=True)
class Shaped:
    """A launch as a reservation lets it be.

    Attributes:
        count: how many machines to ask for; 0 where the cloud need not be asked.
        failure: why these are fewer than wanted; None where they are all.
    """

    count: int
    failure: Failure | None = None


class Reservation(Protocol):
    """What is known of one reservation."""

    @property
    def free(self) -> int:
        """How many more machines can be launched into it."""

    @property
    def total(self) -> int:
        """How many machines have a place in it."""

    @property
    def title(self) -> str:
        """What it is, and its name, for messages."""

    @property
    def machine_type(self) -> str:
        """The machine type of its machines; empty where the cloud does not say."""


class Reservations(Protocol):
    """What a cloud says of reservations."""

    def of(self, name: Any) -> Any:
        """Return a reservation by its name; None where the cloud does not say."""

    def zone_of(self, name: Any) -> str:
        """Return the zone of a reservation; empty where the cloud does not say it."""

    def used(self, name: Any) -> None:
        """Take note of a launch into a reservation: its free places are others now."""


class ReservedLaunches:
    """Shapes launches by what is known of reservations; what a request names, and when it is refused, is the cloud's.

    Args:
        reservations: what the cloud says of them.
        clock: Unix seconds.
        drain_s: returns for how long a machine is drained before the end of its reservation.
    """

    def __init__(self, reservations: Reservations, clock: Callable[[], float], drain_s: Callable[[], float]) -> None:
        self._known, self._clock, self._drain_s = reservations, clock, drain_s

    def name_in(self, way: Offer) -> Any:
        """Return the name of the reservation that a way to launch names; None where it names none."""
        raise NotImplementedError

    def refusal(self, known: Any, way: Offer) -> Failure | None:
        """Return why no machine can be launched into a reservation now; None where one can."""
        raise NotImplementedError

    def is_reserved(self, way: Offer) -> bool:
        """Return whether a way to launch takes places of reservations, named or not."""
        return self.name_in(way) is not None

    def in_their_zones(self, ways: Mapping[str, Offer]) -> dict[str, Offer]:
        """Return the ways to launch without those into a reservation of another zone; each reservation keeps one.

        Of a list of machine types, those remain that the reservation is for.
        """
        fitting = {place: way for place, way in ways.items() if self._is_of_type(way)}
        ways = fitting if {*map(self.name_in, fitting.values())} == {*map(self.name_in, ways.values())} else ways
        zones = {place: self._zone_of(way) for place, way in ways.items()}
        kept = {place for place, way in ways.items() if not zones[place] or way.zone in ("", zones[place])}
        there = {self.name_in(ways[place]) for place in kept}
        for place, way in ways.items():
            # The node type has no place in its zone: this one place says so.
            if (name := self.name_in(way)) not in there:
                there.add(name)
                kept.add(place)
        return {place: way for place, way in ways.items() if place in kept}

    def shaped(self, way: Offer, count: int) -> Shaped:
        """Return a launch as its reservation lets it be; as it is, where nothing is known of one."""
        known = self.known_of(way)
        if known is None:
            return Shaped(count)
        if not self._is_of_type(way):
            text = f"{known.title} is for {known.machine_type}"
            return Shaped(0, Failure(Category.NOT_OFFERED, "ReservationOfOtherType", text))
        if failure := self.refusal(known, way):
            return Shaped(0, failure)
        if known.free >= count:
            return Shaped(count)
        text = f"{known.title} has {known.free} free of {known.total} places"
        return Shaped(known.free, self.again("ReservationInUse", text))

    def judged(self, way: Offer, failure: Failure | None) -> Failure | None:
        """Return what a failure of a launch means; whatever it is, the reservation has other free places now."""
        if (name := self.name_in(way)) is not None:
            self._known.used(name)
        lacking = failure is not None and failure.category is Category.CAPACITY
        if failure is None or isinstance(failure, NotYet) or not lacking or not self.is_reserved(way):
            return failure
        return self.again(failure.code, failure.message)

    def known_of(self, way: Offer) -> Any:
        """Return what is known of the reservation that a way to launch names; None for nothing."""
        name = self.name_in(way)
        return None if name is None else self._known.of(name)

    def again(self, code: str, message: str) -> NotYet:
        """Return the failure of a reservation that is asked again after a minute."""
        until_s = self._clock() + timeouts.RESERVATION_AGAIN_S
        return NotYet(Category.CAPACITY, code, message, until_s=until_s)

    def ends_soon(self, ends_s: float | None) -> bool:
        """Return whether a new machine would have to be drained at once."""
        return ends_s is not None and self._clock() > ends_s - self._drain_s() - timeouts.BLOCK_LEAST_S

    def _is_of_type(self, way: Offer) -> bool:
        """Return whether a reservation is for the machine type of a way to launch, as far as is known."""
        known = self.known_of(way) if way.machine else None
        return known is None or known.machine_type in ("", way.machine)

    def _zone_of(self, way: Offer) -> str:
        name = self.name_in(way)
        return "" if name is None else self._known.zone_of(name)
