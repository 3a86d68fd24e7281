"""What is remembered of node types: their last boots, and where they are left alone. Pure; times are Unix seconds."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from accel_scaling import timeouts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from accel_scaling.cluster.policies import QuarantinePolicy

EVERY_ZONE = "*"
CONFIRMED = "Confirmed"


class Kind(Enum):
    """Why a node type is left alone: its machines were not what was promised, or there are none to be had."""

    REFUSED = "refused"
    SOLD_OUT = "sold out"


class Why(NamedTuple):
    """A verdict's word and sentence, or a cloud's code and message."""

    reason: str
    message: str


@dataclass(frozen=True)
class Boot:
    """One machine that was judged: where, and the verdict's word."""

    zone: str
    verdict: str


@dataclass(frozen=True)
class Quarantine:
    """A node type that is left alone in a zone.

    Attributes:
        zone: the zone, or ``*`` for every one.
        kind: whether its machines were refused, or sold out.
        reason: the verdict's word, or the cloud's code.
        message: the last machine's verdict, or the cloud's message.
        since_s: when it began.
        until_s: when it ends. It is remembered after that, until a machine is confirmed (or to be had) again: one
            more failure then is enough, and counts for a longer time.
        times: how many times in a row.
    """

    zone: str
    kind: Kind
    reason: str
    message: str
    since_s: float
    until_s: float
    times: int = 1

    def lasts(self, now_s: float) -> bool:
        """Say whether it lasts; where the clock was put back to before it began, it has ended."""
        return self.since_s - timeouts.CLOCK_STEP_S <= now_s < self.until_s


@dataclass(frozen=True)
class Record:
    """What is remembered of one node type.

    Attributes:
        zones: where it can be launched, as of its last launch.
        boots: the last ones, newest last.
        quarantines: those that last, and those that ended and are on trial.
    """

    zones: tuple[str, ...] = ()
    boots: tuple[Boot, ...] = ()
    quarantines: tuple[Quarantine, ...] = ()

    def active(self, now_s: float) -> list[Quarantine]:
        """Return the quarantines that last."""
        return [one for one in self.quarantines if one.lasts(now_s)]

    def zones_left(self, zones: Sequence[str], now_s: float) -> list[str]:
        """Return those of the zones where the type may be launched, in their order.

        Those on trial come last; before them those where its machines were refused and none ever held its promise: the
        next one tells sooner whether the type or the zone is to blame. A zone with good machines keeps its place.
        """
        shut = {one.zone for one in self.active(now_s)}
        tried = self._on_trial(now_s)
        proven = {boot.zone for boot in self.boots if boot.verdict == CONFIRMED}
        doubtful = {boot.zone for boot in self.boots} - proven
        left = [] if EVERY_ZONE in shut else [zone for zone in zones if zone not in shut]
        return sorted(left, key=lambda zone: (zone in tried, zone in doubtful))

    def left_alone(self, now_s: float) -> bool:
        """Say whether there is no zone left for it. Where its zones are not known, only what is shut everywhere is."""
        if not self.zones:
            return any(one.zone == EVERY_ZONE for one in self.active(now_s))
        return bool(self.active(now_s)) and not self.zones_left(self.zones, now_s)

    def on_trial(self, now_s: float) -> bool:
        """Say whether it can only be had where its machines were refused until a while ago: one is tried alone."""
        tried, left = self._on_trial(now_s), self.zones_left(self.zones, now_s)
        return bool(left) and (EVERY_ZONE in tried or tried.issuperset(left))

    def _on_trial(self, now_s: float) -> set[str]:
        return {one.zone for one in self.quarantines if one.kind is Kind.REFUSED and not one.lasts(now_s)}


@dataclass(frozen=True)
class Ledger:
    """What is remembered of all node types and machines.

    Attributes:
        types: node type -> what is remembered of it.
        kept: the machine that is kept for inspection -> its verdict.
        judged: machine -> its verdict's word, newest last: a machine that is started again is no further boot.
    """

    types: Mapping[str, Record] = field(default_factory=dict)
    kept: Mapping[str, str] = field(default_factory=dict)
    judged: Mapping[str, str] = field(default_factory=dict)

    def record(self, node_type: str) -> Record:
        """Return what is remembered of a node type; an empty record where nothing is."""
        return self.types.get(node_type, Record())

    def with_record(self, node_type: str, record: Record) -> Ledger:
        """Return the ledger with this record in the place of the old one."""
        return replace(self, types={**self.types, node_type: record})

    def is_news(self, node_id: str, verdict: str) -> bool:
        """Say whether a verdict counts: a machine's first one, and a refusal of one that was confirmed before."""
        before = self.judged.get(node_id)
        return before is None or (before == CONFIRMED != verdict)

    def with_judged(self, node_id: str, verdict: str) -> Ledger:
        """Return the ledger with this machine's verdict as the newest."""
        judged = {**{name: one for name, one in self.judged.items() if name != node_id}, node_id: verdict}
        return replace(self, judged=dict(list(judged.items())[-timeouts.MACHINES_REMEMBERED :]))

    def without(self, node_types: Sequence[str] = ()) -> Ledger:
        """Return the ledger with nothing held against these node types, or against any.

        A machine that is kept for inspection stays so: it would come back as a node of the cluster. Zones stay too:
        without them the first of several that is left alone would be taken for all.
        """
        cleared = {
            name: Record(record.zones) if name in node_types or not node_types else record
            for name, record in self.types.items()
        }
        return replace(self, types=cleared)


