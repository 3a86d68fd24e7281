"""The ledger of all node types and machines, and the rules by which it changes. Pure; times are Unix seconds."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from accel_scaling import timeouts
from accel_scaling.quarantine.launch_failure import LaunchFailure, with_failure
from accel_scaling.quarantine.machine import bounded
from accel_scaling.quarantine.place import capacity_in, everywhere
from accel_scaling.quarantine.record import (
    CONFIRMED,
    EVERY_ZONE,
    STRIKES,
    UNKNOWN_ZONE,
    Boot,
    Cause,
    Quarantine,
    Record,
    meet,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from accel_scaling.cluster.policies import QuarantinePolicy
    from accel_scaling.quarantine.drain_record import DrainRecord
    from accel_scaling.quarantine.machine import Machine, Reason

_MAX_BOOTS = 100  # remembered of a node type, over all its zones


@dataclass(frozen=True)
class Ledger:
    """The history of all node types and machines.

    Attributes:
        types: node type -> its record.
        kept: the machine that is kept for inspection -> its verdict.
        judged: machine -> its verdict's word, newest last: a machine that is started again is not a further boot.
        machines: machine -> the record of its life, newest last.
        failures: launches that failed, newest last.
        drains: machine -> its drain, under way or over, newest last.
    """

    types: Mapping[str, Record] = field(default_factory=dict)
    kept: Mapping[str, str] = field(default_factory=dict)
    judged: Mapping[str, str] = field(default_factory=dict)
    machines: Mapping[str, Machine] = field(default_factory=dict)
    failures: tuple[LaunchFailure, ...] = ()
    drains: Mapping[str, DrainRecord] = field(default_factory=dict)

    @property
    def has_quarantines(self) -> bool:
        """True where any node type is in quarantine or on trial."""
        return any(record.quarantines for record in self.types.values())

    def record(self, node_type: str) -> Record:
        """Return the record of a node type; an empty one where there is none."""
        return self.types.get(node_type, Record())

    def with_record(self, node_type: str, record: Record) -> Ledger:
        """Return the ledger with this record in the place of the old one."""
        return replace(self, types={**self.types, node_type: record})

    def with_launch_failure(self, failure: LaunchFailure) -> Ledger:
        """Return the ledger with a launch that failed."""
        return replace(self, failures=with_failure(self.failures, failure))

    def is_news(self, node_id: str, verdict: str) -> bool:
        """Return whether a verdict counts: a machine's first one, or a refusal after a confirmation."""
        before = self.judged.get(node_id)
        # v2 starts the same machine up to three times: its refusals are one boot.
        return before is None or (before == CONFIRMED != verdict)

    def with_judged(self, node_id: str, verdict: str) -> Ledger:
        """Return the ledger with this machine's verdict as the newest."""
        # Taken out and put last again: the machines that were judged longest ago are forgotten first.
        judged = {**{name: word for name, word in self.judged.items() if name != node_id}, node_id: verdict}
        return replace(self, judged=dict(list(judged.items())[-timeouts.MACHINES_REMEMBERED :]))

    def with_machine(self, node_id: str, machine: Machine) -> Ledger:
        """Return the ledger with this record of a machine; a finished boot is put last."""
        return self.with_machines({node_id: machine})

    def with_machines(self, changed: Mapping[str, Machine]) -> Ledger:
        """Return the ledger with these records of machines; finished boots are put last."""
        machines = dict(self.machines)
        for node_id, machine in changed.items():
            before = machines.get(node_id)
            # Last, where it finishes: the machines that finished longest ago are forgotten first.
            if before is not None and machine.finished and not before.finished:
                del machines[node_id]
            machines[node_id] = machine
        return self if machines == self.machines else replace(self, machines=bounded(machines))

    def launched_again(self, node_ids: Collection[str]) -> Ledger:
        """Return the ledger for machines that were stopped and are started: their earlier verdicts are none."""
        judged = {name: word for name, word in self.judged.items() if name not in node_ids}
        return replace(self, judged=judged)

    def without(self, node_types: Sequence[str] = ()) -> Ledger:
        """Return the ledger with the boots and quarantines of these node types removed, or of all of them.

        A machine that is kept for inspection stays so: it would come back as a node of the cluster. Zones stay too:
        without them the first zone that is quarantined would be treated as all zones.
        """
        cleared = {
            name: Record(record.zones) if name in node_types or not node_types else record
            for name, record in self.types.items()
        }
        kept = (failure for failure in self.failures if node_types and failure.node_type not in node_types)
        return replace(self, types=cleared, failures=tuple(kept))


