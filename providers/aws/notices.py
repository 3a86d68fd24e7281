"""The notices of EC2's instance metadata service: spot interruption, rebalance recommendation, scheduled events.

Sources: the EC2 User Guide, "Spot Instance interruption notices", "EC2 instance rebalance recommendations", and
"Scheduled events for your instances". IMDSv2: a token for each session, which a machine may demand (HttpTokens).
"""

from __future__ import annotations

import calendar
import http.client
import json
import os
import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from accel_scaling.boot.node_event import EventKind, Notice
from accel_scaling.timeouts import NOTICE_SERVER_S

if TYPE_CHECKING:
    from collections.abc import Callable

ENDPOINT_VARIABLE = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
_ENDPOINT = "http://169.254.169.254"
_TOKEN_S = 21_600  # the longest that IMDSv2 gives
_TOKEN = re.compile(r"[!-~]{1,512}")  # else it is a page of another server, and can be in no header
_META = "/latest/meta-data/"
_ISO = "%Y-%m-%dT%H:%M:%SZ"
# Of these the machine goes; a reboot of the system only interrupts it, and Ray does not come back by itself.
_ENDING = ("instance-stop", "instance-retirement", "instance-reboot", "system-reboot", "system-maintenance")


class Notices:
    """Asks for the notices of this machine.

    Args:
        clock: Unix seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        endpoint = urlsplit(os.environ.get(ENDPOINT_VARIABLE) or _ENDPOINT)
        self._host, self._port = endpoint.hostname or "", endpoint.port or 80
        self._clock = clock
        self._token, self._token_until_s = "", 0.0
        self._connection: http.client.HTTPConnection | None = None

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
        text = self._get(path)
        try:
            return json.loads(text) if text else None
        except (ValueError, RecursionError):
            return None

    def _get(self, path: str) -> str | None:
        """Return one item; None where there is none (404)."""
        for _ in range(2):
            if self._clock() >= self._token_until_s:
                status, text = self._ask(
                    "PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_S)}
                )
                if status != http.HTTPStatus.OK or not _TOKEN.fullmatch(text):
                    raise OSError(f"EC2's metadata service gives no token: HTTP {status}")
                self._token, self._token_until_s = text, self._clock() + _TOKEN_S / 2
            status, text = self._ask("GET", _META + path, {"X-aws-ec2-metadata-token": self._token})
            if status != http.HTTPStatus.UNAUTHORIZED:
                return text if status == http.HTTPStatus.OK else None
            self._token_until_s = 0.0  # the machine was stopped and started: its tokens have ended
        return None

    def _ask(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(self._host, self._port, timeout=NOTICE_SERVER_S)
            self._connection.request(method, path, headers=headers)
            answer = self._connection.getresponse()
            return answer.status, answer.read(65_536).decode(errors="replace")
        except (OSError, ValueError, http.client.HTTPException) as error:
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            raise OSError(f"EC2's metadata service does not answer: {error}") from None


def _time(text: Any, form: str) -> float | None:
    try:
        return float(calendar.timegm(time.strptime(str(text), form)))
    except (ValueError, OverflowError):
        return None
