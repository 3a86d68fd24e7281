"""The notices of Google's metadata server: preemption and host maintenance, of machines and of Cloud TPU hosts.

Sources: Compute Engine, "Predefined metadata keys" (instance/preempted), "Query the metadata server for maintenance
event notices" (instance/maintenance-event: 60 s before, one hour before for machines with GPUs, and only for machines
that ask), "Monitor and plan for a host maintenance event" (instance/upcoming-maintenance).
"""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from accel_scaling.boot.node_event import EventKind, Notice
from accel_scaling.providers.gcp.instance_metadata import InstanceMetadata
from accel_scaling.providers.gcp.metadata_changes import ChangingItem, pause

if TYPE_CHECKING:
    from collections.abc import Callable

_PREEMPTED_S = 30.0  # from the notice to the end of a spot machine
_TERMINATES = "TERMINATE_ON_HOST_MAINTENANCE"  # else MIGRATE_ON_HOST_MAINTENANCE, which a task does not notice


class Notices:
    """Asks for the notices of this machine.

    Args:
        clock: Unix seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._metadata = InstanceMetadata()
        self._clock = clock
        self._preempted, self._maintenance = ChangingItem("preempted"), ChangingItem("maintenance-event")

    def urgent(self) -> list[Notice]:
        """Return what comes within minutes.

        Raises:
            OSError: the server does not answer.
        """
        notices = []
        if (self._preempted.value() or "").strip() == "TRUE":
            at_s = self._clock() + _PREEMPTED_S
            notices.append(Notice(EventKind.INTERRUPTION, "preempted", "Google preempts this machine", at_s))
        if (self._maintenance.value() or "").strip() == _TERMINATES:
            message = "Google will terminate this machine for maintenance of its host"
            notices.append(Notice(EventKind.MAINTENANCE, _TERMINATES, message))
        return notices

    def pause(self, seconds: float) -> bool:
        """Wait for so long, or until the server answers; return whether it does."""
        return pause([self._preempted, self._maintenance], seconds)

    def slow(self) -> list[Notice]:
        """Return what is announced longer before.

        Raises:
            OSError: the server does not answer.
        """
        text = self._metadata.get("upcoming-maintenance?alt=json")
        try:
            upcoming: Any = json.loads(text) if text else None
        except (ValueError, RecursionError):  # the text NONE
            return []
        if not isinstance(upcoming, dict):
            return []
        # Google's pages have its keys in both forms.
        status, kind, start = (
            str(upcoming.get(snake) or upcoming.get(camel) or "")
            for snake, camel in (
                ("maintenance_status", "maintenanceStatus"),
                ("type", "type"),
                ("window_start_time", "windowStartTime"),
            )
        )
        if status not in ("PENDING", "ONGOING"):
            return []
        # Such a machine is moved while it runs.
        if (self._metadata.get("scheduling/on-host-maintenance") or "").strip() == "MIGRATE":
            return []
        message = "Google has scheduled maintenance of this machine's host"
        return [Notice(EventKind.MAINTENANCE, f"upcoming {kind}".strip(), message, _time(start))]


def _time(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError):
        return None