def before_launch(record: Record, policy: QuarantinePolicy, zones: Sequence[str], now_s: float) -> Record:
    """Return the record with the zones where the node type can be launched now, and without what ended long ago."""
    return replace(_without_old(record, policy, now_s), zones=tuple(zones))


def launched(record: Record, zone: str) -> Record:
    """Return the record after the cloud gave machines in a zone: it launches the node type there."""
    kept = (
        quarantine
        for quarantine in record.quarantines
        # A quota of a region closes all zones at once; a machine in any of them shows that there is capacity again.
        if quarantine.cause in STRIKES or not meet(quarantine.zone, zone)
    )
    errors = tuple(name for name in record.launch_errors if not meet(name, zone))
    return replace(record, quarantines=tuple(kept), launch_errors=errors)


def confirmed(record: Record, zone: str) -> Record:
    """Return the record after a machine was confirmed: the zone's strikes are forgotten."""
    kept = (
        quarantine
        for quarantine in record.quarantines
        if quarantine.cause not in STRIKES or not meet(quarantine.zone, zone)
    )
    return replace(record, boots=(*record.boots, Boot(zone, CONFIRMED))[-_MAX_BOOTS:], quarantines=tuple(kept))


def refused(
    record: Record,
    policy: QuarantinePolicy,
    zone: str,
    reason: Reason,
    now_s: float,
    *,
    cause: Cause = Cause.REFUSED,
    asked_s: float | None = None,
) -> Record:
    """Return the record after a machine was refused or failed; with a quarantine, where that was the last strike.

    A zone is judged by its own boots. A node type that is refused in several zones and confirmed in none, or refused in
    one zone until it was quarantined there and then in another, is quarantined in all zones: its cluster file or its
    image is wrong rather than one zone's machines.

    Args:
        record: of the node type.
        policy: of the cluster file.
        zone: where the machine was.
        reason: the verdict, or what failed.
        now_s: the time.
        cause: who says so: the boot check, or what failed before the machine joined.
        asked_s: when the machine was asked for; None where that is not known.
    """
    record = _without_old(record, policy, now_s)
    before = {quarantine.zone: quarantine for quarantine in record.quarantines if quarantine.cause in STRIKES}
    if any(meet(old.zone, zone) and _was_on_its_way(old, now_s, asked_s) for old in before.values()):
        return record  # of a burst of launches, those that were on their way tell nothing new: it counts once
    record = replace(record, boots=(*record.boots, Boot(zone, reason.code))[-_MAX_BOOTS:])
    # It was refused in another zone until that one was closed: so the zone is not the cause.
    in_other_zones = any(not meet(name, zone) for name in before)
    everywhere = EVERY_ZONE in before or in_other_zones or _last_strike_of_several_zones(record, policy)
    known = [old for old in before.values() if meet(old.zone, zone)]
    if not (everywhere or known or _last_strike(record, policy, zone)):
        return record
    new_zone = EVERY_ZONE if everywhere else zone
    # A quarantine of all zones continues counting where the zone's own stopped.
    times = 1 + max((old.times for old in known), default=0)
    until_s = now_s + policy.duration_s(times, sold_out=False)
    new = Quarantine(new_zone, cause, reason.code, reason.message, now_s, until_s, times)
    others = (
        quarantine
        for quarantine in record.quarantines
        # It also replaces those of single zones. Zones without capacity stay closed: that is another cause.
        if quarantine.cause not in STRIKES or (new_zone != EVERY_ZONE and not meet(quarantine.zone, zone))
    )
    # The quarantine now stands for these boots: after it, one more refusal is enough.
    boots = tuple(boot for boot in record.boots if new_zone != EVERY_ZONE and not meet(boot.zone, zone))
    return replace(record, boots=boots, quarantines=(*others, new))


