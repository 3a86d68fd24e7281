"""A connection to the metadata server of this machine: standard library only, opened again if it breaks."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING, NamedTuple

from accel_scaling.timeouts import NOTICE_SERVER_S

if TYPE_CHECKING:
    from collections.abc import Mapping
    from email.message import Message

_MOST_BYTES = 65_536


class Answer(NamedTuple):
    """An answer: its HTTP status, its headers, and its text."""

    status: int
    headers: Message
    text: str


class MetadataConnection:
    """A connection that stays open from one question to the next.

    Args:
        server: the name of the server in messages.
        host: its name or address, with a port or without.
        port: where ``host`` has none.
    """

    def __init__(self, server: str, host: str, port: int | None = None) -> None:
        self._server, self._host, self._port = server, host, port
        self._connection: http.client.HTTPConnection | None = None

    def ask(self, method: str, path: str, headers: Mapping[str, str]) -> Answer:
        """Send a question, and return the answer.

        Raises:
            OSError: the server does not answer.
        """
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(self._host, self._port, timeout=NOTICE_SERVER_S)
            self._connection.request(method, path, headers=dict(headers))
            answer = self._connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read(_MOST_BYTES).decode(errors="replace"))
        except (OSError, ValueError, http.client.HTTPException) as error:
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            raise OSError(f"{self._server} does not answer: {error}") from None
