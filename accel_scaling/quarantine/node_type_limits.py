"""The limits of quarantined node types: as many workers as they have, written into the head's config."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from accel_scaling.errors import ClusterConfigError
from accel_scaling.quarantine import max_workers, messages

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from accel_scaling.quarantine.ledger import Ledger
    from accel_scaling.quarantine.metrics import Metrics
    from accel_scaling.quarantine.record import Record
    from accel_scaling.quarantine.worker_counts import WorkerCounts

logger = logging.getLogger(__name__)


class NodeTypeLimits:
    """The limits in one head's config. Callers hold the gate's lock.

    Attributes:
        idle: there is no quarantine, and no limit of ours in the config: then a round costs one look at the file.
    """

    def __init__(self, path: Path | None, counts: WorkerCounts, metrics: Metrics) -> None:
        """Limit node types in the autoscaler's config at ``path`` by ``counts``; None: do nothing."""
        self._path = path
        self._counts = counts
        self._metrics = metrics
        # What the last round limited: the end of a quarantine is logged once, by the difference.
        self._limited: frozenset[str] = frozenset()
        self.idle = False
        self._last_error = ""

    def write(self, read_ledger: Callable[[], Ledger], now_s: float) -> None:
        """Limit the node types that are quarantined in a ledger to the workers that they have."""
        if self._path is None:
            return
        current = read_ledger()
        limits = {name: self._max_workers(name, record, now_s) for name, record in current.types.items()}
        limits_set = {name: limit for name, limit in limits.items() if limit is not None}
        self._metrics.quarantined(current, now_s)
        for name in self._limited - limits_set.keys():
            logger.info("%s", messages.ended(name))
        self._limited = frozenset(limits_set)
        self.idle = self._write(self._path, limits_set) and not current.has_quarantines

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
        # That the file cannot be limited stops no round: the gate blocks the launches anyway.
        except (OSError, ClusterConfigError) as error:
            if str(error) != self._last_error:  # once in a row: this is tried every few seconds
                self._last_error = str(error)
                logger.error("node types could not be limited in %s: %s", path, error)  # noqa: TRY400
            return False
        self._last_error = ""
        return True
