"""The notices of Google's metadata server: preemption and host maintenance, of machines and of Cloud TPU hosts.

Sources: Compute Engine, "Predefined metadata keys" (instance/preempted), "Query the metadata server for maintenance
event notices" (instance/maintenance-event: 60 s before, one hour before for machines with GPUs, and only for machines
that ask), "Monitor and plan for a host maintenance event" (instance/upcoming-maintenance).
"""

from __future__ import annotations

import http.client
import json
import os
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from accel_scaling.boot.node_event import EventKind, Notice
from accel_scaling.timeouts import NOTICE_SERVER_S

if TYPE_CHECKING:
    from collections.abc import Callable

HOST_VARIABLE = "GCE_METADATA_HOST"
_HOST = "metadata.google.internal"
_FLAVOR = "Metadata-Flavor"  # of each question, and of each answer of Google's
_INSTANCE = "/computeMetadata/v1/instance/"
_PREEMPTED_S = 30.0  # from the notice to the end of a spot machine
_TERMINATES = "TERMINATE_ON_HOST_MAINTENANCE"  # else MIGRATE_ON_HOST_MAINTENANCE, which a task does not notice


class Notices:
    """Asks for the notices of this machine.

    Args:
        clock: Unix seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._host = os.environ.get(HOST_VARIABLE) or _HOST
        self._clock = clock
        self._connection: http.client.HTTPConnection | None = None

    def urgent(self) -> list[Notice]:
        """Return what comes within minutes.

        Raises:
            OSError: the server does not answer.
        """
        notices = []
        if (self._get("preempted") or "").strip() == "TRUE":
            at_s = self._clock() + _PREEMPTED_S
            notices.append(Notice(EventKind.INTERRUPTION, "preempted", "Google preempts this machine", at_s))
        if (self._get("maintenance-event") or "").strip() == _TERMINATES:
            message = "Google will terminate this machine for maintenance of its host"
            notices.append(Notice(EventKind.MAINTENANCE, _TERMINATES, message))
        return notices

    def slow(self) -> list[Notice]:
        """Return what is announced longer before.

        Raises:
            OSError: the server does not answer.
        """
        text = self._get("upcoming-maintenance?alt=json")
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
        if (self._get("scheduling/on-host-maintenance") or "").strip() == "MIGRATE":
            return []
        message = "Google has scheduled maintenance of this machine's host"
        return [Notice(EventKind.MAINTENANCE, f"upcoming {kind}".strip(), message, _time(start))]

    def _get(self, path: str) -> str | None:
        """Return one item; None where there is none (404)."""
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(self._host, timeout=NOTICE_SERVER_S)
            self._connection.request("GET", _INSTANCE + path, headers={_FLAVOR: "Google"})
            answer = self._connection.getresponse()
            text = answer.read(65_536).decode(errors="replace")
        except (OSError, ValueError, http.client.HTTPException) as error:
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            raise OSError(f"Google's metadata server does not answer: {error}") from None
        if answer.status != http.HTTPStatus.OK:
            return None
        if answer.getheader(_FLAVOR) != "Google":
            raise OSError(f"{self._host} is not Google's metadata server")
        return text


def _time(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError):
        return None
