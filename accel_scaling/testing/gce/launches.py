"""The creation of machines, one or many, in a zone or a region; refusals, shortages and templates."""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

from accel_scaling.testing.gce.api_errors import ApiError, invalid, not_found, wrong_field
from accel_scaling.testing.gce.instances import fingerprint, now_text
from accel_scaling.testing.gce.machine_rules import NAME, MachineRequest, checked
from accel_scaling.testing.gce.state import COMPUTE, Errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accel_scaling.testing.gce.instances import Instances
    from accel_scaling.testing.gce.placement_policies import PlacementPolicies
    from accel_scaling.testing.gce.state import State

_MAX_COUNT = 1000  # docs.cloud.google.com/compute/docs/instances/multiple/about-bulk-creation


class Launches:
    """The calls that create machines, and those for instance templates.

    Args:
        state: the project's.
        instances: where they go.
        policies: the placement policies that they may have.
    """

    def __init__(self, state: State, instances: Instances, policies: PlacementPolicies) -> None:
        self._state, self._instances, self._policies = state, instances, policies
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
        machine = self._new(zone, body["name"], request)
        fault = self._state.injection.take_fault("compute.instances.insert", ("operation",))
        errors: Errors = [{"code": fault.code, "message": fault.message}] if fault else []
        errors = errors or self._refusal(zone, machine["machineType"])
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
                refused = self._refusal(zone, machine.machine_type)
                if not refused:
                    self._instances.add(zone, self._new(zone, name, machine))
                    made.append((name, zone))
                    break
                errors = refused
        return made, errors if len(made) < len(names) else []

    def _refusal(self, zone: str, machine_type: str) -> Errors:
        """Return Google's error for one more machine of this type; empty where it comes."""
        machine_type = machine_type.rpartition("/")[2]
        injection = self._state.injection
        live = self._instances.live(machine_type)
        if live >= injection.quota.get(machine_type, live + 1):
            limit = float(injection.quota[machine_type])
            text = f"Quota '{machine_type}' exceeded.  Limit: {limit} in region {self._state.region}."
            return [{"code": "QUOTA_EXCEEDED", "message": text}]
        if injection.is_dry(zone, machine_type) or live >= injection.capacity.get(machine_type, live + 1):
            place = f"projects/{self._state.project}/zones/{zone}"
            text = (
                f"The zone '{place}' does not have enough resources available to fulfill the request.  "
                "'(resource type:compute)'."
            )
            return [{"code": "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", "message": text}]
        return []

    def _new(self, zone: str, name: str, machine: MachineRequest) -> dict[str, Any]:
        if not NAME.fullmatch(name):
            raise wrong_field("resource.name", name, f"Must be a match of regex '{NAME.pattern}'")
        place, address = f"{COMPUTE}projects/{self._state.project}/zones/{zone}", self._state.address()
        labels = machine.body.get("labels", {})
        return {
            # Google's InstanceProperties have this key, its Instance does not: in an answer it would be drift.
            **{key: value for key, value in machine.body.items() if key != "resourceManagerTags"},
            "kind": "compute#instance",
            "id": str(self._state.number()),
            "name": name,
            "zone": place,
            "machineType": f"{place}/machineTypes/{machine.machine_type}",
            "status": "PROVISIONING",
            "networkInterfaces": _with_addresses(machine.body["networkInterfaces"], address),
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
        self._state.launch_request(machine_type, count, granted, zone, error, labels=machine.get("labels") or {})

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


def _with_addresses(interfaces: list[dict[str, Any]], address: str) -> list[dict[str, Any]]:
    """Return the interfaces with addresses; a public one is one that the laptop reaches: the private one."""
    addressed = copy.deepcopy(interfaces)
    for number, interface in enumerate(addressed):
        interface |= {"name": f"nic{number}", "networkIP": address}
        for access in interface.get("accessConfigs", []):
            access["natIP"] = address
    return addressed


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
