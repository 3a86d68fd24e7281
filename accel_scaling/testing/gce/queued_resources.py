"""The queued resources of Cloud TPU: requests for one slice that wait for their turn, and their calls.

What becomes of one follows the clock: each look at the state (``State.at_each_look``) moves all of them on.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from accel_scaling.testing.gce.api_errors import ApiError, invalid, not_found
from accel_scaling.testing.gce.instances import now_text
from accel_scaling.testing.gce.slices import INTERNAL, PAGE, Slices, capacity_type

if TYPE_CHECKING:
    from accel_scaling.testing.gce.state import Errors, State

# google.rpc.Code: DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, FAILED_PRECONDITION
_DEADLINE, _EXHAUSTED, _PRECONDITION = 4, 8, 9
_ID = re.compile(r"[A-Za-z0-9_.~+%-]+")
_SECONDS = re.compile(r"(\d+(?:\.\d+)?)s")
# In these it can be deleted without `force`: the document of queuedResources.delete, with the newer word for ACCEPTED.
_DELETABLE = ("ACCEPTED", "WAITING_FOR_RESOURCES", "SUSPENDED", "FAILED")
_WITH_SLICE = ("PROVISIONING", "ACTIVE", "SUSPENDING")


@dataclass
class _Queued:
    """One queued resource.

    Attributes:
        name: ``projects/../locations/../queuedResources/..``.
        body: as the user sent it.
        node_name: the slice's, whether it is there or not.
        accelerator_type: of the slice.
        since_s: when it was created, on the state's clock.
        valid_s: how long it may wait.
        state: the word; with ``initiator`` and ``error`` where there are such.
        created: when it was created, as text.
    """

    name: str
    body: dict[str, Any]
    node_name: str
    accelerator_type: str
    since_s: float
    valid_s: float
    state: str = "WAITING_FOR_RESOURCES"
    initiator: str = ""
    error: dict[str, Any] | None = None
    created: str = field(default_factory=now_text)

    @property
    def zone(self) -> str:
        """The zone that it is in."""
        return self.name.split("/")[3]

    @property
    def node(self) -> dict[str, Any]:
        """The slice's body."""
        node: dict[str, Any] = self.body["tpu"]["nodeSpec"][0]["node"]
        return node

    def view(self) -> dict[str, Any]:
        """Return it as Google describes it."""
        state: dict[str, Any] = {"state": self.state}
        if self.initiator:
            state["stateInitiator"] = self.initiator
        if self.state == "FAILED":
            state["failedData"] = {"error": self.error}
        return {**self.body, "name": self.name, "createTime": self.created, "state": state}


