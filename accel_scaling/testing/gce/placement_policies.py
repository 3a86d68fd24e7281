"""Resource policies of the local Compute Engine: compact placement, as machines are created with it.

Sources: the documents of resourcePolicies.insert, get and delete; docs.cloud.google.com/compute/docs/instances/
placement-policies-overview. Many machines at once name a policy, one machine has its URL: the documents of
InstanceProperties and Instance. A policy that a machine uses cannot be deleted: the code is Google's own for a resource
in use, its words are not seen at Google.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from accel_scaling.testing.gce.api_errors import ApiError, exists, not_found, wrong_field
from accel_scaling.testing.gce.instances import now_text
from accel_scaling.testing.gce.machine_rules import NAME
from accel_scaling.testing.gce.state import COMPUTE, Errors

if TYPE_CHECKING:
    from accel_scaling.testing.gce.instances import Instances
    from accel_scaling.testing.gce.state import State

_PATH = re.compile(r"(?:https://[^/]+/compute/v1/)?(?:projects/[^/]+/)?regions/([^/]+)/resourcePolicies/([^/]+)")


class PlacementPolicies:
    """The policies of the project's region.

    Args:
        state: the project's.
        instances: the machines, which use them.
    """

    def __init__(self, state: State, instances: Instances) -> None:
        self._state, self._instances = state, instances
        self._policies: dict[str, dict[str, Any]] = {}
        self.handlers: dict[str, Any] = {
            "compute.resourcePolicies.insert": self._insert,
            "compute.resourcePolicies.get": self._get,
            "compute.resourcePolicies.delete": self._delete,
        }

    def names(self) -> list[str]:
        """Return the names of all policies."""
        return sorted(self._policies)

    def check(self, body: dict[str, Any], zone: str, *, bulk: bool) -> None:
        """Refuse a machine with a policy that is not there, or that holds machines of another zone.

        Args:
            body: an instance, or the properties of many.
            zone: where it is to be.
            bulk: whether these are the properties of many: those name policies without a place.

        Raises:
            ApiError: as Google refuses it.
        """
        for given in body.get("resourcePolicies") or ():
            named = None if bulk else _PATH.fullmatch(given)
            if (named is None and not bulk) or (bulk and "/" in given):
                expected = "Must be the name of a resource policy." if bulk else "The URL is malformed."
                raise wrong_field("resource.resourcePolicies[0]", given, expected)
            region, name = (named[1], named[2]) if named else (self._state.region, given)
            if region != self._state.region or name not in self._policies:
                raise not_found(f"projects/{self._state.project}/regions/{region}/resourcePolicies/{name}")
            if any(not machine["zone"].endswith(f"/{zone}") for machine in self._users(name)):
                text = f"The resource policy {name} is used by instances in another zone."
                raise wrong_field("resource.resourcePolicies[0]", given, text)

    def _insert(self, parameters: dict[str, str], body: Any) -> dict[str, Any]:
        region, name = self._region(parameters), body.get("name", "")
        if not NAME.fullmatch(name):
            raise wrong_field("resource.name", name, f"Must be a match of regex '{NAME.pattern}'")
        if name in self._policies:
            raise exists(f"projects/{self._state.project}/regions/{region}/resourcePolicies/{name}")
        path = f"projects/{self._state.project}/regions/{region}/resourcePolicies/{name}"
        self._policies[name] = {
            **body,
            "kind": "compute#resourcePolicy",
            "id": str(self._state.number()),
            "creationTimestamp": now_text(),
            "region": f"{COMPUTE}projects/{self._state.project}/regions/{region}",
            "selfLink": COMPUTE + path,
            "status": "READY",
        }
        return self._state.view(self._state.begin("insert", path, f"regions/{region}", list, latency="policy"))

    def _get(self, parameters: dict[str, str], _body: Any) -> dict[str, Any]:
        return self._policies[self._named(parameters)]

    def _delete(self, parameters: dict[str, str], _body: Any) -> dict[str, Any]:
        name = self._named(parameters)
        path = f"projects/{self._state.project}/regions/{self._state.region}/resourcePolicies/{name}"
        if users := self._users(name):
            text = f"The resource_policy resource '{path}' is already being used by '{users[0]['selfLink']}'"
            raise ApiError(400, text, "resourceInUseByAnotherResource")

        def finish() -> Errors:
            self._policies.pop(name, None)
            return []

        scope = f"regions/{self._state.region}"
        return self._state.view(self._state.begin("delete", path, scope, finish, latency="policy"))

    def _users(self, name: str) -> list[dict[str, Any]]:
        every = self._instances.all()
        return [one for one in every if name in (path.rpartition("/")[2] for path in one.get("resourcePolicies") or ())]

    def _named(self, parameters: dict[str, str]) -> str:
        region, name = self._region(parameters), parameters["resourcePolicy"]
        if name not in self._policies:
            raise not_found(f"projects/{self._state.project}/regions/{region}/resourcePolicies/{name}")
        return name

    def _region(self, parameters: dict[str, str]) -> str:
        if parameters["region"] != self._state.region:
            raise not_found(f"projects/{self._state.project}/regions/{parameters['region']}")
        return parameters["region"]
