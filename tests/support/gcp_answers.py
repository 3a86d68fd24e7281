"""Answers of the local Compute Engine that are spoilt on their way: by a proxy, by a cut, by a server that gave up."""

from __future__ import annotations

import contextlib
import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import google_auth_httplib2
import httplib2
import pytest

# Calls by their HTTP method and path.
CALLS = {
    "insert": r"POST .*/instances",
    "bulkInsert": r"POST .*/instances/bulkInsert",
    "list": r"GET .*/(instances|nodes)",
    "get": r"GET .*/(instances|nodes)/[^/]+",
    "change": r"POST .*/(setLabels|start|stop)|PATCH .*",
    "delete": r"DELETE .*",
    "wait": r"(POST|GET) .*/operations/.*",
    "slice": r"POST .*/nodes",
    "any": r".*",
}
KINDS = ("html", "half", "empty", "null", "list", "500", "503 of a proxy", "401", "mutated", "mutated", "mutated")


_COUNTED = ("items", "nodes", "error")


@dataclass
class Spoilt:
    """What is to be spoilt, a call at a time: (the name of the call, the kind)."""

    todo: list[tuple[str, str]] = field(default_factory=list)
    done: int = 0
    random: random.Random = field(default_factory=lambda: random.Random(0))

    def answer(self, method: str, uri: str, response: Any, content: bytes) -> tuple[Any, bytes]:
        asked = f"{method} {urlsplit(uri).path}"
        found = next((one for one in self.todo if re.fullmatch(CALLS[one[0]], asked)), None)
        if found is None:
            return response, content
        self.todo.remove(found)
        self.done += 1
        status, spoilt = self._spoilt(found[1], content)
        kept = {**response, "status": str(status or response.status)}
        return httplib2.Response(kept), spoilt

    def _spoilt(self, kind: str, content: bytes) -> tuple[int | None, bytes]:
        if kind == "mutated":
            with contextlib.suppress(ValueError):
                return None, json.dumps(self._mutated(json.loads(content))).encode()
            return None, content
        bodies = {
            "html": (200, b"<html>502 Bad Gateway</html>"),
            "half": (None, content[: len(content) // 2]),
            "empty": (None, b""),
            "null": (None, b"null"),
            "list": (None, b"[]"),
            "500": (500, b'{"error":{"code":500,"message":"backendError","errors":["x"]}}'),
            "503 of a proxy": (503, b"upstream connect error"),
            "401": (401, b'{"error":{"code":401,"message":"Invalid","status":"UNAUTHENTICATED","details":["x"]}}'),
        }
        return bodies[kind]

    def _mutated(self, value: Any) -> Any:
        """Return JSON in which some fields are gone, or of another kind."""
        if isinstance(value, list):
            return [self._mutated(one) for one in value]
        if not isinstance(value, dict):
            return value
        mutated = {}
        for key, one in value.items():
            chance = self.random.random()
            if chance < 0.05:
                # A list without its items is a right answer, which says that there are none: nobody could see the lie.
                if key in _COUNTED:
                    mutated[key] = one
                continue
            wrong = self.random.choice(["x", -1] if key in _COUNTED else [None, [], {}, "", 0, "x", -1])
            mutated[key] = wrong if chance < 0.1 else self._mutated(one)
        return mutated


@contextlib.contextmanager
def spoilt_answers() -> Iterator[Spoilt]:
    """Spoil answers to the clients of this process."""
    spoilt, request = Spoilt(), google_auth_httplib2.AuthorizedHttp.request

    def spoiling(self: Any, uri: str, method: str = "GET", *given: Any, **named: Any) -> Any:
        return spoilt.answer(method, uri, *request(self, uri, method, *given, **named))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(google_auth_httplib2.AuthorizedHttp, "request", spoiling)
        yield spoilt
