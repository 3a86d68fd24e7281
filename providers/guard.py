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
from typing import TYPE_CHECKING

from accel_scaling import _ray
from accel_scaling.providers.metrics import Metrics
from accel_scaling.quarantine import ledger, limits, store, words
from accel_scaling.quarantine.ledger import Why
from accel_scaling.quarantine.policy import QuarantinePolicy, confirmation_policy, quarantine_policy

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from accel_scaling.quarantine.ledger import Ledger, Record

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
        self._store = store.Store(state_path)
        self._clock = clock
        self._metrics = metrics or Metrics(None)
        self._lock = threading.RLock()
        self._live: dict[str, set[str]] = {}
        self._young: dict[str, tuple[str, float]] = {}  # node -> type and when it was asked for; not judged yet
        self._in_flight: dict[str, int] = {}
        self._left_alone: frozenset[str] = frozenset()

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
        record = self._change(node_type, lambda old: ledger.at_launch(old, self.policy, zones, now_s))
        left = record.zones_left(zones, now_s)
        if not left:
            sentence = words.not_launched(node_type, record.active(now_s))
            raise _ray.node_launch_exception()("left alone", sentence, None)
        return left

    @contextlib.contextmanager
    def launching(self, node_type: str, count: int) -> Iterator[None]:
        """Count machines that are being asked for: until they are listed, or fail, they are nodes of the type."""
        with self._lock:
            self._in_flight[node_type] = self._in_flight.get(node_type, 0) + count
        try:
            yield
        finally:
            with self._lock:
                self._in_flight[node_type] -= count

    # After it.

    def launched(self, node_type: str, zone: str, nodes: Collection[str]) -> None:
        """Learn that machines came."""
        if not self.active or not nodes:
            return
        now_s = self._clock()
        with self._lock:
            self._live.setdefault(node_type, set()).update(nodes)
            self._young |= dict.fromkeys(nodes, (node_type, now_s))
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
            _, asked_s = self._young.pop(node_id, (node_type, None))
        self._metrics.judged(node_type, zone, verdict, None if asked_s is None else self._clock() - asked_s)
        self._change(node_type, lambda old: ledger.confirmed(old, zone))

    def refused(self, node_id: str, node_type: str, zone: str, verdict: str, message: str) -> None:
        """Learn that a machine does not hold what was promised."""
        if not self.active:
            return
        with self._lock:
            self._young.pop(node_id, None)
        now_s = self._clock()
        self._metrics.judged(node_type, zone, verdict, None)
        self._change(node_type, lambda old: ledger.refused(old, self.policy, zone, Why(verdict, message), now_s))

    def gone(self, node_id: str, node_type: str) -> None:
        """Learn that a machine was terminated."""
        with self._lock:
            self._live.get(node_type, set()).discard(node_id)
        self._limit()

    def keeps(self, node_id: str, sentence: str) -> bool:
        """Say whether this refused machine is to be kept for inspection: the first one, where the file says so."""
        if not (self._keep and self.active):
            return False
        kept: dict[str, str] = {}

        def keep(old: Ledger) -> Ledger:
            kept.update(old.kept or {node_id: sentence})
            return ledger.Ledger(old.types, kept)

        self._store.change(keep)
        return node_id in kept

    def hidden(self) -> Collection[str]:
        """Return the machines that are kept and no part of the cluster any more; `ray down` finds them all the same."""
        return self._store.read().kept if self._keep and self.active else ()

    # Between launches.

    def listed(self, nodes: Callable[[], Mapping[str, str]]) -> None:
        """Learn which workers there are, node -> node type; called before each round of the autoscaler."""
        if not self.active:
            return
        record = self._store.read()
        if not record.types and not self._left_alone:
            return  # nothing is remembered: most clusters, most of the time
        live: dict[str, set[str]] = {}
        for node, node_type in nodes().items():
            live.setdefault(node_type, set()).add(node)
        with self._lock:
            self._live = live
            self._young = {node: one for node, one in self._young.items() if node in live.get(one[0], ())}
        self._limit()

    def _change(self, node_type: str, change: Callable[[Record], Record]) -> Record:
        before: dict[str, Record] = {}

        def of_type(old: Ledger) -> Ledger:
            before["record"] = old.record(node_type)
            return old.with_record(node_type, change(before["record"]))

        record = self._store.change(of_type).record(node_type)
        new = [one for one in record.quarantines if one not in before["record"].quarantines]
        for one in new:
            logger.error("%s", words.begun(node_type, one))
        if new and record.left_alone(self._clock()):  # not each zone: this is what a task waits for
            _ray.tell_drivers(words.begun(node_type, new[-1]))
        if record.quarantines != before["record"].quarantines:
            self._limit()
        return record

    def _limit(self) -> None:
        """Limit the node types that are left alone to the workers that they have."""
        if self._config_path is None:
            return
        with self._lock:
            now_s = self._clock()
            known = self._store.read()
            most: dict[str, int] = {}
            for name, record in known.types.items():
                here = len(self._live.get(name, ())) + self._in_flight.get(name, 0)
                if record.left_alone(now_s):
                    most[name] = here
                elif record.on_trial(now_s):
                    judging = self._in_flight.get(name, 0) or any(kind == name for kind, _ in self._young.values())
                    most[name] = here + (0 if judging else 1)
            self._metrics.left_alone(known, now_s)
            for name in self._left_alone - most.keys():
                logger.info("%s", words.ended(name))
            self._left_alone = frozenset(most)
            try:
                limits.apply(self._config_path, most)
            except OSError as error:
                logger.error("node types could not be limited in %s: %s", self._config_path, error)  # noqa: TRY400


def guard_of(provider_config: Mapping[str, Any]) -> Guard:
    """Return the guard of this process for a provider section; it acts where this is an autoscaler."""
    path = _ray.autoscaler_config_path()
    metrics = Metrics(_ray.autoscaler_metrics_registry()) if path else Metrics(None)
    return Guard(provider_config, path, store.default_path(), metrics=metrics)
