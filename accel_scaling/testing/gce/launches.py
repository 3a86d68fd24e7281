"""The creation of machines, one or many, in a zone or a region; refusals, shortages and templates."""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

from accel_scaling.testing.gce.api_errors import ApiError, invalid, not_found, wrong_field
from accel_scaling.testing.gce.instances import (
    PENDING,
    capacity_type_of,
    capacity_word,
    fingerprint,
    now_text,
    with_addresses,
)
from accel_scaling.testing.gce.machine_rules import NAME, MachineRequest, checked
from accel_scaling.testing.gce.state import COMPUTE, Errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accel_scaling.testing.gce.instances import Instances
    from accel_scaling.testing.gce.placement_policies import PlacementPolicies
    from accel_scaling.testing.gce.reservations import Reservations
    from accel_scaling.testing.gce.state import State

_MAX_COUNT = 1000  # docs.cloud.google.com/compute/docs/instances/multiple/about-bulk-creation
_SHORTEST_WAIT_S = (
    90.0  # below it, a machine does not wait: docs.cloud.google.com/compute/docs/instances/instance-lifecycle
)
_LONGEST_WAIT_S = 7200.0


class Launches:
    """The calls that create machines, and those for instance templates.

    Args:
        state: the project's.
        instances: where they go.
        reservations: whose places they may take.
        policies: the placement policies that they may have.
    """

    def __init__(
        self, state: State, instances: Instances, reservations: Reservations, policies: PlacementPolicies
    ) -> None:
        self._state, self._instances, self._reservations = state, instances, reservations
        self._policies = policies
        self._templates: dict[str, dict[str, Any]] = {}
        self.handlers: dict[str, Any] = {
            "compute.instances.insert": self._insert,
            "compute.instances.bulkInsert": self._bulk_in_zone,
            "compute.regionInstances.bulkInsert": self._bulk_in_region,
            "compute.instanceTemplates.insert": self._insert_template,
            "compute.instanceTemplates.get": self._get_template,
        }

    def _insert(self, parameters: dict[str, str], body: Any) -> dict[str, Any]:
        zone = self._state.zone(parameters["zone"])
        body = self._with_template(parameters.get("sourceInstanceTemplate"), body)
        if parameters.get("sourceInstanceTemplate") and "/" not in str(body.get("machineType", "/")):
            body["machineType"] = f"zones/{zone}/machineTypes/{body['machineType']}"  # a template has no zone
        if not body.get("name"):
            raise wrong_field("resource.name", "", "Must be specified.")
        request = checked(body, zone, bulk=False)
        self._policies.check(body, zone, bulk=False)
        fault = self._state.injection.take_fault("compute.instances.insert", ("operation",))
        longest_s = _wait_s(body)
        if longest_s and not fault:
            return self._queue(zone, body["name"], request, longest_s)
        errors: Errors = [{"code": fault.code, "message": fault.message}] if fault else []
        reservation, refused = ("", errors) if errors else self._refusal(zone, request)
        errors = errors or refused
        machine = self._new(zone, body["name"], request, reservation)
        self._instances.add(zone, machine)  # one that will fail, too: its name is taken until the operation has failed
        self._report(zone, machine, 1, 0 if errors else 1, errors)
        target = machine["selfLink"].removeprefix(COMPUTE)
        hosts_of = [] if errors else [machine["name"]]

        def finish() -> Errors:
            if errors:
                self._instances.vanish(machine["name"])
            else:
                self._instances.stage(machine["name"])
            return errors

        return self._state.view(
            self._state.begin("insert", target, f"zones/{zone}", finish, hosts_of=hosts_of, latency="insert")
        )

    def _queue(self, zone: str, name: str, request: MachineRequest, longest_s: float) -> dict[str, Any]:
        """Let a flex-start machine wait until there is capacity for it, or until its wait has lasted long enough."""
        machine = self._new(zone, name, request)
        machine["status"] = PENDING
        # Not seen at Google whether it has an address by then: a client must do without.
        machine["networkInterfaces"] = copy.deepcopy(request.body["networkInterfaces"])
        self._instances.add(zone, machine)
        asked_at = self._state.clock()
        errors: Errors = []

        def ready() -> bool:
            if not self._instances.waits(zone, name):
                return True  # it was deleted meanwhile
            waited_s = self._state.clock() - asked_at
            errors[:] = self._refusal(zone, request, waited_s)[1]
            return not errors or waited_s >= longest_s

        def finish() -> Errors:
            if not self._instances.waits(zone, name):
                return []
            if errors:
                self._instances.vanish(name)
            else:
                self._instances.comes(zone, name, self._state.address())
            self._report(zone, machine, 1, 0 if errors else 1, errors)
            return errors

        target = machine["selfLink"].removeprefix(COMPUTE)
        operation = self._state.begin("insert", target, f"zones/{zone}", finish, hosts_of=[name])
        operation.ready = ready
        return self._state.view(operation)

    def _bulk_in_zone(self, parameters: dict[str, str], body: Any) -> dict[str, Any]:
        zone = self._state.zone(parameters["zone"])
        return self._bulk("compute.instances.bulkInsert", [zone], f"zones/{zone}", body)

    def _bulk_in_region(self, parameters: dict[str, str], body: Any) -> dict[str, Any]:
        if parameters["region"] != self._state.region:
            raise invalid(f"Invalid value for field 'region': '{parameters['region']}'. Unknown region.")
        locations = (body.get("locationPolicy") or {}).get("locations") or {}
        denied = {name for name, policy in locations.items() if policy.get("preference") == "DENY"}
        allowed = [name.rpartition("/")[2] for name in locations if name not in denied]
        zones = [self._state.zone(name) for name in allowed] or list(self._state.zones)
        scope = f"regions/{self._state.region}"
        return self._bulk("compute.regionInstances.bulkInsert", zones, scope, body)

    def _bulk(self, method: str, zones: list[str], scope: str, body: Any) -> dict[str, Any]:
        properties = self._with_template(body.get("sourceInstanceTemplate"), body.get("instanceProperties") or {})
        names = self._names(body)
        least = int(body.get("minCount", len(names)))
        machine = checked(properties, zones[0], bulk=True)
        self._policies.check(properties, zones[0], bulk=True)
        fault = self._state.injection.take_fault(method, ("operation",))
        if fault:
            made: list[tuple[str, str]] = []
            errors = [{"code": fault.code, "message": fault.message}]
        else:
            made, errors = self._place(zones, names, machine)
        # All or nothing: what there is of a bulk creation below its minCount is removed again.
        if len(made) < least:
            for name, _zone in made:
                self._instances.vanish(name)
        kept = [name for name, _zone in made] if len(made) >= least else []
        self._report(zones[0], properties, len(names), len(kept), errors)

        def finish() -> Errors:
            for name in kept:
                self._instances.stage(name)
            return errors

        target = f"projects/{self._state.project}/{scope}/instances"
        operation = self._state.begin("bulkInsert", target, scope, finish, hosts_of=kept)
        operation.metadata = {"perLocationStatus": _per_zone(zones, made, len(names) - len(made), bool(kept))}
        return self._state.view(operation)

    def _names(self, body: Any) -> list[str]:
        count, names = int(body.get("count", 0)), list(body.get("perInstanceProperties") or {})
        if not 0 < count <= _MAX_COUNT:
            raise wrong_field("count", count, f"Must be between 1 and {_MAX_COUNT}.")
        if names and len(names) != count:
            raise wrong_field("perInstanceProperties", "", "The number of names must be the count.")
        pattern = re.fullmatch(r"(.*?)(#+)(.*)", body.get("namePattern", ""))
        if not names and pattern is None:
            raise invalid("Either namePattern or perInstanceProperties must be specified.")
        if names or pattern is None:
            return names
        # A pattern continues where names are free, so a second creation with the same one does not collide.
        taken = {machine["name"] for machine in self._instances.all()}
        numbered = (pattern[1] + str(index).zfill(len(pattern[2])) + pattern[3] for index in range(1, 10**6))
        free = (name for name in numbered if name not in taken)
        return [next(free) for _ in range(count)]

    def _place(
        self, zones: list[str], names: list[str], machine: MachineRequest
    ) -> tuple[list[tuple[str, str]], Errors]:
        """Put each machine into the first zone that has one; return where they are, and why others are not."""
        made, errors = [], []
        for name in names:
            for zone in zones:
                reservation, refused = self._refusal(zone, machine)
                if not refused:
                    self._instances.add(zone, self._new(zone, name, machine, reservation))
                    made.append((name, zone))
                    break
                errors = refused
        return made, errors if len(made) < len(names) else []

    def _refusal(self, zone: str, request: MachineRequest, waited_s: float = 0.0) -> tuple[str, Errors]:
        """Return the reservation whose place one more machine takes, empty for none; or Google's error for it."""
        machine_type, injection = request.machine_type, self._state.injection
        live = self._instances.live(machine_type)
        if live >= injection.quota.get(machine_type, live + 1):
            limit = float(injection.quota[machine_type])
            text = f"Quota '{machine_type}' exceeded.  Limit: {limit} in region {self._state.region}."
            return "", [{"code": "QUOTA_EXCEEDED", "message": text}]
        reservation, errors = self._reservations.place(zone, request)
        if reservation or errors:
            return reservation, errors
        bought = capacity_type_of(request.body)
        taken = ((machine_type, live), (f"{machine_type}/{bought}", self._instances.live(machine_type, bought)))
        full = any(count >= injection.capacity.get(key, count + 1) for key, count in taken)
        early = bought == "flex-start" and waited_s < injection.waits_s.get(machine_type, 0.0)
        if early or full or injection.is_dry(zone, machine_type, bought):
            return "", self._sold_out(zone)
        return "", []

    def _sold_out(self, zone: str) -> Errors:
        place = f"projects/{self._state.project}/zones/{zone}"
        text = (
            f"The zone '{place}' does not have enough resources available to fulfill the request.  "
            "'(resource type:compute)'."
        )
        return [{"code": "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", "message": text}]

    def _new(self, zone: str, name: str, machine: MachineRequest, reservation: str = "") -> dict[str, Any]:
        if not NAME.fullmatch(name):
            raise wrong_field("resource.name", name, f"Must be a match of regex '{NAME.pattern}'")
        place, address = f"{COMPUTE}projects/{self._state.project}/zones/{zone}", self._state.address()
        labels = machine.body.get("labels", {})
        consumed = {"resourceStatus": {"reservationConsumptionInfo": {"consumedReservation": reservation}}}
        return {
            # Google's InstanceProperties have the first key, its Instance does not: in an answer it would be drift. The
            # second one is only for the request.
            **{key: value for key, value in machine.body.items() if key not in ("resourceManagerTags", "params")},
            **(consumed if reservation else {}),
            "kind": "compute#instance",
            "id": str(self._state.number()),
            "name": name,
            "zone": place,
            "machineType": f"{place}/machineTypes/{machine.machine_type}",
            "status": "PROVISIONING",
            "networkInterfaces": with_addresses(machine.body["networkInterfaces"], address),
            "labels": dict(labels),
            "labelFingerprint": fingerprint(labels),
            "creationTimestamp": now_text(),
            "selfLink": f"{place}/instances/{name}",
            "guestAccelerators": [
                {"acceleratorType": f"{place}/acceleratorTypes/{name}", "acceleratorCount": count}
                for name, count in machine.accelerators
            ],
        }

    def _report(self, zone: str, machine: Mapping[str, Any], count: int, granted: int, errors: Errors) -> None:
        machine_type, error = machine["machineType"].rpartition("/")[2], errors[0]["code"] if errors else None
        labels, word = machine.get("labels") or {}, capacity_word(machine)
        self._state.launch_request(machine_type, count, granted, zone, error, labels=labels, capacity=word)

    # Templates.

    def _insert_template(self, parameters: dict[str, str], body: Any) -> dict[str, Any]:
        self._templates[body["name"]] = {
            **body,
            "kind": "compute#instanceTemplate",
            "selfLink": f"{COMPUTE}projects/{parameters['project']}/global/instanceTemplates/{body['name']}",
        }
        target = f"projects/{parameters['project']}/global/instanceTemplates/{body['name']}"
        return self._state.view(self._state.begin("insert", target, "global", list, latency="template"))

    def _get_template(self, parameters: dict[str, str], _body: Any) -> dict[str, Any]:
        name = parameters["instanceTemplate"]
        if name not in self._templates:
            raise not_found(f"projects/{parameters['project']}/global/instanceTemplates/{name}")
        return self._templates[name]

    def _with_template(self, url: str | None, body: Any) -> dict[str, Any]:
        """Return the body of a machine of a template: the request's own fields go before the template's."""
        if not url:
            return dict(body)
        name = url.rpartition("/")[2]
        if name not in self._templates:
            raise ApiError(404, f"The resource '{url}' was not found", "notFound")
        return _merged(copy.deepcopy(self._templates[name]["properties"]), body)


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Merge as JSON merge patch, which Google says it uses: a list is replaced whole."""
    merged = dict(below)
    for key, value in above.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _merged(merged[key], value)
        else:
            merged[key] = value
    return merged


def _wait_s(body: dict[str, Any]) -> float:
    """Return how long a machine may wait for capacity, 0 where it does not wait.

    Raises:
        ApiError: 400, only flex-start machines wait, and two hours at most.
    """
    duration = (body.get("params") or {}).get("requestValidForDuration") or {}
    longest_s = float(duration.get("seconds") or 0)
    if not longest_s:
        return 0.0
    if capacity_type_of(body) != "flex-start" or longest_s > _LONGEST_WAIT_S:
        raise wrong_field(
            "resource.params.requestValidForDuration", duration, f"Must be at most {_LONGEST_WAIT_S:.0f} s, for "
            "instances with the provisioning model FLEX_START.",
        )  # fmt: skip
    return longest_s if longest_s >= _SHORTEST_WAIT_S else 0.0


def _per_zone(zones: list[str], made: list[tuple[str, str]], failed: int, kept: bool) -> dict[str, Any]:  # noqa: FBT001
    status = {}
    for zone in zones:
        came, missing = sum(place == zone for _, place in made), failed if zone == zones[-1] else 0
        status[f"zones/{zone}"] = {
            "status": "DONE",
            "targetVmCount": came + missing,
            "createdVmCount": came,
            "failedToCreateVmCount": missing,
            "deletedVmCount": 0 if kept else came,
        }
    return status