class QueuedResources:
    """All queued resources, by their full name.

    Args:
        state: the project's; whoever calls holds its lock.
        slices: where a slice is made when its turn has come.
    """

    def __init__(self, state: State, slices: Slices) -> None:
        self._state, self._slices = state, slices
        self._queued: dict[str, _Queued] = {}
        state.at_each_look.append(self._look)
        queued = "tpu.projects.locations.queuedResources"
        self.handlers: dict[str, Any] = {
            f"{queued}.create": self._create,
            f"{queued}.get": lambda parameters, _body: self._find(parameters).view(),
            f"{queued}.list": self._list,
            f"{queued}.delete": self._delete,
        }

    def all(self) -> list[dict[str, Any]]:
        """Return every queued resource."""
        return [one.view() for one in self._queued.values()]

    # The calls.

    def _create(self, parameters: dict[str, str], body: Any) -> dict[str, Any]:
        zone = self._state.zone(parameters["parent"].rpartition("/")[2])
        queued_id = parameters.get("queuedResourceId") or "qr-" + secrets.token_hex(4)
        if not _ID.fullmatch(queued_id):
            raise invalid(f"The field queuedResourceId '{queued_id}' must be a match of regex '^{_ID.pattern}$'.")
        name = f"{parameters['parent']}/queuedResources/{queued_id}"
        if name in self._queued:
            raise ApiError(409, f"Resource '{name}' already exists", "alreadyExists")
        spec = _node_spec(body, parameters["parent"])
        shape = self._slices.shape(spec["nodeId"], spec["node"], zone)
        node_name = f"{spec['parent']}/nodes/{spec['nodeId']}"
        if self._slices.has(node_name):
            raise ApiError(409, f"Resource '{node_name}' already exists", "alreadyExists")
        fault = self._state.injection.take_fault("tpu.projects.locations.queuedResources.create", ("operation",))
        errors: Errors = []
        if fault:
            errors = [{"code": int(fault.code) if fault.code.isdecimal() else INTERNAL, "message": fault.message}]
        else:
            valid_s = _valid_s(body.get("queueingPolicy") or {})
            now = self._state.clock()
            one = self._queued[name] = _Queued(name, body, node_name, shape.accelerator_type, now, valid_s)
            self._admit(one)
        error = str(errors[0]["code"]) if errors else None
        labels = spec["node"].get("labels") or {}
        granted, word = 0 if errors else 1, capacity_type(spec["node"], body)
        self._state.launch_request(shape.accelerator_type, 1, granted, zone, error, labels=labels, capacity=word)
        operation = self._slices.begin("create", name, lambda: errors, [])
        operation.answer = lambda: {
            "@type": "type.googleapis.com/google.cloud.tpu.v2.QueuedResource",
            **(self._queued[name].view() if name in self._queued else {}),
        }
        return operation.tpu_view()

    def _admit(self, one: _Queued) -> None:
        """Fail it at once where the project's quota is used up."""
        limit = self._state.injection.quota.get(one.accelerator_type)
        # Each one takes quota until it is deleted, failed and suspended ones too.
        mine = [other for other in self._queued.values() if other.accelerator_type == one.accelerator_type]
        if limit is not None and len(mine) > limit:
            text = f"Quota '{one.accelerator_type}' exhausted. Limit {limit} in region {self._state.region}."
            self._fail(one, _EXHAUSTED, text)

    def _list(self, parameters: dict[str, str], _body: Any) -> dict[str, Any]:
        self._state.zone(parameters["parent"].rpartition("/")[2])
        mine = [one for name, one in sorted(self._queued.items()) if name.startswith(parameters["parent"] + "/")]
        size = min(int(parameters.get("pageSize") or PAGE) or PAGE, self._state.injection.page_size or 1000)
        rest = [one for one in mine if one.name > parameters.get("pageToken", "")]
        answer: dict[str, Any] = {"queuedResources": [one.view() for one in rest[:size]]} if rest else {}
        if len(rest) > size:
            answer["nextPageToken"] = rest[size - 1].name
        return answer

    def _delete(self, parameters: dict[str, str], _body: Any) -> dict[str, Any]:
        one = self._find(parameters)
        if one.state == "DELETING":
            text = f"Resource '{one.name}' is being deleted."
            raise ApiError(400, text, "failedPrecondition", "FAILED_PRECONDITION")
        if parameters.get("force", "false").lower() != "true" and one.state not in _DELETABLE:
            text = f"DeleteQueuedResource is not supported when state is {one.state} (must be one of "
            errors = [{"code": _PRECONDITION, "message": f"{text}[{' '.join(_DELETABLE)}])"}]
            return self._slices.begin("delete", one.name, lambda: errors, []).tpu_view()
        one.state = "DELETING"
        waits_for = self._slices.take_down(one.node_name)

        def finish() -> Errors:
            # Beside the slice: where machines run by themselves, nobody else would end it.
            if self._state.boots and self._slices.has(one.node_name):
                self._slices.ended(one.node_name)
            return []

        return self._slices.begin("delete", one.name, finish, waits_for).tpu_view()

    def _find(self, parameters: dict[str, str]) -> _Queued:
        if parameters["name"] not in self._queued:
            raise not_found(parameters["name"])
        return self._queued[parameters["name"]]

    # What becomes of them.

    def _look(self) -> None:
        for one in list(self._queued.values()):
            if one.state == "WAITING_FOR_RESOURCES":
                self._look_at_waiting(one)
            elif one.state in _WITH_SLICE:
                self._look_at_slice(one)
            elif one.state == "DELETING" and not self._slices.has(one.node_name) and not self._under_way(one):
                del self._queued[one.name]

    def _under_way(self, one: _Queued) -> bool:
        return any(
            operation.target == one.name and not operation.finished for operation in self._state.pending.values()
        )

    def _look_at_waiting(self, one: _Queued) -> None:
        injection, waited_s = self._state.injection, self._state.clock() - one.since_s
        if waited_s >= injection.waits_s.get(one.accelerator_type, 0.0):
            ends = injection.queue_ends.get(one.accelerator_type, "")
            if ends == "SUSPENDED":
                one.state, one.initiator = ends, "SERVICE"
            elif ends == "FAILED":
                self._fail(one, INTERNAL, "An internal error has occurred.")
            elif not self._slices.refusal(one.zone, one.accelerator_type, capacity_type(one.node, one.body)):
                one.state = "PROVISIONING"
                bought = capacity_type(one.node, one.body)
                scheduling = {} if bought == "on-demand" else {"schedulingConfig": {bought: True}}
                self._slices.provision(one.node_name, {**one.node, **scheduling}, one.name)
        if one.state == "WAITING_FOR_RESOURCES" and waited_s >= one.valid_s:
            self._fail(one, _DEADLINE, "The queued resource expired before its resources were available.")

    def _look_at_slice(self, one: _Queued) -> None:
        state = self._slices.state_of(one.node_name)
        if state == "READY":
            one.state = "ACTIVE"
        elif state in {"PREEMPTED", "TERMINATED"}:
            one.state, one.initiator = "SUSPENDED", "SERVICE"
        elif state == "DELETING":
            one.state, one.initiator = "SUSPENDING", "USER"
        elif state is None and one.state == "PROVISIONING":
            self._fail(one, INTERNAL, "An internal error has occurred.")
        elif state is None:
            one.state, one.initiator = "SUSPENDED", one.initiator or "USER"

    @staticmethod
    def _fail(one: _Queued, code: int, message: str) -> None:
        one.state, one.error = "FAILED", {"code": code, "message": message}


def _node_spec(body: Any, parent: str) -> dict[str, Any]:
    """Return the one slice that a request is for."""
    specs: list[dict[str, Any]] = ((body or {}).get("tpu") or {}).get("nodeSpec") or []
    if len(specs) != 1 or not specs[0].get("nodeId") or not specs[0].get("node"):
        raise invalid("Exactly one node_spec with node and node_id must be specified.")
    if specs[0].get("parent") != parent:
        raise invalid(f"The field parent '{specs[0].get('parent')}' must be '{parent}'.")
    if "spot" in body and "guaranteed" in body:
        raise invalid("oneof field 'tier' is already set. Cannot set 'guaranteed'")
    return specs[0]


def _valid_s(policy: dict[str, Any]) -> float:
    """Return how long a request may wait; only the constraint that is relative and ends is known here."""
    if len(policy) > 1:
        raise invalid("oneof field 'start_timing_constraints' is already set.")
    if not policy:
        return float("inf")
    seconds = _SECONDS.fullmatch(str(policy.get("validUntilDuration", "")))
    if not seconds:
        raise invalid(f"queueing_policy {policy}: the local Cloud TPU takes validUntilDuration, such as 3600s.")
    return float(seconds[1])
