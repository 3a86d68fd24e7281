"""Prometheus counters and gauges of launches, confirmations and quarantines, beside Ray's own of the autoscaler."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from accel_scaling.quarantine.ledger import Ledger

# A registry takes a name once, however many providers count in it.
_made: weakref.WeakKeyDictionary[Any, dict[str, Any]] = weakref.WeakKeyDictionary()

# A machine that holds what was promised joins after 20 s (a small image) to 20 minutes (a large TPU slice).
_SECONDS = (10, 20, 40, 60, 90, 120, 180, 300, 600, 1200)


class Metrics:
    """The counters; without a registry (no Prometheus client, or no autoscaler) they count nothing."""

    def __init__(self, registry: Any | None) -> None:
        """Count in ``registry``, a ``prometheus_client.CollectorRegistry``, or nowhere."""
        self._metrics: dict[str, Any] = {}
        if registry is None:
            return
        if registry not in _made:
            _made[registry] = _declared(registry)
        self._metrics = _made[registry]

    def launched(self, node_type: str, zone: str, count: int) -> None:
        """Count machines that came."""
        if self._metrics:
            self._metrics["launches"].labels(node_type, zone).inc(count)

    def failed(self, node_type: str, zone: str, reason: str) -> None:
        """Count a launch that failed, by the cloud's code."""
        if self._metrics:
            self._metrics["failures"].labels(node_type, zone, reason).inc()

    def judged(self, node_type: str, zone: str, verdict: str, took_s: float | None) -> None:
        """Count a verdict; ``took_s`` is from asking for the machine to its confirmation."""
        if not self._metrics:
            return
        self._metrics["confirmations"].labels(node_type, zone, verdict).inc()
        if took_s is not None:
            self._metrics["seconds"].labels(node_type, zone).observe(took_s)

    def left_alone(self, ledger: Ledger, now_s: float) -> None:
        """Show which node types are left alone now."""
        if not self._metrics:
            return
        gauge = self._metrics["quarantined"]
        gauge.clear()
        for name, record in ledger.types.items():
            for one in record.active(now_s):
                gauge.labels(name, one.zone, one.reason).set(1)


def _declared(registry: Any) -> dict[str, Any]:
    from prometheus_client import Counter, Gauge, Histogram

    return {
        "launches": Counter("accel_scaling_launches", "Machines that came.", ("node_type", "zone"), registry=registry),
        "failures": Counter(
            "accel_scaling_launch_failures",
            "Launches that failed, by the cloud's code.",
            ("node_type", "zone", "reason"),
            registry=registry,
        ),
        "confirmations": Counter(
            "accel_scaling_confirmations",
            "Verdicts on machines that booted.",
            ("node_type", "zone", "verdict"),
            registry=registry,
        ),
        "quarantined": Gauge(
            "accel_scaling_quarantined",
            "1 for each node type, zone and reason that is left alone now.",
            ("node_type", "zone", "reason"),
            registry=registry,
        ),
        "seconds": Histogram(
            "accel_scaling_confirmed_seconds",
            "From asking for a machine to its confirmation.",
            ("node_type", "zone"),
            buckets=_SECONDS,
            registry=registry,
        ),
    }