def confirmed(record: Record, zone: str) -> Record:
    """Return the record after a machine held what was promised: what was held against the zone is forgotten."""
    kept = (
        one
        for one in record.quarantines
        if one.kind is not Kind.REFUSED or (one.zone not in (zone, EVERY_ZONE))
    )  # fmt: skip
    return replace(record, boots=(*record.boots, Boot(zone, CONFIRMED))[-_LONGEST:], quarantines=tuple(kept))


def refused(record: Record, policy: QuarantinePolicy, zone: str, why: Why, now_s: float) -> Record:
    """Return the record after a machine was refused; with a quarantine, where that was the last strike.

    A zone is judged by its own boots. A type that is refused in several zones and confirmed in none, or in one until
    that was left alone and then in another, is left alone in every zone: its file or its image is wrong rather than one
    zone's machines.
    """
    record = _lately(record, policy, now_s)
    record = replace(record, boots=(*record.boots, Boot(zone, why.reason))[-_LONGEST:])
    before = {one.zone: one for one in record.quarantines if one.kind is Kind.REFUSED}
    elsewhere = [one for name, one in before.items() if name not in (zone, EVERY_ZONE)]
    everywhere = EVERY_ZONE in before or bool(elsewhere) or _strikes_in_several_zones(record, policy)
    if not (everywhere or zone in before or _strikes(record, policy, zone)):
        return record
    where = EVERY_ZONE if everywhere else zone
    times = 1 + max((one.times for one in (before.get(where), before.get(zone)) if one), default=0)
    until_s = now_s + policy.duration_s(times, sold_out=False)
    new = Quarantine(where, Kind.REFUSED, why.reason, why.message, now_s, until_s, times)
    others = (
        one for one in record.quarantines if one.kind is not Kind.REFUSED or (where != EVERY_ZONE and one.zone != zone)
    )
    boots = tuple(boot for boot in record.boots if where != EVERY_ZONE and boot.zone != zone)
    return replace(record, boots=boots, quarantines=(*others, new))


def sold_out(record: Record, policy: QuarantinePolicy, zone: str, why: Why, now_s: float) -> Record:
    """Return the record after the cloud said that it has none: the zone is left alone at once."""
    record = _lately(record, policy, now_s)
    before = next((one for one in record.quarantines if one.kind is Kind.SOLD_OUT and one.zone == zone), None)
    if before and before.lasts(now_s):
        return record  # a launch that was on its way: it counts once
    times = before.times + 1 if before else 1
    until_s = now_s + policy.duration_s(times, sold_out=True)
    new = Quarantine(zone, Kind.SOLD_OUT, why.reason, why.message, now_s, until_s, times)
    others = (one for one in record.quarantines if one is not before)
    return replace(record, quarantines=(*others, new))


def at_launch(record: Record, policy: QuarantinePolicy, zones: Sequence[str], now_s: float) -> Record:
    """Return the record with the zones where the type can be launched now, and without what ended long ago."""
    return replace(_lately(record, policy, now_s), zones=tuple(zones))


def _lately(record: Record, policy: QuarantinePolicy, now_s: float) -> Record:
    """Forget quarantines that ended longer ago than the longest lasts: what comes now is a new story."""
    kept = (one for one in record.quarantines if one.until_s + policy.longest_s > now_s)
    return replace(record, quarantines=tuple(kept))


def launched(record: Record, zone: str) -> Record:
    """Return the record after machines were to be had in a zone."""
    kept = (one for one in record.quarantines if one.kind is not Kind.SOLD_OUT or one.zone not in (zone, EVERY_ZONE))
    return replace(record, quarantines=tuple(kept))


_LONGEST = 100  # boots remembered of a type, over all its zones


def _strikes(record: Record, policy: QuarantinePolicy, zone: str) -> bool:
    last = [boot for boot in record.boots if boot.zone == zone][-policy.of_boots :]
    return sum(boot.verdict != CONFIRMED for boot in last) >= policy.strikes


def _strikes_in_several_zones(record: Record, policy: QuarantinePolicy) -> bool:
    last = record.boots[-policy.of_boots :]
    refused_only = all(boot.verdict != CONFIRMED for boot in last)
    return refused_only and len(last) >= policy.strikes and len({boot.zone for boot in last}) > 1
