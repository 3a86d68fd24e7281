"""What the local Compute Engine lists as for sale: machine types and accelerator types, in lists over all zones.

What can be created does not follow from it (machine_rules); a test or a rehearsal says what is listed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from accel_scaling.testing.gce import filters
from accel_scaling.testing.gce.api_errors import invalid, not_found

if TYPE_CHECKING:
    from accel_scaling.testing.gce.api import ComputeEngine

PAGE = 500  # the document of machineTypes.aggregatedList: maxResults


@dataclass
class ForSale:
    """What is listed.

    Attributes:
        machine_types: zone -> records as the document of Compute Engine has them, without ``kind`` and ``zone``.
        accelerator_types: the same.
        silent: zones that do not answer when many are asked at once.
    """

    machine_types: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    accelerator_types: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)


class Lists:
    """The two lists of an engine."""

    def __init__(self, engine: ComputeEngine, for_sale: ForSale) -> None:
        self._engine, self._for_sale = engine, for_sale
        self.handlers: dict[str, Any] = {
            f"compute.{what}.aggregatedList": self._lister(what) for what in ("machineTypes", "acceleratorTypes")
        }

    def _lister(self, what: str) -> Any:
        return lambda parameters, _body: self._list(what, parameters)

    def _list(self, what: str, parameters: dict[str, str]) -> dict[str, Any]:
        if parameters["project"] != self._engine.project:
            raise not_found(f"projects/{parameters['project']}")
        size = int(parameters.get("maxResults") or PAGE)
        if not 0 <= size <= PAGE:
            raise invalid(f"Invalid value for field 'maxResults': '{size}'. Must be between 0 and {PAGE}.")
        size = min(size or PAGE, self._engine.knobs.page_size or PAGE)
        begin = int(parameters.get("pageToken") or 0)
        everything = self._everything(what, parameters.get("filter", ""))
        page = everything[begin : begin + size]
        silent = sorted(self._for_sale.silent)
        answer: dict[str, Any] = {
            "kind": f"compute#{what.removesuffix('s')}AggregatedList",
            "id": f"projects/{self._engine.project}/aggregated/{what}",
            "items": {f"zones/{zone}": self._scope(what, zone, page) for zone in self._zones()},
        }
        if silent:
            answer["unreachables"] = [f"projects/{self._engine.project}/zones/{zone}" for zone in silent]
        if begin + size < len(everything):
            answer["nextPageToken"] = str(begin + size)
        return answer

    def _zones(self) -> list[str]:
        named = {*self._engine.zones, *self._for_sale.machine_types, *self._for_sale.accelerator_types}
        return sorted(named - self._for_sale.silent)

    def _everything(self, what: str, wanted: str) -> list[tuple[str, dict[str, Any]]]:
        fits = filters.parse(wanted)
        by_zone = self._for_sale.machine_types if what == "machineTypes" else self._for_sale.accelerator_types
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
