"""The calls that a local cloud answered, in a file: how often it was asked, and for what."""

from __future__ import annotations

import io
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_FILE = "calls.txt"


class Call(NamedTuple):
    """One call: when, in Unix seconds, and the cloud's name of it: ``RunInstances``, ``compute.instances.insert``."""

    time_s: float
    action: str


class CallLog:
    """The file of calls in a folder, to append to; safe to use from several threads of one process."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE
        self._lock = threading.Lock()

    def add(self, action: str) -> None:
        """Note a call."""
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            file.write(f"{time.time():.3f} {action}\n")


class LoggedApplication:
    """A WSGI application that speaks AWS's query protocol: it notes each call, and has another one answer it."""

    def __init__(self, answers: Callable[..., Any], log: CallLog) -> None:
        self._answers, self._log = answers, log

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        """Note a call, and answer it."""
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        self._log.add(parse_qs(body.decode(errors="replace")).get("Action", ["?"])[0])
        return self._answers(environ, start_response)


def read_calls(folder: Path) -> list[Call]:
    """Return the calls so far, oldest first."""
    try:
        lines = (folder / _FILE).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    pairs = (line.split(" ", 1) for line in lines)
    return [Call(float(second), action) for second, action in pairs]
