"""Prometheus counters and gauges of launches, verdicts, drains and quarantines, in the registry of Ray's autoscaler."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from accel_scaling.quarantine.place import capacity_in, zone_in

if TYPE_CHECKING:
    from accel_scaling.quarantine.ledger import Ledger

# A registry accepts a name once, and several providers of one process count in it.
_registered: weakref.WeakKeyDictionary[Any, dict[str, Any]] = weakref.WeakKeyDictionary()

# A machine that holds what was promised joins after 20 s (a small image) to 20 minutes (a large TPU slice).
_SECONDS = (10, 20, 40, 60, 90, 120, 180, 300, 600, 1200)


class Metrics:
    """The metrics; without a registry (no Prometheus client, or no autoscaler) they count nothing."""

    def __init__(self, registry: Any | None) -> None:
        """Count in ``registry``, a ``prometheus_client.CollectorRegistry``, or nowhere."""
        self._metrics: dict[str, Any] = {}
        if registry is None:
            return
        if registry not in _registered:
            _registered[registry] = _metrics(registry)
        self._metrics = _registered[registry]

    def launched(self, node_type: str, zone: str, count: int) -> None:
        """Count machines that the cloud gave."""
        if self._metrics:
            self._metrics["launches"].labels(node_type, zone_in(zone), capacity_in(zone)).inc(count)

    def failed(self, node_type: str, zone: str, reason: str) -> None:
        """Count a launch that failed, by the cloud's code."""
        if self._metrics:
            self._metrics["failures"].labels(node_type, zone_in(zone), capacity_in(zone), reason).inc()

    def checked(self, node_type: str, zone: str, verdict: str, took_s: float | None) -> None:
        """Count a verdict; ``took_s`` is from the launch of the machine to its confirmation."""
        if not self._metrics:
            return
        self._metrics["confirmations"].labels(node_type, zone, verdict).inc()
        if took_s is not None:
            self._metrics["seconds"].labels(node_type, zone).observe(took_s)

    def drained(self, node_type: str, kind: str, reason: str) -> None:
        """Count a machine whose drain begins, by the kind of its event and the cloud's word, or the verdict's."""
        if self._metrics:
            self._metrics["drains"].labels(node_type, kind, reason).inc()

    def quarantined(self, ledger: Ledger, now_s: float) -> None:
        """Show the node types that are quarantined now."""
        if not self._metrics:
            return
        gauge = self._metrics["quarantined"]
        # A gauge keeps the last value of each label: a quarantine that ended would stay for ever.
        gauge.clear()
        for name, record in ledger.types.items():
            for quarantine in record.active(now_s):
                gauge.labels(name, zone_in(quarantine.zone), capacity_in(quarantine.zone), quarantine.reason).set(1)


def _metrics(registry: Any) -> dict[str, Any]:
    # Here, not above: without a registry the client need not be installed.
    from prometheus_client import Counter, Gauge, Histogram

    return {
        # The client adds `_total` to the names of counters.
        "launches": Counter(
            "accel_scaling_launches", "Machines launched.", ("node_type", "zone", "capacity"), registry=registry
        ),
        "failures": Counter(
            "accel_scaling_launch_failures",
            "Launches that failed, by the cloud's code.",
            ("node_type", "zone", "capacity", "reason"),
            registry=registry,
        ),
        "confirmations": Counter(
            "accel_scaling_confirmations",
            "Verdicts on machines that booted.",
            ("node_type", "zone", "verdict"),
            registry=registry,
        ),
        "drains": Counter(
            "accel_scaling_drains",
            "Machines that were drained after a notice of the cloud, or as a device was sick.",
            ("node_type", "kind", "reason"),
            registry=registry,
        ),
        "quarantined": Gauge(
            "accel_scaling_quarantined",
            "1 for each node type, zone, capacity type and reason that is quarantined now.",
            ("node_type", "zone", "capacity", "reason"),
            registry=registry,
        ),
        "seconds": Histogram(
            "accel_scaling_confirmed_seconds",
            "From the launch of a machine to its confirmation.",
            ("node_type", "zone"),
            buckets=_SECONDS,
            registry=registry,
        ),
    }
