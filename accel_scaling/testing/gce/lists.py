"""The lists of Compute Engine: their pages, their filters, and the machine and accelerator types over all zones.

Filters are ``labels.x = y``, ``:``, ``:*``, ``!=``, AND, OR, NOT, brackets: google.aip.dev/160, and the description of
``filter`` in the document of compute.instances.list. What can be created does not follow from the lists of types
(machine_rules); a test says what is listed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from accel_scaling.testing.gce.api_errors import ApiError, invalid, not_found, wrong_field
from accel_scaling.testing.gce.machine_rules import known_type

if TYPE_CHECKING:
    from collections.abc import Callable

    Test = Callable[[dict[str, Any]], bool]
    from accel_scaling.testing.gce.fault_injection import FaultInjection
    from accel_scaling.testing.gce.state import State


_TOKENS = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*")|(\(|\)|!=|:\*|=|:)|([^\s()=:!"]+))')
PAGE = 500  # maxResults in the documents of instances.list and machineTypes.aggregatedList: the most, and the default
_OPERATORS = ("=", "!=", ":", ":*")


def parse_filter(text: str) -> Test:
    """Return the test of a filter.

    Raises:
        ApiError: 400, it is no filter.
    """
    return _FilterParser(text).whole()


class _FilterParser:
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
        tests = [self._term()]
        while self._peek() not in (None, ")", "OR"):
            if self._peek() == "AND":
                self._next()
            tests.append(self._term())
        return lambda item: all(test(item) for test in tests)

    def _term(self) -> Test:
        if self._peek() == "NOT":
            self._next()
            denied = self._term()
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
        expected = self._next()
        if expected in (*_OPERATORS, "(", ")"):
            raise self._wrong()
        expected = expected.strip('"')
        if operator == ":":
            return lambda item: expected in str(_value(item, field) or "")
        return lambda item: (str(_value(item, field)) == expected) is (operator == "=")

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
    tokens, at = [], 0
    while text[at:].strip():
        match = _TOKENS.match(text, at)
        if match is None:
            raise wrong_field("filter", text, "Invalid list filter expression.")
        tokens.append(next(group for group in match.groups() if group is not None))
        at = match.end()
    return tokens


def _value(item: dict[str, Any], field: str) -> Any:
    # A label's key may hold anything but a dot: the rest of the field is the key.
    parts = ["labels", field.removeprefix("labels.")] if field.startswith("labels.") else field.split(".")
    value: Any = item
    for part in parts:
        value = value.get(part) if isinstance(value, dict) else None
    return value


def page_size(parameters: dict[str, str], injection: FaultInjection) -> int:
    """Return how many records a page of a list has at most.

    Raises:
        ApiError: 400, the requested number is none that Google allows.
    """
    size = int(parameters.get("maxResults") or PAGE)
    if not 0 <= size <= PAGE:
        raise invalid(f"Invalid value for field 'maxResults': '{size}'. Must be between 0 and {PAGE}.")
    return min(size or PAGE, injection.page_size or PAGE)


@dataclass
class TypeLists:
    """The contents of the lists of types.

    Attributes:
        machine_types: zone -> records as the document of Compute Engine has them, without ``kind`` and ``zone``.
        accelerator_types: the same.
        silent: zones that do not answer when many are asked at once.
    """

    machine_types: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    accelerator_types: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)


class ListCalls:
    """The calls for the two lists of types, and for one type in one zone."""

    def __init__(self, state: State, lists: TypeLists) -> None:
        self._state, self._lists = state, lists
        self.handlers: dict[str, Any] = {
            f"compute.{what}.aggregatedList": self._lister(what) for what in ("machineTypes", "acceleratorTypes")
        }
        self.handlers |= {
            "compute.machineTypes.get": lambda parameters, _: self._one("machineType", parameters),
            "compute.acceleratorTypes.get": lambda parameters, _: self._one("acceleratorType", parameters),
            "tpu.projects.locations.acceleratorTypes.get": lambda parameters, _: self._slice_type(parameters["name"]),
        }

    def _lister(self, what: str) -> Any:
        return lambda parameters, _body: self._list(what, parameters)

    def _one(self, what: str, parameters: dict[str, str]) -> dict[str, Any]:
        """Return a type, which is in every zone, or in those that the test named."""
        zone, name = self._state.zone(parameters["zone"]), parameters[what]
        place = f"projects/{self._state.project}/zones/{zone}/{what}s/{name}"
        if not known_type(what, name) or not self._state.injection.offers(zone, name):
            raise not_found(place)
        return {"kind": f"compute#{what}", "name": name, "zone": zone, "selfLink": place}

    def _slice_type(self, path: str) -> dict[str, Any]:
        zone, name = self._state.zone(path.split("/")[3]), path.rpartition("/")[2]
        if not known_type("slice", name) or not self._state.injection.offers(zone, name):
            raise not_found(path)
        return {"name": path, "type": name}

    def _list(self, what: str, parameters: dict[str, str]) -> dict[str, Any]:
        if parameters["project"] != self._state.project:
            raise not_found(f"projects/{parameters['project']}")
        size = page_size(parameters, self._state.injection)
        # A number is enough here, where machines need a name: the lists of types do not change between two pages.
        begin = int(parameters.get("pageToken") or 0)
        records = self._records(what, parameters.get("filter", ""))
        page = records[begin : begin + size]
        silent = sorted(self._lists.silent)
        answer: dict[str, Any] = {
            "kind": f"compute#{what.removesuffix('s')}AggregatedList",
            "id": f"projects/{self._state.project}/aggregated/{what}",
            "items": {f"zones/{zone}": self._scope(what, zone, page) for zone in self._zones()},
        }
        if silent:
            answer["unreachables"] = [f"projects/{self._state.project}/zones/{zone}" for zone in silent]
        if begin + size < len(records):
            answer["nextPageToken"] = str(begin + size)
        return answer

    def _zones(self) -> list[str]:
        named = {*self._state.zones, *self._lists.machine_types, *self._lists.accelerator_types}
        return sorted(named - self._lists.silent)

    def _records(self, what: str, filter_text: str) -> list[tuple[str, dict[str, Any]]]:
        fits = parse_filter(filter_text)
        by_zone = self._lists.machine_types if what == "machineTypes" else self._lists.accelerator_types
        return [
            (zone, record)
            for zone in self._zones()
            for record in sorted(by_zone.get(zone, ()), key=lambda record: str(record["name"]))
            if fits(record)
        ]

    def _scope(self, what: str, zone: str, page: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
        """Return the part of a page that is of one zone: a warning where the page has nothing of it."""
        record_kind = f"compute#{what.removesuffix('s')}"
        records = [{"kind": record_kind, "zone": zone, **record} for place, record in page if place == zone]
        if records:
            return {what: records}
        text = f"There are no results for scope 'zones/{zone}' on this page."
        return {"warning": {"code": "NO_RESULTS_ON_PAGE", "message": text, "data": [{"key": "scope", "value": zone}]}}
