"""Items of Google's metadata server that the server itself reports when they change: no question each second.

Source: Compute Engine, "Query VM metadata", wait for a change: `wait_for_change=true` holds the answer back until the
value is another one than that of `last_etag`, or for `timeout_sec`; each answer has the header `ETag`.
"""

from __future__ import annotations

import http
import http.client
import select
import time
from typing import TYPE_CHECKING

from accel_scaling import timeouts
from accel_scaling.providers.gcp.instance_metadata import FLAVOR, INSTANCE, metadata_host

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_BYTES = 65_536


class ChangingItem:
    """One item below ``instance/``, with a question to which the server has not answered yet.

    Args:
        path: of the item.
        ticks: seconds that only go forward.
    """

    def __init__(self, path: str, ticks: Callable[[], float] = time.monotonic) -> None:
        self._path, self._ticks = path, ticks
        self._host = metadata_host()
        self._connection: http.client.HTTPConnection | None = None
        self._value: str | None = None
        self._etag = ""
        self._asked_s: float | None = None  # when the question under way was sent

    def value(self) -> str | None:
        """Return the item as far as it is known; None where there is none (404).

        Raises:
            OSError: the server does not answer, or is not Google's.
        """
        try:
            if self._asked_s is None:
                if not self._etag:
                    self._ask("")
                    self._take()
                if self._etag:
                    self._ask(
                        f"?wait_for_change=true&timeout_sec={timeouts.METADATA_WAIT_S:.0f}&last_etag={self._etag}"
                    )
            elif self._has_answer():
                self._take()
        except (OSError, ValueError, http.client.HTTPException) as error:
            self._close()
            raise OSError(f"Google's metadata server does not answer: {error}") from None
        if (
            self._asked_s is not None
            and self._ticks() - self._asked_s > timeouts.METADATA_WAIT_S + timeouts.NOTICE_SERVER_S
        ):
            self._close()
            raise OSError("Google's metadata server holds an answer back for longer than it was told to")
        return self._value

    def fileno(self) -> int:
        """Return the number of the connection, for select; -1 where no question is under way."""
        waits = self._asked_s is not None and self._connection is not None and self._connection.sock is not None
        return self._connection.sock.fileno() if waits and self._connection is not None else -1

    def _ask(self, query: str) -> None:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._host, timeout=timeouts.NOTICE_SERVER_S)
        self._connection.request("GET", f"{INSTANCE}{self._path}{query}", headers={FLAVOR: "Google"})
        self._asked_s = self._ticks()

    def _has_answer(self) -> bool:
        return bool(select.select([self], [], [], 0)[0])

    def _take(self) -> None:
        self._asked_s = None
        answer = self._connection.getresponse() if self._connection is not None else None
        if answer is None:
            return
        text = answer.read(_MOST_BYTES).decode(errors="replace")
        if answer.status != http.HTTPStatus.OK:
            self._value, self._etag = None, ""
            return
        if answer.headers.get(FLAVOR) != "Google":
            raise OSError(f"{self._host} is another server")
        self._value, self._etag = text, answer.headers.get("ETag") or ""

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection, self._asked_s, self._etag, self._value = None, None, "", None


def pause(items: list[ChangingItem], seconds: float) -> bool:
    """Wait for so long, or until there is an answer about one of the items; return whether there is one.

    Until it is taken, by ``value``, no further wait takes time.
    """
    waiting = [item for item in items if item.fileno() >= 0]
    if not waiting:
        time.sleep(seconds)
        return False
    try:
        return bool(select.select(waiting, [], [], seconds)[0])
    except (OSError, ValueError):  # a connection that was closed meanwhile
        time.sleep(seconds)
        return False
