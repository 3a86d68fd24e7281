"""The lists of machine types and accelerator types over all zones.

What can be created does not follow from them (machine_rules); a test says what is listed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from accel_scaling.testing.gce import filters
from accel_scaling.testing.gce.api_errors import invalid, not_found

if TYPE_CHECKING:
    from accel_scaling.testing.gce.state import State

PAGE = 500  # the document of machineTypes.aggregatedList: maxResults


@dataclass
class TypeLists:
    """What the lists have.

    Attributes:
        machine_types: zone -> records as the document of Compute Engine has them, without ``kind`` and ``zone``.
        accelerator_types: the same.
        silent: zones that do not answer when many are asked at once.
    """

    machine_types: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    accelerator_types: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)


class ListCalls:
    """Answers the calls for the two lists."""

    def __init__(self, state: State, lists: TypeLists) -> None:
        self._state, self._lists = state, lists
        self.handlers: dict[str, Any] = {
            f"compute.{what}.aggregatedList": self._lister(what) for what in ("machineTypes", "acceleratorTypes")
        }

    def _lister(self, what: str) -> Any:
        return lambda parameters, _body: self._list(what, parameters)

    def _list(self, what: str, parameters: dict[str, str]) -> dict[str, Any]:
        if parameters["project"] != self._state.project:
            raise not_found(f"projects/{parameters['project']}")
        size = int(parameters.get("maxResults") or PAGE)
        if not 0 <= size <= PAGE:
            raise invalid(f"Invalid value for field 'maxResults': '{size}'. Must be between 0 and {PAGE}.")
        size = min(size or PAGE, self._state.injection.page_size or PAGE)
        begin = int(parameters.get("pageToken") or 0)
        everything = self._everything(what, parameters.get("filter", ""))
        page = everything[begin : begin + size]
        silent = sorted(self._lists.silent)
        answer: dict[str, Any] = {
            "kind": f"compute#{what.removesuffix('s')}AggregatedList",
            "id": f"projects/{self._state.project}/aggregated/{what}",
            "items": {f"zones/{zone}": self._scope(what, zone, page) for zone in self._zones()},
        }
        if silent:
            answer["unreachables"] = [f"projects/{self._state.project}/zones/{zone}" for zone in silent]
        if begin + size < len(everything):
            answer["nextPageToken"] = str(begin + size)
        return answer

    def _zones(self) -> list[str]:
        named = {*self._state.zones, *self._lists.machine_types, *self._lists.accelerator_types}
        return sorted(named - self._lists.silent)

    def _everything(self, what: str, wanted: str) -> list[tuple[str, dict[str, Any]]]:
        fits = filters.parse(wanted)
        by_zone = self._lists.machine_types if what == "machineTypes" else self._lists.accelerator_types
        return [
            (zone, record)
            for zone in self._zones()
            for record in sorted(by_zone.get(zone, ()), key=lambda record: str(record["name"]))
            if fits(record)
        ]

    def _scope(self, what: str, zone: str, page: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
        """Return what a page has of a zone; every zone is on every page, those without anything with a warning."""
        kind = f"compute#{what.removesuffix('s')}"
        records = [{"kind": kind, "zone": zone, **one} for place, one in page if place == zone]
        if records:
            return {what: records}
        text = f"There are no results for scope 'zones/{zone}' on this page."
        return {"warning": {"code": "NO_RESULTS_ON_PAGE", "message": text, "data": [{"key": "scope", "value": zone}]}}
