"""Tells people what their tasks wait for: a quarantine, in the drivers' terminals and in `ray status`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from accel_scaling import _ray, timeouts
from accel_scaling.quarantine import messages

if TYPE_CHECKING:
    from accel_scaling._ray import RecentFailures
    from accel_scaling.quarantine.ledger import Ledger
    from accel_scaling.quarantine.record import Quarantine


class DriverMessages:
    """The messages of one autoscaler process; a new process begins again."""

    def __init__(self, recent_failures: RecentFailures | None = None) -> None:
        """Remember nothing; with the list of `ray status`, keep that up to date too."""
        self._recent_failures = recent_failures
        # Node type -> when the drivers were last told that it is in quarantine.
        self._told_s: dict[str, float] = {}

    def begun(self, node_type: str, quarantine: Quarantine, now_s: float) -> None:
        """Tell that a node type is quarantined from now on."""
        self._told_s[node_type] = now_s
        _ray.tell_drivers(messages.begun(node_type, quarantine))

    def repeat(self, ledger: Ledger, now_s: float) -> None:
        """Tell again which node types are quarantined in all their zones: Ray's own line says that none fits."""
        if self._recent_failures is not None:
            self._recent_failures.show(
                {
                    name: _ray.BlockedType(
                        messages.blocked(record.active(now_s)),
                        messages.not_launched(name, record.active(now_s)),
                        max(item.since_s for item in record.active(now_s)),
                    )
                    for name, record in ledger.types.items()
                    if record.quarantined(now_s)
                }
            )
        for name, record in ledger.types.items():
            told_s = self._told_s.get(name, -math.inf)
            if record.quarantined(now_s) and not 0 <= now_s - told_s < timeouts.QUARANTINE_REPEATED_S:
                self._told_s[name] = now_s
                _ray.tell_drivers(messages.still(name, record.active(now_s)))
