"""What a cloud says of reservations, remembered for some seconds; what is asked, and how, is the cloud's own."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from accel_scaling import timeouts

if TYPE_CHECKING:
    from collections.abc import Callable


class Placed(Protocol):
    """A reservation, as far as this module reads it."""

    @property
    def zone(self) -> str:
        """Where it is; empty where the cloud does not say it."""


Name = TypeVar("Name")
Known = TypeVar("Known", bound=Placed)


class KnownReservations(Generic[Name, Known]):
    """The reservations of which a cloud has said something; safe for several threads.

    Args:
        clock: Unix seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[Name, tuple[float, Known]] = {}

    def ask(self, name: Name) -> Known | None:
        """Ask the cloud for a reservation; None where it does not say. No error is raised."""
        raise NotImplementedError

    def of(self, name: Name, fresh_s: float = timeouts.RESERVATION_FRESH_S) -> Known | None:
        """Return a reservation; None where the cloud does not say.

        Args:
            name: as a request names it.
            fresh_s: how old the answer may be.
        """
        now_s, known = self._clock(), self._known.get(name)
        if known is not None and 0 <= now_s - known[0] < fresh_s:
            return known[1]
        found = self.ask(name)
        if found is not None:
            with self._lock:
                self._known[name] = (now_s, found)
        return found

    def last(self, name: Name) -> Known | None:
        """Return what the cloud has said last of a reservation, however long ago; None where it has said nothing."""
        known = self._known.get(name)
        return None if known is None else known[1]

    def zone_of(self, name: Name) -> str:
        """Return the zone of a reservation, in which it stays; empty where the cloud does not say it."""
        last = self.last(name)
        found = last if last is not None and last.zone else self.of(name)
        return "" if found is None else found.zone

    def used(self, name: Name) -> None:
        """Take note of a launch into a reservation: its free places are others now."""
        with self._lock:
            if known := self._known.get(name):
                self._known[name] = (float("-inf"), known[1])
