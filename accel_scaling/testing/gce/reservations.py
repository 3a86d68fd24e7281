"""Reservations of Compute Engine: who gets their places, when they begin and end, and the calls that tell of them.

A reservation of calendar mode is made by a future reservation: it is being made until its start, and at its end Google
ends its machines. ``rules.md`` has the sources.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from accel_scaling.testing.gce.api_errors import ApiError, invalid, not_found, wrong_field
from accel_scaling.testing.gce.instances import time_text
from accel_scaling.testing.gce.lists import parse_filter
from accel_scaling.testing.gce.state import COMPUTE, Errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from accel_scaling.testing.gce.instances import Instances
    from accel_scaling.testing.gce.machine_rules import MachineRequest
    from accel_scaling.testing.gce.state import State

_KEY = "compute.googleapis.com/reservation-name"
_VALUE = re.compile(r"(?:projects/(?P<project>[^/]+)/reservations/)?(?P<name>[^/]+)(?:/reservationBlocks/[^/]+)?")
_BOUND = "RESERVATION_BOUND"
_WITHOUT_RESERVATIONS = ("SPOT", "FLEX_START")


@dataclass(frozen=True)
class GceReservation:
    """One reservation.

    Attributes:
        name: its name.
        machine_type: of its machines.
        count: how many.
        zone: where; empty for the first zone.
        project: whose it is; empty for the project of the machines. Another's is shared with it.
        specific: a machine gets a place only by naming it; otherwise each machine of its type takes one first.
        calendar: it is of calendar mode.
        begins_s: when it can be used, as Unix time.
        ends_s: when it is deleted, as Unix time; None for never.
        readable: the caller may look at it.
        policy: the placement policy that it was made with; empty for none.
    """

    name: str
    machine_type: str
    count: int = 1
    zone: str = ""
    project: str = ""
    specific: bool = True
    calendar: bool = False
    begins_s: float = 0.0
    ends_s: float | None = None
    readable: bool = True
    policy: str = ""


class Reservations:
    """The reservations that the machines of a project may use.

    Args:
        state: the project's.
        instances: the machines, which take the places.
    """

    def __init__(self, state: State, instances: Instances) -> None:
        self._state, self._instances = state, instances
        self._all: list[GceReservation] = []
        state.at_each_look.append(self._end_machines)
        self.handlers: dict[str, Any] = {
            "compute.reservations.get": self._get,
            "compute.reservations.list": self._lister("reservation", self._listed, "compute#reservationsList"),
            "compute.reservations.aggregatedList": self._aggregated("reservation", self._listed),
            "compute.futureReservations.get": self._get_future,
            "compute.futureReservations.list": self._lister(
                "futureReservation", self._listed_future, "compute#FutureReservationsListResponse"
            ),
            "compute.futureReservations.aggregatedList": self._aggregated("futureReservation", self._listed_future),
        }

    def set(self, reservations: Iterable[GceReservation]) -> None:
        """Have these reservations from now on, and no others."""
        self._all = list(reservations)

    def end_in(self, path: str, after_s: float) -> None:
        """Let a reservation of calendar mode end so soon, where it does not end sooner."""
        ends_s = self._state.unix_s() + after_s
        for number, one in enumerate(self._all):
            if one.calendar and self._path(one) == path and (one.ends_s is None or one.ends_s > ends_s):
                self._all[number] = replace(one, ends_s=ends_s)

    def place(self, zone: str, request: MachineRequest) -> tuple[str, Errors]:
        """Return the reservation, as a path, whose place one more machine takes; empty for none, and why it cannot.

        Raises:
            ApiError: 400, the request contradicts itself.
        """
        affinity = request.body.get("reservationAffinity") or {}
        wanted = affinity.get("consumeReservationType") or "ANY_RESERVATION"
        scheduling = request.body.get("scheduling") or {}
        model = "SPOT" if scheduling.get("preemptible") else scheduling.get("provisioningModel") or "STANDARD"
        _check(model, wanted, named=bool(affinity))
        if wanted == "SPECIFIC_RESERVATION":
            return self._place_in_named(zone, request, model, affinity)
        if wanted == "NO_RESERVATION" or model != "STANDARD":
            return "", []
        free = (one for one in self._usable(zone) if not one.specific and self._free(one))
        mine = [self._path(one) for one in free if one.machine_type == request.machine_type]
        return mine[0] if mine else "", []

    def _place_in_named(
        self, zone: str, request: MachineRequest, model: str, affinity: dict[str, Any]
    ) -> tuple[str, Errors]:
        if affinity.get("key") != _KEY:
            raise wrong_field("resource.reservationAffinity.key", affinity.get("key", ""), f"Must be {_KEY}.")
        values = [str(value) for value in affinity.get("values") or []]
        if len(values) != 1:
            raise wrong_field("resource.reservationAffinity.values", values, "Must name one reservation.")
        value = _VALUE.fullmatch(values[0])
        project, name = (value["project"] or self._state.project, value["name"]) if value else ("", "")
        found = [
            one for one in self._existing(zone) if (one.name, one.project or self._state.project) == (name, project)
        ]
        if not found:
            return "", _refused(f"Specified reservation '{values[0]}' does not exist.")
        one = found[0]
        if not self._ready(one):
            return "", _refused(
                "Cannot insert instance to a reservation with status: CREATING, as it requires reservation to be in "
                "READY state."
            )
        policies = {str(path).rpartition("/")[2] for path in request.body.get("resourcePolicies") or ()}
        near = one.calendar or policies == ({one.policy} if one.policy else set())
        if one.machine_type != request.machine_type or one.calendar != (model == _BOUND) or not near:
            return "", _refused(f"No available resources in specified reservations '{values[0]}'")
        if not self._free(one):
            return "", _refused(
                f"Specified reservation '{values[0]}' does not have available resources for the request."
            )
        return self._path(one), []

    # What there is.

    def _existing(self, zone: str) -> list[GceReservation]:
        now = self._state.unix_s()
        there = [one for one in self._all if (one.zone or self._state.zones[0]) == zone]
        # That of calendar mode is made when the request for it is approved; any other one at its begin.
        begun = [one for one in there if one.calendar or one.begins_s <= now]
        return [one for one in begun if one.ends_s is None or now < one.ends_s]

    def _usable(self, zone: str) -> list[GceReservation]:
        return [one for one in self._existing(zone) if self._ready(one)]

    def _ready(self, one: GceReservation) -> bool:
        return one.begins_s <= self._state.unix_s()

    def _free(self, one: GceReservation) -> int:
        return max(0, one.count - self._used(one))

    def _used(self, one: GceReservation) -> int:
        return self._instances.in_reservation(self._path(one))

    def _path(self, one: GceReservation) -> str:
        zone = one.zone or self._state.zones[0]
        return f"projects/{one.project or self._state.project}/zones/{zone}/reservations/{one.name}"

    def _end_machines(self) -> None:
        """End the machines of each reservation of calendar mode that has ended."""
        now = self._state.unix_s()
        for one in self._all:
            if one.calendar and one.ends_s is not None and one.ends_s <= now:
                self._instances.end_reserved(self._path(one))

    # The calls.

    def _in_project(self, project: str) -> list[GceReservation]:
        if project == self._state.project:
            return [one for one in self._all if one.project in ("", project)]
        return [one for one in self._all if one.project == project]

    def _get(self, parameters: dict[str, str], _body: Any) -> dict[str, Any]:
        return self._one(parameters, "reservation", self._listed)

    def _get_future(self, parameters: dict[str, str], _body: Any) -> dict[str, Any]:
        return self._one(parameters, "futureReservation", self._listed_future)

    def _one(
        self, parameters: dict[str, str], what: str, listed: Callable[[str, str], list[dict[str, Any]]]
    ) -> dict[str, Any]:
        project, zone, name = parameters["project"], self._state.zone(parameters["zone"]), parameters[what]
        path = f"projects/{project}/zones/{zone}/{what}s/{name}"
        mine = self._in_project(project)
        # Google tells nobody whether there is something that they may not see.
        if not all(one.readable for one in mine) or (project != self._state.project and not mine):
            raise ApiError(403, f"Required 'compute.{what}s.get' permission for '{path}'", "forbidden")
        found = [record for record in listed(project, zone) if record["name"] == name]
        if not found:
            raise not_found(path)
        return found[0]

    def _lister(self, what: str, listed: Callable[[str, str], list[dict[str, Any]]], kind: str) -> Any:
        def answer(parameters: dict[str, str], _body: Any) -> dict[str, Any]:
            project, zone = parameters["project"], self._state.zone(parameters["zone"])
            self._check_list(project, what)
            fits = parse_filter(parameters.get("filter", ""))
            found = [record for record in listed(project, zone) if fits(record)]
            return {"kind": kind, "id": f"projects/{project}/zones/{zone}/{what}s", "items": found}

        return answer

    def _aggregated(self, what: str, listed: Callable[[str, str], list[dict[str, Any]]]) -> Any:
        def answer(parameters: dict[str, str], _body: Any) -> dict[str, Any]:
            self._check_list(parameters["project"], what)
            fits = parse_filter(parameters.get("filter", ""))
            items: dict[str, Any] = {}
            for zone in self._state.zones:
                found = [record for record in listed(parameters["project"], zone) if fits(record)]
                if found:
                    items[f"zones/{zone}"] = {f"{what}s": found}
            return {"id": f"projects/{parameters['project']}/aggregated/{what}s", "items": items}

        return answer

    def _check_list(self, project: str, what: str) -> None:
        mine = self._in_project(project)
        if not all(one.readable for one in mine) or (project != self._state.project and not mine):
            raise ApiError(403, f"Required 'compute.{what}s.list' permission for 'projects/{project}'", "forbidden")

    def _listed(self, project: str, zone: str) -> list[dict[str, Any]]:
        here = set(self._existing(zone))
        return [self._record(one) for one in self._in_project(project) if one in here]

    def _listed_future(self, project: str, zone: str) -> list[dict[str, Any]]:
        mine = [one for one in self._in_project(project) if one.calendar]
        return [self._future(one) for one in mine if (one.zone or self._state.zones[0]) == zone]

    def _record(self, one: GceReservation) -> dict[str, Any]:
        path = self._path(one)
        record: dict[str, Any] = {
            "kind": "compute#reservation",
            "name": one.name,
            "zone": f"{COMPUTE}{path.rpartition('/reservations/')[0]}",
            "selfLink": COMPUTE + path,
            "status": "READY" if self._ready(one) else "CREATING",
            "specificReservationRequired": one.specific,
            "specificReservation": {
                "count": str(one.count),
                "inUseCount": str(self._used(one)),
                "assuredCount": str(one.count),
                "instanceProperties": {"machineType": one.machine_type},
            },
            "shareSettings": {"shareType": "SPECIFIC_PROJECTS" if one.project else "LOCAL"},
        }
        if one.policy:
            region = self._state.zones[0].rpartition("-")[0]
            url = f"{COMPUTE}projects/{self._state.project}/regions/{region}/resourcePolicies/{one.policy}"
            record["resourcePolicies"] = {"policy": url}
        if one.ends_s is not None:
            record["deleteAtTime"] = time_text(one.ends_s)
        return record

    def _future(self, one: GceReservation) -> dict[str, Any]:
        path = self._path(one)
        window = {"startTime": time_text(one.begins_s)}
        if one.ends_s is not None:
            window["endTime"] = time_text(one.ends_s)
        return {
            "kind": "compute#futureReservation",
            "name": f"{one.name}-request",
            "zone": f"{COMPUTE}{path.rpartition('/reservations/')[0]}",
            "reservationName": one.name,
            "reservationMode": "CALENDAR",
            "specificReservationRequired": one.specific,
            "specificSkuProperties": {
                "totalCount": str(one.count),
                "instanceProperties": {"machineType": one.machine_type},
            },
            "timeWindow": window,
            "status": {
                "procurementStatus": "FULFILLED" if self._ready(one) else "APPROVED",
                "autoCreatedReservations": [COMPUTE + path],
            },
        }


def _refused(message: str) -> Errors:
    return [{"code": "CONDITION_NOT_MET", "message": message}]


def _check(model: str, wanted: str, *, named: bool) -> None:
    """Refuse an affinity that a provisioning model does not take.

    Raises:
        ApiError: 400.
    """
    # A spot machine that may take any place takes none: instances have both (rules.md).
    harmless = ("NO_RESERVATION", "ANY_RESERVATION") if model == "SPOT" else ("NO_RESERVATION",)
    if model in _WITHOUT_RESERVATIONS and named and wanted not in harmless:
        raise invalid(f"Instances with the provisioning model {model} cannot consume a reservation.")
    if model == _BOUND and wanted != "SPECIFIC_RESERVATION":
        raise invalid(f"The provisioning model {_BOUND} requires a specific reservation.")
