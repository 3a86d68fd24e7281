"""The record of a node type: its last boots, and its quarantines. Pure values; times are Unix seconds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from accel_scaling import timeouts
from accel_scaling.quarantine.place import EVERY_ZONE, UNKNOWN_ZONE, capacity_in, meet

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "CONFIRMED",
    "EVERY_ZONE",
    "STRIKES",
    "UNKNOWN_ZONE",
    "Boot",
    "Cause",
    "Quarantine",
    "Record",
    "meet",
]

# The ledger's word for a boot that held its promise, whichever of the verdicts that let a machine join it was.
CONFIRMED = "Confirmed"


class Cause(Enum):
    """The cause of a quarantine: its machines failed, or the cloud does not launch any."""

    REFUSED = "refused"  # by the boot check
    FAILED = "failed"  # before or after the boot check, and before they joined
    SOLD_OUT = "sold out"
    LAUNCH_ERROR = "launch error"  # the cloud refuses the request permanently
    NOT_YET = "not yet"  # a reservation has not begun, or is in use: the cloud has said when to ask again


# Machines were launched and paid for: these causes count boots, and end with one machine on trial.
STRIKES = frozenset({Cause.REFUSED, Cause.FAILED})


@dataclass(frozen=True)
class Boot:
    """The boot of one machine: its zone, and the verdict's word or the word of its failure."""

    zone: str
    verdict: str


@dataclass(frozen=True)
class Quarantine:
    """A node type that is not launched in a zone for a while.

    Attributes:
        zone: the place (place.py): a zone, ``*`` for all zones, or a capacity type there.
        cause: whether its machines failed, and how, or the cloud launches none.
        reason: the verdict's word, the word of the failure, or the cloud's error code.
        message: the last machine's verdict or failure, or the cloud's message.
        since_s: when it began.
        until_s: when it ends. It is remembered after that, until a machine is confirmed (or launched) again: one more
            failure then is enough, and counts for a longer time.
        times: how many times in a row.
    """

    zone: str
    cause: Cause
    reason: str
    message: str
    since_s: float
    until_s: float
    times: int = 1

    def lasts(self, now_s: float) -> bool:
        """Return whether it lasts; where the clock was put back to before it began, it has ended."""
        return self.since_s - timeouts.CLOCK_STEP_S <= now_s < self.until_s


@dataclass(frozen=True)
class Record:
    """The history of one node type.

    Attributes:
        zones: the places where it can be launched, as of its last launch, in the order to try them.
        boots: the last ones, newest last.
        quarantines: those that last, and those that ended and are on trial.
        launch_errors: the zones of the launches that the cloud refused permanently, since it last gave a machine there.
    """

    zones: tuple[str, ...] = ()
    boots: tuple[Boot, ...] = ()
    quarantines: tuple[Quarantine, ...] = ()
    launch_errors: tuple[str, ...] = ()

    def active(self, now_s: float) -> list[Quarantine]:
        """Return the quarantines that last."""
        return [quarantine for quarantine in self.quarantines if quarantine.lasts(now_s)]

    def open_zones(self, zones: Sequence[str], now_s: float) -> list[str]:
        """Return those of the places where the node type may be launched, in their order.

        The order of capacity types stays. Of one type, zones on trial come last; before them come zones where its
        machines were refused and none was ever confirmed: the next machine then shows sooner whether the node type or
        the zone is to blame. A zone with confirmed machines keeps its place.
        """
        closed = {quarantine.zone for quarantine in self.active(now_s)}
        on_trial = self._zones_on_trial(now_s)
        types = list(dict.fromkeys(capacity_in(zone) for zone in zones))
        proven = {boot.zone for boot in self.boots if boot.verdict == CONFIRMED}
        doubtful = {boot.zone for boot in self.boots} - proven
        remaining = [zone for zone in zones if not any(meet(name, zone) for name in closed)]

        def rank(zone: str) -> tuple[int, bool, bool]:
            tried, refused = (any(meet(name, zone) for name in names) for names in (on_trial, doubtful))
            return types.index(capacity_in(zone)), tried, refused

        # sorted() is stable: among equals the user's order stays.
        return sorted(remaining, key=rank)

    def quarantined(self, now_s: float) -> bool:
        """Return whether no zone is open to the node type.

        Where its zones are not known, only a quarantine in all zones counts.
        """
        # With a closed zone of which nothing else is known, all others may be open.
        if not self.zones:
            return any(quarantine.zone in (EVERY_ZONE, UNKNOWN_ZONE) for quarantine in self.active(now_s))
        return bool(self.active(now_s)) and not self.open_zones(self.zones, now_s)

    def on_trial(self, now_s: float) -> bool:
        """Return whether all open zones are on trial: then one machine is launched at a time."""
        on_trial, remaining = self._zones_on_trial(now_s), self.open_zones(self.zones, now_s)
        return bool(remaining) and all(any(meet(name, zone) for name in on_trial) for zone in remaining)

    def _zones_on_trial(self, now_s: float) -> set[str]:
        # A sold-out zone needs no trial: the launch itself shows whether it has capacity, and a failure costs nothing.
        ended = (quarantine for quarantine in self.quarantines if not quarantine.lasts(now_s))
        return {quarantine.zone for quarantine in ended if quarantine.cause in STRIKES}
