"""Blocks launches of quarantined node types. A provider calls `check` before a launch and reports its result after.

One gate per process. It acts only inside the autoscaler on a cluster's head: there it keeps the ledger in a file,
limits node types in the config that both autoscalers read again, writes to the autoscaler's log, and counts for
Prometheus. Elsewhere (`ray up` on a laptop) it lets every launch pass.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from accel_scaling import _ray
from accel_scaling.cluster.policies import ConfirmationPolicy, QuarantinePolicy, confirmation_policy, quarantine_policy
from accel_scaling.quarantine import ledger, messages, store
from accel_scaling.quarantine.drain_record import DrainRecords
from accel_scaling.quarantine.driver_messages import DriverMessages
from accel_scaling.quarantine.kept_machine import KeptMachine
from accel_scaling.quarantine.launch_failure import LaunchFailure
from accel_scaling.quarantine.machine import Machine, Reason, Step
from accel_scaling.quarantine.machine_records import MachineRecords
from accel_scaling.quarantine.metrics import Metrics
from accel_scaling.quarantine.node_type_limits import NodeTypeLimits
from accel_scaling.quarantine.quarantine_log import QuarantineLog
from accel_scaling.quarantine.record import CONFIRMED, Cause, Record
from accel_scaling.quarantine.worker_counts import WorkerCounts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from accel_scaling.quarantine.ledger import Ledger


class Gate:
    """The quarantine of one cluster: it lets launches pass or blocks them, and learns from how machines turn out."""

    def __init__(
        self,
        provider_config: Mapping[str, Any],
        config_path: Path | None,
        state_path: Path,
        clock: Callable[[], float] = time.time,
        metrics: Metrics | None = None,
        *,
        drivers: DriverMessages | None = None,
    ) -> None:
        """Keep the ledger in ``state_path`` and limit node types in the autoscaler's ``config_path``; None: do nothing.

        Raises:
            ClusterConfigError: the provider section's policies.
        """
        self.policy: QuarantinePolicy = quarantine_policy(provider_config)
        self.confirmation: ConfirmationPolicy = confirmation_policy(provider_config)
        self._config_path = config_path
        self._store = store.FallbackStore(store.Store(state_path))
        self._clock = clock
        self._metrics = metrics or Metrics(None)
        self.machines = MachineRecords(self._store, self.clock, active=self.active)
        self.kept = KeptMachine(self._store, self.clock, active=self.active and self.confirmation.keep_for_inspection)
        self.drains = DrainRecords(self._store, self.clock, self._metrics, active=self.active)
        # Lock order: this lock may be held while the store's is taken, never the other way round.
        self._lock = threading.RLock()
        self._counts = WorkerCounts()
        # Machines that counted as good boots when they were confirmed, before anybody knew who has joined.
        self._good_boots: set[str] = set()
        self._drivers, self._log = drivers or DriverMessages(), QuarantineLog()
        self._limits = NodeTypeLimits(config_path, self._counts, self._metrics)

    @property
    def active(self) -> bool:
        """True where this process is a head's autoscaler."""
        return self._config_path is not None

    def clock(self) -> float:
        """Return the time, in Unix seconds."""
        return self._clock()

    # Before a launch.

    def check(self, node_type: str, zones: Sequence[str]) -> list[str]:
        """Return the zones where the node type may be launched now, in the order given; those on trial last.

        Raises:
            NodeLaunchException: there is none; the cloud need not be asked.
        """
        if not self.active:
            return list(zones)
        now_s = self._clock()
        record = self._change(node_type, lambda old: ledger.before_launch(old, self.policy, zones, now_s)) or Record()
        open_zones = record.open_zones(zones, now_s)
        if not open_zones:
            sentence = messages.not_launched(node_type, record.active(now_s))
            # Ray's own exception: `ray status` shows the sentence under "Recent failures".
            raise _ray.node_launch_exception()("quarantined", sentence, None)
        return open_zones

    @contextlib.contextmanager
    def launching(self, node_type: str, count: int) -> Iterator[None]:
        """Count machines that are being launched: until they are listed, or fail, they are nodes of the type."""
        with self._lock:
            launch = self._counts.begin_launch(node_type, count, self._clock())
        try:
            yield
        finally:
            with self._lock:
                self._counts.end_launch(launch)
            if not self._limits.idle:
                self._limit()  # a launch that failed counted its own machines until now

    # After it.

    def launched(self, node_type: str, zone: str, nodes: Collection[str], *, started_again: bool = False) -> None:
        """Report machines that the cloud gave in a place; a stopped one that is started again proves no capacity."""
        if not self.active or not nodes:
            return
        with self._lock:
            # First the counts, then the ledger: its change may write a limit that is made of the counts.
            asked_s = self._counts.add(node_type, nodes, self._store.read().judged, self._clock())
        self._metrics.launched(node_type, zone, len(nodes))

        def note(current: Ledger) -> Ledger:
            return self.machines.with_launched(current, node_type, zone, nodes, asked_s)

        def proved(old: Record) -> Record:
            return old if started_again else ledger.launched(old, zone)

        self._change(node_type, proved, also=note)

    def failed(
        self, node_type: str, zone: str, code: str, message: str, *, sold_out: bool, for_good: bool = False
    ) -> None:
        """Report a launch that failed.

        Args:
            node_type: what was asked for.
            zone: where, or all zones.
            code: the cloud's.
            message: the cloud's.
            sold_out: the cloud has none: the zone is quarantined at once.
            for_good: the cloud will say the same again: the zone is quarantined after some in a row.
        """
        if not self.active:
            return
        self._metrics.failed(node_type, zone, code)
        now_s, rule = self._clock(), ledger.sold_out if sold_out else ledger.launch_error
        failure = LaunchFailure(node_type, zone, code, message, now_s)

        def count(old: Record) -> Record:
            # Any other error (throttling, an outage) tells nothing about the node type, and is only listed.
            return rule(old, self.policy, zone, Reason(code, message), now_s) if sold_out or for_good else old

        self._change(node_type, count, also=lambda current: current.with_launch_failure(failure))

    def not_yet(self, node_type: str, zone: str, code: str, message: str, until_s: float) -> None:
        """Report a place of which the cloud has said when it may have machines: nobody asks for any before that.

        Args:
            node_type: what was asked for.
            zone: the place.
            code: one word for the log, such as ``BlockNotBegun``.
            message: one sentence.
            until_s: Unix seconds.
        """
        now_s = self._clock()
        if not self.active or until_s <= now_s:
            return
        self._change(node_type, lambda old: ledger.not_yet(old, zone, Reason(code, message), now_s, until_s))

    def confirmed(self, node_id: str, node_type: str, zone: str, verdict: str, *, joins_later: bool = False) -> None:
        """Report a machine that holds what was promised.

        Args:
            node_id: the machine.
            node_type: its node type.
            zone: where it is.
            verdict: the verdict's word.
            joins_later: it is a good boot only when it has joined, which `joined` reports.
        """
        if not self.active:
            return
        with self._lock:
            launch_s = self._counts.launch_of(node_id)
            if not joins_later:
                # First the counts: the ledger's change may write a limit, in which this machine must count as checked.
                self._counts.mark_checked(node_id)
                self._good_boots.add(node_id)
        judged = (node_id, CONFIRMED)

        def note(current: Ledger) -> Ledger:
            return self.machines.with_step(current, node_id, node_type, Step.CHECKED, verdict, zone=zone)

        def count(old: Record) -> Record:
            return old if joins_later else ledger.confirmed(old, zone)

        if self._change(node_type, count, judged, also=note):
            self._metrics.checked(node_type, zone, verdict, None if launch_s is None else self._clock() - launch_s)

    def joined(self, node_id: str, node_type: str, zone: str, verdict: str, *, good: bool) -> None:
        """Report a machine that has joined; a ``good`` one clears the strikes of its node type in its zone, once."""
        if not self.active:
            return
        machine = self.machines.get(node_id)
        with self._lock:
            self._counts.mark_checked(node_id)
            first = node_id not in self._good_boots and (machine is None or not machine.joined)
            self._good_boots.discard(node_id)

        def note(current: Ledger) -> Ledger:
            return self.machines.with_step(current, node_id, node_type, Step.JOINED, verdict, zone=zone)

        self._change(node_type, lambda old: ledger.confirmed(old, zone) if good and first else old, also=note)

    def refused(
        self,
        node_id: str,
        node_type: str,
        zone: str,
        verdict: str,
        message: str,
        *,
        cause: Cause = Cause.REFUSED,
        ends: bool = True,
    ) -> bool:
        """Report a machine that was refused or failed; each machine counts once, however often it starts.

        Args:
            node_id: the machine.
            node_type: its node type.
            zone: where it is.
            verdict: the verdict's word, or the word of the failure.
            message: one sentence.
            cause: the boot check, or what failed beside it.
            ends: the machine is given up; False for one that may join anyway.

        Returns:
            Whether that is news.
        """
        if not self.active:
            return False
        with self._lock:
            self._counts.mark_checked(node_id)
        now_s, reason = self._clock(), Reason(verdict, message)
        judged = (node_id, verdict)
        asked_s = (self.machines.get(node_id) or Machine(node_type)).asked_s

        def count(old: Record) -> Record:
            return ledger.refused(old, self.policy, zone, reason, now_s, cause=cause, asked_s=asked_s)

        def note(current: Ledger) -> Ledger:
            if cause is Cause.REFUSED:
                current = self.machines.with_step(current, node_id, node_type, Step.CHECKED, verdict, zone=zone)
            return self.machines.with_failure(current, node_id, node_type, reason, zone=zone) if ends else current

        if news := self._change(node_type, count, judged, also=note) is not None:
            self._metrics.checked(node_type, zone, verdict, None)
        return news

    def gone(self, node_id: str) -> None:
        """Report a machine that was terminated."""
        with self._lock:
            # A quarantined node type's limit is its number of workers: left as it was, Ray would replace this one.
            self._counts.remove(node_id)
        self._limit()

    def keeps(self, node_id: str, sentence: str) -> bool:
        """Return whether to keep this refused machine for inspection: the first one, where the cluster file says so."""
        return self.kept.keeps(node_id, sentence)

    def hidden(self) -> Collection[str]:
        """Return the machines that are kept and no longer part of the cluster; `ray down` finds them anyway."""
        return self.kept.hidden()

    # Between launches.

    def listed(self, nodes: Callable[[], Mapping[str, str]]) -> None:
        """Report the workers that the cloud lists, node -> node type; called before each round of the autoscaler."""
        if not self.active:
            return
        with self._lock:
            self._counts.update(nodes(), self._clock())
        if not self._limits.idle or self._store.read().has_quarantines:  # in most clusters, rarely
            self._limit()
        self._drivers.repeat(self._store.read(), self._clock())

    def workers(self) -> dict[str, str]:
        """Return the workers that the cloud listed last, node -> node type."""
        with self._lock:
            return self._counts.listed

    def _change(
        self,
        node_type: str,
        change: Callable[[Record], Record],
        judged: tuple[str, str] | None = None,
        also: Callable[[Ledger], Ledger] = lambda current: current,
    ) -> Record | None:
        """Change the record of a node type, log its new quarantines, and return it.

        Args:
            node_type: the node type.
            change: from its record to the new one.
            judged: the machine and the verdict's word that cause the change; None is returned where they are not news.
            also: what else changes in the ledger, news or not, within the same write.
        """
        # Where its file cannot be written, the store applies the change again, in memory: the last ledger counts.
        ledgers: list[Ledger] = []

        def change_record(old: Ledger) -> Ledger:
            ledgers.append(old)
            new = also(old)
            if judged and not old.is_news(*judged):
                return new
            new = new.with_record(node_type, change(new.record(node_type)))
            return new.with_judged(*judged) if judged else new

        record = self._store.change(change_record).record(node_type)
        if judged and not ledgers[-1].is_news(*judged):
            return None
        before = ledgers[-1].record(node_type).quarantines
        new = [quarantine for quarantine in record.quarantines if quarantine not in before]
        for quarantine in new:
            self._log.begun(node_type, quarantine)
        if new and record.quarantined(self._clock()):  # not for each zone: this is what a task waits for
            self._drivers.begun(node_type, new[-1], self._clock())
        # Boots alone change no limit.
        if record.quarantines != before:
            self._limit()
        return record

    def _limit(self) -> None:
        """Limit the node types that are quarantined to the workers that they have."""
        # Launcher threads and the autoscaler's rounds both come here: counts, ledger and file must be of one moment.
        with self._lock:
            self._limits.write(self._store.read, self._clock())
