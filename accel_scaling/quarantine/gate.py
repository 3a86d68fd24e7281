"""Leaves node types alone that lie or are sold out: what the autoscaler's provider asks before, and tells after.

One per process. It acts only inside the autoscaler on a cluster's head: there it remembers in a file, limits node
types in the config that both autoscalers read again, writes to the autoscaler's log, and counts for Prometheus.
Elsewhere (`ray up` on a laptop) it lets everything pass.
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
from accel_scaling.quarantine.ledger import Record, Why
from accel_scaling.quarantine.metrics import Metrics
from accel_scaling.quarantine.worker_counts import Census

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from accel_scaling.quarantine.ledger import Ledger

logger = logging.getLogger(__name__)


class Guard:
    """Decides which launches are let through, and learns from how machines turn out."""

    def __init__(
        self,
        provider_config: Mapping[str, Any],
        config_path: Path | None,
        state_path: Path,
        clock: Callable[[], float] = time.time,
        metrics: Metrics | None = None,
    ) -> None:
        """Remember in ``state_path`` and limit node types in ``config_path``, the autoscaler's; None: do nothing.

        Raises:
            ClusterConfigError: the provider section's policies.
        """
        self.policy: QuarantinePolicy = quarantine_policy(provider_config)
        self._keep = confirmation_policy(provider_config).keep_for_inspection
        self._config_path = config_path
        self._memory = store.Memory(store.Store(state_path))
        self._clock = clock
        self._metrics = metrics or Metrics(None)
        self._lock = threading.RLock()
        self._census = Census()
        self._left_alone: frozenset[str] = frozenset()
        self._calm = False  # nothing is left alone, and the config has no limits of ours
        self._told = ""

    @property
    def active(self) -> bool:
        """Whether this process is a head's autoscaler."""
        return self._config_path is not None

    # Before a launch.

    def check(self, node_type: str, zones: Sequence[str]) -> list[str]:
        """Return the zones where the type may be launched now, in the order given; those on trial last.

        Raises:
            NodeLaunchException: there is none; nothing needs to be asked of the cloud.
        """
        if not self.active:
            return list(zones)
        now_s = self._clock()
        record = self._change(node_type, lambda old: ledger.at_launch(old, self.policy, zones, now_s)) or Record()
        left = record.zones_left(zones, now_s)
        if not left:
            sentence = messages.not_launched(node_type, record.active(now_s))
            raise _ray.node_launch_exception()("left alone", sentence, None)
        return left

    @contextlib.contextmanager
    def launching(self, node_type: str, count: int) -> Iterator[None]:
        """Count machines that are being asked for: until they are listed, or fail, they are nodes of the type."""
        with self._lock:
            asking = self._census.asks(node_type, count, self._clock())
        try:
            yield
        finally:
            with self._lock:
                self._census.asked(asking)
            if not self._calm:
                self._limit()  # a launch that failed counted its own machines until now

    # After it.

    def launched(self, node_type: str, zone: str, nodes: Collection[str]) -> None:
        """Learn that machines came."""
        if not self.active or not nodes:
            return
        with self._lock:
            self._census.came(node_type, nodes, self._memory.read().judged, self._clock())
        self._metrics.launched(node_type, zone, len(nodes))
        self._change(node_type, lambda old: ledger.launched(old, zone))

    def failed(self, node_type: str, zone: str, code: str, message: str, *, sold_out: bool) -> None:
        """Learn that a launch failed; only ``sold_out`` has the zone left alone."""
        if not self.active:
            return
        self._metrics.failed(node_type, zone, code)
        if sold_out:
            now_s = self._clock()
            self._change(node_type, lambda old: ledger.sold_out(old, self.policy, zone, Why(code, message), now_s))

    def confirmed(self, node_id: str, node_type: str, zone: str, verdict: str) -> None:
        """Learn that a machine holds what was promised, and joins."""
        if not self.active:
            return
        with self._lock:
            asked_s = self._census.judged(node_id)
        judged = (node_id, ledger.CONFIRMED)
        if self._change(node_type, lambda old: ledger.confirmed(old, zone), judged):
            self._metrics.judged(node_type, zone, verdict, None if asked_s is None else self._clock() - asked_s)

    def refused(self, node_id: str, node_type: str, zone: str, verdict: str, message: str) -> None:
        """Learn that a machine does not hold what was promised; each machine counts once, however often it starts."""
        if not self.active:
            return
        with self._lock:
            self._census.judged(node_id)
        now_s, why = self._clock(), Why(verdict, message)
        if self._change(node_type, lambda old: ledger.refused(old, self.policy, zone, why, now_s), (node_id, verdict)):
            self._metrics.judged(node_type, zone, verdict, None)

    def gone(self, node_id: str) -> None:
        """Learn that a machine was terminated."""
        with self._lock:
            self._census.gone(node_id)
        self._limit()

    def keeps(self, node_id: str, sentence: str) -> bool:
        """Say whether this refused machine is to be kept for inspection: the first one, where the file says so."""
        if not (self._keep and self.active):
            return False
        kept: dict[str, str] = {}

        def keep(old: Ledger) -> Ledger:
            kept.update(old.kept or {node_id: sentence})
            return replace(old, kept=dict(kept))

        self._memory.change(keep)
        return node_id in kept

    def hidden(self) -> Collection[str]:
        """Return the machines that are kept and no part of the cluster any more; `ray down` finds them all the same."""
        return self._memory.read().kept if self._keep and self.active else ()

    # Between launches.

    def listed(self, nodes: Callable[[], Mapping[str, str]]) -> None:
        """Learn which workers there are, node -> node type; called before each round of the autoscaler."""
        if not self.active:
            return
        with self._lock:
            self._census.listed(nodes(), self._clock())
        if self._calm and not _quarantined(self._memory.read()):
            return  # most clusters, most of the time
        self._limit()

    def _change(
        self, node_type: str, change: Callable[[Record], Record], judged: tuple[str, str] | None = None
    ) -> Record | None:
        """Change what is remembered of a type, say what is new, and return it.

        Args:
            node_type: the type.
            change: from its record to the new one.
            judged: the machine and the word that this is about; None is returned where that is no news.
        """
        seen: list[Ledger] = []

        def of_type(old: Ledger) -> Ledger:
            seen.append(old)
            if judged and not old.is_news(*judged):
                return old
            new = old.with_record(node_type, change(old.record(node_type)))
            return new.with_judged(*judged) if judged else new

        record = self._memory.change(of_type).record(node_type)
        if judged and not seen[-1].is_news(*judged):
            return None
        before = seen[-1].record(node_type).quarantines
        new = [one for one in record.quarantines if one not in before]
        for one in new:
            logger.error("%s", messages.begun(node_type, one))
        if new and record.left_alone(self._clock()):  # not each zone: this is what a task waits for
            _ray.tell_drivers(messages.begun(node_type, new[-1]))
        if record.quarantines != before:
            self._limit()
        return record

    def _limit(self) -> None:
        """Limit the node types that are left alone to the workers that they have."""
        if self._config_path is None:
            return
        with self._lock:
            now_s = self._clock()
            known = self._memory.read()
            limited = ((name, self._most(name, record, now_s)) for name, record in known.types.items())
            most = {name: count for name, count in limited if count is not None}
            self._metrics.left_alone(known, now_s)
            for name in self._left_alone - most.keys():
                logger.info("%s", messages.ended(name))
            self._left_alone = frozenset(most)
            self._calm = self._write(self._config_path, most) and not _quarantined(known)

    def _most(self, node_type: str, record: Record, now_s: float) -> int | None:
        """Return the most workers that a type may have now; None for as many as its file says."""
        if record.left_alone(now_s):
            return self._census.workers(node_type)
        if record.on_trial(now_s):
            return self._census.workers(node_type) + (0 if self._census.judging(node_type) else 1)
        return None

    def _write(self, path: Path, most: Mapping[str, int]) -> bool:
        try:
            max_workers.apply(path, most)
        except (OSError, ClusterConfigError) as error:
            if str(error) != self._told:  # once in a row: this is tried every few seconds
                self._told = str(error)
                logger.error("node types could not be limited in %s: %s", path, error)  # noqa: TRY400
            return False
        self._told = ""
        return True


def _quarantined(known: Ledger) -> bool:
    return any(record.quarantines for record in known.types.values())


def guard_of(provider_config: Mapping[str, Any]) -> Guard:
    """Return the guard of this process for a provider section; it acts where this is an autoscaler."""
    path = _ray.autoscaler_config_path()
    metrics = Metrics(_ray.autoscaler_metrics_registry()) if path else Metrics(None)
    return Guard(provider_config, path, store.default_path(), metrics=metrics)
