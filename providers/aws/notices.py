"""The notices of EC2's instance metadata service: spot interruption, rebalance recommendation, scheduled events.

Sources: the EC2 User Guide, "Spot Instance interruption notices", "EC2 instance rebalance recommendations", and
"Scheduled events for your instances".
"""

from __future__ import annotations

import calendar
import json
import time
from typing import TYPE_CHECKING, Any

from accel_scaling.boot.node_event import EventKind, Notice
from accel_scaling.providers.aws.instance_metadata import InstanceMetadata

if TYPE_CHECKING:
    from collections.abc import Callable

_ISO = "%Y-%m-%dT%H:%M:%SZ"
# Of these the machine goes; a reboot of the system only interrupts it, and Ray does not come back by itself.
_ENDING = ("instance-stop", "instance-retirement", "instance-reboot", "system-reboot", "system-maintenance")


class Notices:
    """Asks for the notices of this machine.

    Args:
        clock: Unix seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._metadata = InstanceMetadata(clock)

    def urgent(self) -> list[Notice]:
        """Return what comes within minutes.

        Raises:
            OSError: the service does not answer.
        """
        action = self._json("spot/instance-action")
        what = action.get("action") if isinstance(action, dict) else None
        # These three and nothing else: a proxy in the service's place may answer each question with an object.
        if what not in ("terminate", "stop", "hibernate"):
            return []
        at_s = _time(action.get("time"), _ISO)
        return [Notice(EventKind.INTERRUPTION, f"spot {what}", f"EC2 will {what} this spot instance", at_s)]

    def pause(self, seconds: float) -> bool:
        """Wait for so long; the service reports nothing by itself."""
        time.sleep(seconds)
        return False

    def slow(self) -> list[Notice]:
        """Return what is announced longer before.

        Raises:
            OSError: the service does not answer.
        """
        notices = []
        rebalance = self._json("events/recommendations/rebalance")
        if isinstance(rebalance, dict) and _time(rebalance.get("noticeTime"), _ISO) is not None:
            message = "EC2 recommends to rebalance: this spot instance is at an elevated risk of interruption"
            notices.append(Notice(EventKind.REBALANCE, "rebalance recommendation", message))
        events = self._json("events/maintenance/scheduled")
        for event in events if isinstance(events, list) else ():
            if not isinstance(event, dict) or event.get("State") != "active" or event.get("Code") not in _ENDING:
                continue
            at_s = _time(event.get("NotBefore"), "%d %b %Y %H:%M:%S GMT")
            said = str(event.get("Description") or "a scheduled event of EC2")
            notices.append(Notice(EventKind.MAINTENANCE, str(event["Code"]), said, at_s))
        return notices

    def _json(self, path: str) -> Any:
        text = self._metadata.get(path)
        try:
            return json.loads(text) if text else None
        except (ValueError, RecursionError):
            return None


def _time(text: Any, form: str) -> float | None:
    try:
        return float(calendar.timegm(time.strptime(str(text), form)))
    except (ValueError, OverflowError):
        return None
