"""The filter language of Compute Engine's lists: ``labels.x = y``, ``:``, ``:*``, ``!=``, AND, OR, NOT, brackets.

Source: google.aip.dev/160, and the description of ``filter`` in the document of compute.instances.list.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from accel_scaling.testing.gce.api_errors import ApiError, wrong_field

if TYPE_CHECKING:
    from collections.abc import Callable

    Test = Callable[[dict[str, Any]], bool]

_TOKENS = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*")|(\(|\)|!=|:\*|=|:)|([^\s()=:!"]+))')
_OPERATORS = ("=", "!=", ":", ":*")


def parse(text: str) -> Test:
    """Return the test that a filter is.

    Raises:
        ApiError: 400, it is no filter.
    """
    return _Parser(text).whole()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text, self._tokens = text, _tokens(text)
        self._at = 0

    def whole(self) -> Test:
        if not self._tokens:
            return lambda _: True
        test = self._alternatives()
        if self._at != len(self._tokens):
            raise self._wrong()
        return test

    def _alternatives(self) -> Test:
        """``a AND b OR c``; clients put brackets where both occur."""
        tests = [self._all()]
        while self._peek() == "OR":
            self._next()
            tests.append(self._all())
        return lambda item: any(test(item) for test in tests)

    def _all(self) -> Test:
        tests = [self._one()]
        while self._peek() not in (None, ")", "OR"):
            if self._peek() == "AND":
                self._next()
            tests.append(self._one())
        return lambda item: all(test(item) for test in tests)

    def _one(self) -> Test:
        if self._peek() == "NOT":
            self._next()
            denied = self._one()
            return lambda item: not denied(item)
        if self._peek() == "(":
            self._next()
            test = self._alternatives()
            if self._next() != ")":
                raise self._wrong()
            return test
        return self._comparison()

    def _comparison(self) -> Test:
        field, operator = self._next(), self._next()
        if operator not in _OPERATORS or field in _OPERATORS:
            raise self._wrong()
        if operator == ":*":
            return lambda item: _value(item, field) is not None
        wanted = self._next()
        if wanted in (*_OPERATORS, "(", ")"):
            raise self._wrong()
        wanted = wanted.strip('"')
        if operator == ":":
            return lambda item: wanted in str(_value(item, field) or "")
        return lambda item: (str(_value(item, field)) == wanted) is (operator == "=")

    def _peek(self) -> str | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _next(self) -> str:
        token = self._peek()
        if token is None:
            raise self._wrong()
        self._at += 1
        return token

    def _wrong(self) -> ApiError:
        return wrong_field("filter", self._text, "Invalid list filter expression.")


def _tokens(text: str) -> list[str]:
    found, at = [], 0
    while text[at:].strip():
        match = _TOKENS.match(text, at)
        if match is None:
            raise wrong_field("filter", text, "Invalid list filter expression.")
        found.append(next(group for group in match.groups() if group is not None))
        at = match.end()
    return found


def _value(item: dict[str, Any], field: str) -> Any:
    # A label's key may hold anything but a dot: the rest of the field is the key.
    parts = ["labels", field.removeprefix("labels.")] if field.startswith("labels.") else field.split(".")
    value: Any = item
    for part in parts:
        value = value.get(part) if isinstance(value, dict) else None
    return value