def sold_out(record: Record, policy: QuarantinePolicy, zone: str, reason: Reason, now_s: float) -> Record:
    """Return the record after the cloud said that it has no capacity: the zone is quarantined at once."""
    record = _without_old(record, policy, now_s)
    return _without_machines(record, policy, zone, Cause.SOLD_OUT, reason, now_s=now_s)


def launch_error(record: Record, policy: QuarantinePolicy, zone: str, reason: Reason, now_s: float) -> Record:
    """Return the record after the cloud refused a launch permanently; with a quarantine, after some in a row.

    A node type that is refused so in one zone until it was quarantined there, and then in another, is quarantined in
    all zones: most such mistakes are in its node_config. A reservation that is refused says nothing of spot machines.
    """
    record = _without_old(record, policy, now_s)
    alike = (old for old in record.quarantines if capacity_in(old.zone) == capacity_in(zone))
    before = [old for old in alike if old.cause is Cause.LAUNCH_ERROR]
    known = any(meet(old.zone, zone) for old in before)
    errors = (*record.launch_errors, zone)[-_MAX_BOOTS:]
    record = replace(record, launch_errors=errors)
    in_a_row = sum(meet(name, zone) for name in errors)
    if not before and in_a_row < timeouts.LAUNCH_ERRORS_IN_A_ROW:
        return record
    closed = zone if known or not before else everywhere(zone)
    return _without_machines(record, policy, closed, Cause.LAUNCH_ERROR, reason, now_s=now_s)


def not_yet(record: Record, zone: str, reason: Reason, now_s: float, until_s: float) -> Record:
    """Return the record after the cloud said from when on a place may have machines: it is closed until then."""
    others = (old for old in record.quarantines if old.cause is not Cause.NOT_YET or old.zone != zone)
    new = Quarantine(zone, Cause.NOT_YET, reason.code, reason.message, now_s, until_s)
    return replace(record, quarantines=(*others, new))


def _without_machines(
    record: Record, policy: QuarantinePolicy, zone: str, cause: Cause, reason: Reason, *, now_s: float
) -> Record:
    """Return the record with a quarantine for a launch that brought no machine."""
    before = next((old for old in record.quarantines if old.cause is cause and old.zone == zone), None)
    if before and before.lasts(now_s):
        return record  # from a launch that was already under way: it counts once
    times = before.times + 1 if before else 1
    until_s = now_s + policy.duration_s(times, sold_out=True)
    new = Quarantine(zone, cause, reason.code, reason.message, now_s, until_s, times)
    others = (quarantine for quarantine in record.quarantines if quarantine is not before)
    return replace(record, quarantines=(*others, new))


def _without_old(record: Record, policy: QuarantinePolicy, now_s: float) -> Record:
    """Forget quarantines that ended longer ago than the longest lasts: the next failure starts again."""
    kept = (
        quarantine
        for quarantine in record.quarantines
        # What begins by the clock is no failure, after which one more would count for a longer time.
        if quarantine.until_s + (0 if quarantine.cause is Cause.NOT_YET else policy.longest_s) > now_s
    )
    return replace(record, quarantines=tuple(kept))


def _was_on_its_way(quarantine: Quarantine, now_s: float, asked_s: float | None) -> bool:
    """Return whether a machine was asked for before this quarantine began."""
    # While it lasts nothing is launched: whatever fails now was on its way.
    return quarantine.lasts(now_s) or (asked_s is not None and asked_s <= quarantine.since_s)


def _last_strike(record: Record, policy: QuarantinePolicy, zone: str) -> bool:
    last = [boot for boot in record.boots if meet(boot.zone, zone)][-policy.of_boots :]
    return sum(boot.verdict != CONFIRMED for boot in last) >= policy.strikes


def _last_strike_of_several_zones(record: Record, policy: QuarantinePolicy) -> bool:
    last = record.boots[-policy.of_boots :]
    refused_only = all(boot.verdict != CONFIRMED for boot in last)
    several = len({boot.zone for boot in last} - {UNKNOWN_ZONE}) > 1
    return refused_only and len(last) >= policy.strikes and several
