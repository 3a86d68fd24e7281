"""The calls that the local EC2 answered, in a file: how often EC2 was asked, and for what."""

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
    """One call: when, in Unix seconds, and EC2's (or IAM's, STS's) name of it."""

    time_s: float
    action: str


class CallLog:
    """A WSGI application that notes each call in a folder's file, and has another one answer it."""

    def __init__(self, answers: Callable[..., Any], folder: Path) -> None:
        self._answers = answers
        self._path = folder / _FILE
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        """Note a call, and answer it."""
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        action = parse_qs(body.decode(errors="replace")).get("Action", ["?"])[0]
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            file.write(f"{time.time():.3f} {action}\n")
        return self._answers(environ, start_response)


def read_calls(folder: Path) -> list[Call]:
    """Return the calls so far, oldest first."""
    try:
        lines = (folder / _FILE).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    pairs = (line.split(" ", 1) for line in lines)
    return [Call(float(second), action) for second, action in pairs]
