"""Blocks launches of quarantined node types. A provider calls `check` before a launch and reports its result after.

One gate per process. It acts only inside the autoscaler on a cluster's head: there it keeps the ledger in a file,
limits node types in the config that both autoscalers read again, writes to the autoscaler's log, and counts for
Prometheus. Elsewhere (`ray up` on a laptop) it lets every launch pass.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from accel_scaling import _ray
from accel_scaling.cluster.policies import QuarantinePolicy, confirmation_policy, quarantine_policy
from accel_scaling.errors import ClusterConfigError
from accel_scaling.quarantine import ledger, max_workers, messages, store
from accel_scaling.quarantine.ledger import Reason, Record
from accel_scaling.quarantine.metrics import Metrics
from accel_scaling.quarantine.worker_counts import WorkerCounts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from accel_scaling.quarantine.ledger import Ledger

logger = logging.getLogger(__name__)


class Gate:
    """The quarantine of one cluster: it lets launches pass or blocks them, and learns from how machines turn out."""

    def __init__(
        self,
        provider_config: Mapping[str, Any],
        config_path: Path | None,
        state_path: Path,
        clock: Callable[[], float] = time.time,
        metrics: Metrics | None = None,
    ) -> None:
        """Keep the ledger in ``state_path`` and limit node types in the autoscaler's ``config_path``; None: do nothing.

        Raises:
            ClusterConfigError: the provider section's policies.
        """
        self.policy: QuarantinePolicy = quarantine_policy(provider_config)
        self._keep = confirmation_policy(provider_config).keep_for_inspection
        self._config_path = config_path
        self._store = store.FallbackStore(store.Store(state_path))
        self._clock = clock
        self._metrics = metrics or Metrics(None)
        # Lock order: this lock may be held while the store's is taken, never the other way round.
        self._lock = threading.RLock()
        self._counts = WorkerCounts()
        # What the last round limited: the end of a quarantine is logged once, by the difference.
        self._limited: frozenset[str] = frozenset()
        # No quarantine, and no limit of ours in the config: then a round of the autoscaler costs one look at the file.
        self._idle = False
        self._last_error = ""

    @property
    def active(self) -> bool:
        """True where this process is a head's autoscaler."""
        return self._config_path is not None

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
            if not self._idle:
                self._limit()  # a launch that failed counted its own machines until now

    # After it.

    def launched(self, node_type: str, zone: str, nodes: Collection[str]) -> None:
        """Report machines that the cloud gave."""
        if not self.active or not nodes:
            return
        with self._lock:
            # First the counts, then the ledger: its change may write a limit that is made of the counts.
            self._counts.add(node_type, nodes, self._store.read().judged, self._clock())
        self._metrics.launched(node_type, zone, len(nodes))
        self._change(node_type, lambda old: ledger.launched(old, zone))

    def failed(self, node_type: str, zone: str, code: str, message: str, *, sold_out: bool) -> None:
        """Report a launch that failed; the zone is quarantined only where it is ``sold_out``."""
        if not self.active:
            return
        self._metrics.failed(node_type, zone, code)
        # Any other error (throttling, a wrong request) tells nothing about the node type, and is only counted.
        if sold_out:
            now_s = self._clock()
            self._change(node_type, lambda old: ledger.sold_out(old, self.policy, zone, Reason(code, message), now_s))

    def confirmed(self, node_id: str, node_type: str, zone: str, verdict: str) -> None:
        """Report a machine that holds what was promised, and joins."""
        if not self.active:
            return
        with self._lock:
            # First the counts: the ledger's change may write a limit, in which this machine must count as checked.
            launch_s = self._counts.mark_checked(node_id)
        judged = (node_id, ledger.CONFIRMED)
        if self._change(node_type, lambda old: ledger.confirmed(old, zone), judged):
            self._metrics.checked(node_type, zone, verdict, None if launch_s is None else self._clock() - launch_s)

    def refused(self, node_id: str, node_type: str, zone: str, verdict: str, message: str) -> None:
        """Report a machine that was refused; each machine counts once, however often it starts."""
        if not self.active:
            return
        with self._lock:
            self._counts.mark_checked(node_id)
        now_s, reason = self._clock(), Reason(verdict, message)
        judged = (node_id, verdict)
        if self._change(node_type, lambda old: ledger.refused(old, self.policy, zone, reason, now_s), judged):
            self._metrics.checked(node_type, zone, verdict, None)

    def gone(self, node_id: str) -> None:
        """Report a machine that was terminated."""
        with self._lock:
            # A quarantined node type's limit is its number of workers: left as it was, Ray would replace this one.
            self._counts.remove(node_id)
        self._limit()

    def keeps(self, node_id: str, sentence: str) -> bool:
        """Return whether to keep this refused machine for inspection: the first one, where the cluster file says so."""
        if not (self._keep and self.active):
            return False
        kept: dict[str, str] = {}

        def keep(old: Ledger) -> Ledger:
            # Decided under the store's lock: of several machines that are refused at once, one is kept.
            kept.update(old.kept or {node_id: sentence})
            return replace(old, kept=dict(kept))

        self._store.change(keep)
        return node_id in kept

    def hidden(self) -> Collection[str]:
        """Return the machines that are kept and no longer part of the cluster; `ray down` finds them all the same."""
        return self._store.read().kept if self._keep and self.active else ()

    # Between launches.

    def listed(self, nodes: Callable[[], Mapping[str, str]]) -> None:
        """Report the workers that the cloud lists, node -> node type; called before each round of the autoscaler."""
        if not self.active:
            return
        with self._lock:
            self._counts.update(nodes(), self._clock())
        if self._idle and not self._store.read().has_quarantines:
            return  # most clusters, most of the time
        self._limit()

    def _change(
        self, node_type: str, change: Callable[[Record], Record], judged: tuple[str, str] | None = None
    ) -> Record | None:
        """Change the record of a node type, log its new quarantines, and return it.

        Args:
            node_type: the node type.
            change: from its record to the new one.
            judged: the machine and the verdict's word that cause the change; None is returned where they are not news.
        """
        # Where its file cannot be written, the store applies the change again, in memory: the last ledger counts.
        ledgers: list[Ledger] = []

        def change_record(old: Ledger) -> Ledger:
            ledgers.append(old)
            if judged and not old.is_news(*judged):
                return old
            new = old.with_record(node_type, change(old.record(node_type)))
            return new.with_judged(*judged) if judged else new

        record = self._store.change(change_record).record(node_type)
        if judged and not ledgers[-1].is_news(*judged):
            return None
        before = ledgers[-1].record(node_type).quarantines
        new = [quarantine for quarantine in record.quarantines if quarantine not in before]
        for quarantine in new:
            logger.error("%s", messages.begun(node_type, quarantine))
        if new and record.quarantined(self._clock()):  # not for each zone: this is what a task waits for
            _ray.tell_drivers(messages.begun(node_type, new[-1]))
        # Boots alone change no limit.
        if record.quarantines != before:
            self._limit()
        return record

    def _limit(self) -> None:
        """Limit the node types that are quarantined to the workers that they have."""
        if self._config_path is None:
            return
        # Launcher threads and the autoscaler's rounds both come here: counts, ledger and file must be of one moment.
        with self._lock:
            now_s = self._clock()
            current = self._store.read()
            limits = {name: self._max_workers(name, record, now_s) for name, record in current.types.items()}
            limits_set = {name: limit for name, limit in limits.items() if limit is not None}
            self._metrics.quarantined(current, now_s)
            for name in self._limited - limits_set.keys():
                logger.info("%s", messages.ended(name))
            self._limited = frozenset(limits_set)
            self._idle = self._write(self._config_path, limits_set) and not current.has_quarantines

    def _max_workers(self, node_type: str, record: Record, now_s: float) -> int | None:
        """Return the most workers that a node type may have now; None for as many as the cluster file says."""
        if record.quarantined(now_s):
            return self._counts.workers(node_type)
        # On trial, one machine at a time: the next may come only when this one has its verdict.
        if record.on_trial(now_s):
            return self._counts.workers(node_type) + (0 if self._counts.has_unchecked(node_type) else 1)
        return None

    def _write(self, path: Path, limits: Mapping[str, int]) -> bool:
        try:
            max_workers.apply(path, limits)
        # That the file cannot be limited stops no round: `check` blocks the launches all the same.
        except (OSError, ClusterConfigError) as error:
            if str(error) != self._last_error:  # once in a row: this is tried every few seconds
                self._last_error = str(error)
                logger.error("node types could not be limited in %s: %s", path, error)  # noqa: TRY400
            return False
        self._last_error = ""
        return True


def gate_of(provider_config: Mapping[str, Any]) -> Gate:
    """Return the gate of this process for a provider section; it acts where the process is an autoscaler."""
    path = _ray.autoscaler_config_path()
    metrics = Metrics(_ray.autoscaler_metrics_registry()) if path else Metrics(None)
    # Elsewhere no policy is needed, and a wrong one must not keep `ray down` from ending machines.
    return Gate(provider_config if path else {}, path, store.default_path(), metrics=metrics)
