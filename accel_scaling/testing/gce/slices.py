"""The TPU slices of Cloud TPU with their states, and their calls."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from accel_scaling.errors import RehearsalError
from accel_scaling.testing.devices import gcp_machines
from accel_scaling.testing.gce.api_errors import ApiError, invalid, not_found
from accel_scaling.testing.gce.machine_rules import NAME, check_labels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accel_scaling.testing.gce.state import Errors, Operation, State

INTERNAL = 13  # google.rpc.Code, which an operation of Cloud TPU fails with; Compute Engine's fail with words
PAGE = 100  # docs.cloud.google.com/tpu/docs/reference/rest/v2/projects.locations.nodes/list says no number; not seen
RESERVED = "reserved"
_OFF = {"STOPPED", "PREEMPTED", "TERMINATED"}


def capacity_type(node: Mapping[str, Any], queued: Mapping[str, Any] | None = None) -> str:
    """Return how a slice is bought: ``spot``, ``reserved`` or ``on-demand``; ``queued`` is its queued resource."""
    config, queued = node.get("schedulingConfig") or {}, queued or {}
    if config.get("spot") or config.get("preemptible") or "spot" in queued:
        return "spot"
    return RESERVED if config.get("reserved") or queued.get("reservationName") else "on-demand"


class Slices:
    """All slices, by their full name ``projects/../locations/../nodes/..``.

    Args:
        state: the project's; whoever calls holds its lock.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._nodes: dict[str, dict[str, Any]] = {}
        nodes = "tpu.projects.locations.nodes"
        self.handlers: dict[str, Any] = {
            f"{nodes}.create": self._create,
            f"{nodes}.get": lambda parameters, _body: self._find(parameters),
            f"{nodes}.list": self._list,
            f"{nodes}.patch": self._patch,
            f"{nodes}.delete": self._delete,
            f"{nodes}.stop": self._stop,
            f"{nodes}.start": self._start,
        }

    # What the engine calls.

    def all(self) -> list[dict[str, Any]]:
        """Return every slice."""
        return list(self._nodes.values())

    def booted(self, name: str) -> None:
        """Take note that all its hosts are up."""
        if name in self._nodes and self._nodes[name]["state"] in {"CREATING", "STARTING"}:
            self._nodes[name]["state"] = "READY"

    def ended(self, name: str) -> None:
        """Take note that all its hosts are off."""
        node = self._nodes.get(name)
        if node and node["state"] == "DELETING":
            del self._nodes[name]
        elif node and node["state"] == "STOPPING":
            node["state"] = "STOPPED"

    def vanish(self, name: str) -> None:
        """Remove a slice that never came."""
        self._nodes.pop(name, None)

    def preempt(self, name: str) -> None:
        """Take it back, as Google does; the name stays, in state PREEMPTED, until a user deletes it."""
        self._nodes[name]["state"] = "PREEMPTED"

    def end_at_launch(self, name: str) -> None:
        """End it, as Google does after an error of its hosts; the name stays until a user deletes it."""
        self._nodes[name]["state"] = "TERMINATED"

    def set_status(self, name: str, status: str) -> None:
        """Put it into a state."""
        self._nodes[name]["state"] = status

    # What queued resources call.

    def has(self, name: str) -> bool:
        """Return whether there is a slice of this name, in any state."""
        return name in self._nodes

    def state_of(self, name: str) -> str | None:
        """Return a slice's state, None for none."""
        return str(self._nodes[name]["state"]) if name in self._nodes else None

    def provision(self, name: str, body: dict[str, Any], queued_resource: str) -> None:
        """Make the slice of a queued resource whose turn has come."""
        shape = self.shape(name.rpartition("/")[2], body, name.split("/")[3])
        self._add(name, {**body, "queuedResource": queued_resource}, shape)

        def finish() -> Errors:
            if self._state.boots:
                self.booted(name)
            return []

        self.begin("create", name, finish, [name])

    def take_down(self, name: str) -> list[str]:
        """Begin to delete a slice; return those whose hosts are to go off before it is gone: it, or none."""
        node = self._nodes.get(name)
        if node is None:
            return []
        off = node["state"] in _OFF
        node["state"] = "DELETING"
        if off:
            self.ended(name)
        return [] if off else [name]

    # The calls.

    def _create(self, parameters: dict[str, str], body: Any) -> dict[str, Any]:
        zone = self._state.zone(parameters["parent"].rpartition("/")[2])
        node_id = parameters.get("nodeId") or "node-" + secrets.token_hex(4)
        shape = self.shape(node_id, body, zone)
        name = f"{parameters['parent']}/nodes/{node_id}"
        if name in self._nodes:
            raise ApiError(409, f"Resource '{name}' already exists", "alreadyExists")
        errors = self._fault() or self.refusal(zone, shape.accelerator_type, capacity_type(body))
        # One that will fail, too: it is listed as CREATING until its operation has failed.
        self._add(name, body, shape)
        code = "RESOURCE_EXHAUSTED" if errors else None
        labels = body.get("labels") or {}
        granted, word = 0 if errors else 1, capacity_type(body)
        self._state.launch_request(shape.accelerator_type, 1, granted, zone, code, labels=labels, capacity=word)

        def finish() -> Errors:
            if errors:
                self.vanish(name)
            elif self._state.boots:
                self.booted(name)
            return errors

        operation = self.begin("create", name, finish, [] if errors else [name])
        # Made when the operation is looked at: its answer is the slice as it has become, READY and with its hosts.
        operation.answer = lambda: {
            "@type": "type.googleapis.com/google.cloud.tpu.v2.Node",
            **self._nodes.get(name, {}),
        }
        return operation.tpu_view()

    def _add(self, name: str, body: dict[str, Any], shape: gcp_machines.SliceShape) -> None:
        self._nodes[name] = {
            **body,
            "name": name,
            "id": str(self._state.number()),
            "state": "CREATING",
            "acceleratorType": shape.accelerator_type,
            "networkEndpoints": [self._endpoint() for _ in range(shape.hosts)],
        }

    def shape(self, node_id: str, body: Any, zone: str) -> gcp_machines.SliceShape:
        """Return the shape of the slice that a request is for.

        Raises:
            ApiError: 400 or 404, the request makes no sense, or Google has no such slice.
        """
        if not NAME.fullmatch(node_id):
            raise invalid(f"The field nodeId '{node_id}' must be a match of regex '{NAME.pattern}'.")
        if not body.get("runtimeVersion"):
            raise invalid("The field runtime_version must be specified.")
        check_labels(body.get("labels") or {})
        type_name, config = body.get("acceleratorType"), body.get("acceleratorConfig")
        if bool(type_name) == bool(config):
            raise invalid("Exactly one of accelerator_type and accelerator_config must be specified.")
        try:
            return (
                gcp_machines.slice_of(type_name)
                if type_name
                else gcp_machines.slice_of_topology(config["type"], config["topology"])
            )
        except RehearsalError:
            shape = type_name or f"{config['type']} {config['topology']}"
            raise ApiError(404, f"The accelerator type {shape} was not found in zone {zone}.", "notFound") from None

    def _fault(self) -> Errors:
        # Cloud TPU's operations fail with a number of google.rpc.Code: 8 RESOURCE_EXHAUSTED, 13 INTERNAL.
        fault = self._state.injection.take_fault("tpu.projects.locations.nodes.create", ("operation",))
        if fault is None:
            return []
        return [{"code": int(fault.code) if fault.code.isdecimal() else INTERNAL, "message": fault.message}]

    def refusal(self, zone: str, accelerator_type: str, bought: str) -> Errors:
        """Return Google's error for one more slice of this type and capacity type; empty where it comes."""
        injection = self._state.injection
        alike = [node for node in self._nodes.values() if node["acceleratorType"] == accelerator_type]
        if len(alike) >= injection.quota.get(accelerator_type, len(alike) + 1):
            return [{"code": 8, "message": f"Quota limit for {accelerator_type} has been exceeded in zone {zone}."}]
        of_type = f"{accelerator_type}/{bought}"
        live = sum(capacity_type(node) == bought for node in alike)
        dry = injection.is_dry(zone, accelerator_type, bought) or live >= injection.capacity.get(of_type, live + 1)
        if bought == RESERVED:
            text = "Insufficient reserved capacity. Contact customer support to increase your reservation."
            return [{"code": 8, "message": text}] if dry else []
        others = sum(capacity_type(node) != RESERVED for node in alike)
        if dry or others >= injection.capacity.get(accelerator_type, others + 1):
            text = f'There is no more capacity in the zone "{zone}"; you can try in another zone where Cloud TPU Nodes'
            return [{"code": 8, "message": text + " are offered (see https://cloud.google.com/tpu/docs/regions)"}]
        return []

    def _endpoint(self) -> dict[str, Any]:
        address = self._state.address()
        return {"ipAddress": address, "port": 8470, "accessConfig": {"externalIp": address}}

    def _list(self, parameters: dict[str, str], _body: Any) -> dict[str, Any]:
        self._state.zone(parameters["parent"].rpartition("/")[2])
        mine = [node for name, node in sorted(self._nodes.items()) if name.startswith(parameters["parent"] + "/")]
        size = min(int(parameters.get("pageSize") or PAGE) or PAGE, self._state.injection.page_size or 1000)
        rest = [node for node in mine if node["name"] > parameters.get("pageToken", "")]
        answer: dict[str, Any] = {"nodes": rest[:size]} if rest else {}
        if len(rest) > size:
            answer["nextPageToken"] = rest[size - 1]["name"]
        return answer

    def _patch(self, parameters: dict[str, str], body: Any) -> dict[str, Any]:
        node = self._find(parameters)
        fields = parameters.get("updateMask", "").split(",")
        if "labels" in fields:
            check_labels(body.get("labels") or {})
        node |= {name: body[name] for name in fields if name in body}
        return self.begin("update", node["name"], list, []).tpu_view()

    def _delete(self, parameters: dict[str, str], _body: Any) -> dict[str, Any]:
        node = self._find(parameters)
        # What is off has no hosts whose end could complete the operation.
        name, off = node["name"], node["state"] in _OFF
        if node["state"] == "DELETING":
            raise ApiError(400, f"Resource '{name}' is being deleted.", "failedPrecondition", "FAILED_PRECONDITION")
        node["state"] = "DELETING"

        def finish() -> Errors:
            if self._state.boots or off:
                self.ended(name)
            return []

        return self.begin("delete", name, finish, [] if off else [name]).tpu_view()

    def _stop(self, parameters: dict[str, str], _body: Any) -> dict[str, Any]:
        node = self._find(parameters)
        if node["state"] != "READY":
            raise _wrong_state("stop", node)
        node["state"] = "STOPPING"

        def finish() -> Errors:
            if self._state.boots:
                self.ended(node["name"])
            return []

        return self.begin("stop", node["name"], finish, [node["name"]]).tpu_view()

    def _start(self, parameters: dict[str, str], _body: Any) -> dict[str, Any]:
        node = self._find(parameters)
        if node["state"] != "STOPPED":
            raise _wrong_state("start", node)
        node["state"] = "STARTING"

        def finish() -> Errors:
            if self._state.boots:
                self.booted(node["name"])
            return []

        return self.begin("start", node["name"], finish, [node["name"]]).tpu_view()

    def _find(self, parameters: dict[str, str]) -> dict[str, Any]:
        if parameters["name"] not in self._nodes:
            raise not_found(parameters["name"])
        return self._nodes[parameters["name"]]

    def begin(self, verb: str, name: str, finish: Any, hosts_of: list[str]) -> Operation:
        """Begin an operation on a slice or a queued resource."""
        parent = "/".join(name.split("/")[:4])
        operation_name = f"{parent}/operations/operation-{secrets.token_hex(8)}"
        operation = self._state.begin(verb, name, parent, finish, hosts_of=hosts_of, name=operation_name, latency="tpu")
        self._state.view(operation)
        return operation


def _wrong_state(verb: str, node: dict[str, Any]) -> ApiError:
    text = f"Cannot {verb} TPU node {node['name']} in state {node['state']}."
    return ApiError(400, text, "failedPrecondition", "FAILED_PRECONDITION")
