"""The local Compute Engine: the parts that answer the calls, and how tests and hosts act on it."""

from __future__ import annotations

import copy
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from accel_scaling.testing.gce.api_errors import not_carried_out, not_found
from accel_scaling.testing.gce.instances import Instances
from accel_scaling.testing.gce.launches import Launches
from accel_scaling.testing.gce.lists import ListCalls, TypeLists, parse_filter
from accel_scaling.testing.gce.machine_rules import image_handlers
from accel_scaling.testing.gce.placement_policies import PlacementPolicies
from accel_scaling.testing.gce.projects import Projects
from accel_scaling.testing.gce.queued_resources import QueuedResources
from accel_scaling.testing.gce.reservations import Reservations
from accel_scaling.testing.gce.slices import INTERNAL, Slices
from accel_scaling.testing.gce.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from accel_scaling.testing.gce.documents import ApiCall
    from accel_scaling.testing.gce.fault_injection import CallFault, FaultInjection
    from accel_scaling.testing.gce.reservations import GceReservation
    from accel_scaling.testing.gce.state import Errors

LONG_POLL_S = 120.0  # `operations.wait` answers after two minutes at the latest: its document


class LoggedCall(NamedTuple):
    """One call: when on the engine's clock, its method, the HTTP status, and what it was about."""

    time_s: float
    method: str
    status: int
    name: str


class ComputeEngine:
    """Compute Engine, Cloud TPU, and the parts of IAM and Resource Manager that they need; safe for several threads.

    Args:
        lists: the machine and accelerator types that lists over all zones have; none where it is None.
        on_call: called with the id of each call's method, as Google's documents have it.
        options: as ``State``.

    Attributes:
        calls: every call that was answered, oldest first.
    """

    def __init__(
        self, *, lists: TypeLists | None = None, on_call: Callable[[str], None] | None = None, **options: Any
    ) -> None:
        self.state = state = State(**options)
        self.calls: list[LoggedCall] = []
        self._on_call = on_call
        self._by_request: dict[str, str] = {}
        self._instances, self._slices = Instances(state), Slices(state)
        self._queued = QueuedResources(state, self._slices)
        self._reservations = Reservations(state, self._instances)
        self._policies = PlacementPolicies(state, self._instances)
        self._projects = Projects(state)
        self._launches = Launches(state, self._instances, self._reservations, self._policies)
        self._handlers = {
            **self._instances.handlers,
            **self._launches.handlers,
            **self._reservations.handlers,
            **self._slices.handlers,
            **self._queued.handlers,
            **self._projects.handlers,
            **self._policies.handlers,
            **image_handlers(),
            **ListCalls(state, lists or TypeLists()).handlers,
            **{f"compute.{scope}Operations.get": self._operation for scope in ("zone", "region", "global")},
            **{f"compute.{scope}Operations.wait": self._operation for scope in ("zone", "region", "global")},
            "compute.zoneOperations.list": self._zone_operations,
            "tpu.projects.locations.operations.get": self._tpu_operation,
        }

    @property
    def injection(self) -> FaultInjection:
        """The latencies and faults; may be changed, or set again, at any time."""
        return self.state.injection

    @injection.setter
    def injection(self, injection: FaultInjection) -> None:
        self.state.injection = injection

    # Answering.

    def answer(self, call: ApiCall) -> dict[str, Any]:
        """Carry out a call and return what Google answers; an operation's wait lasts.

        Raises:
            ApiError: what Google refuses.
        """
        method = call.method.id
        handler = self._handlers.get(method)
        if handler is None:
            raise not_carried_out(method)
        # Before the lock is taken: a wait may last two minutes, and gives the lock up whenever it sleeps.
        if method.endswith("Operations.wait"):
            self._wait(call.parameters["operation"])
        with self.state.changed:
            self.state.settle()
            request = f"{method} {call.parameters.get('requestId', '')}"
            # A client that lost the answer asks again with the same id, and must not get a second machine.
            known = self._by_request.get(request)
            if known:
                operation = self.state.operations[known]
                return operation.tpu_view() if method.startswith("tpu.") else operation.view(self.state.project)
            # Copies, both ways: the answer is written out after the lock is released, and records live on.
            answer: dict[str, Any] = copy.deepcopy(handler(call.parameters, copy.deepcopy(call.body)))
            if call.parameters.get("requestId") and answer.get("name") in self.state.operations:
                self._by_request[request] = answer["name"]
            self.state.changed.notify_all()
            return answer

    def log(self, method: str, status: int, name: str) -> None:
        """Remember a call."""
        self.calls.append(LoggedCall(self.state.clock(), method, status, name))
        if self._on_call:
            self._on_call(method)

    def take_fault(self, method: str, zone: str = "") -> CallFault | None:
        """Return what goes wrong with a call before or after it is carried out."""
        with self.state.changed:
            # Under the lock, as faults are used up: two calls at once must not both meet the last one.
            return self.injection.take_fault(method, ("error", "silent", "broken_connection", "lost_request"), zone)

    # What the tests and the hosts see and do.

    def set_reservations(self, reservations: Iterable[GceReservation]) -> None:
        """Let there be these reservations from now on, and no others."""
        with self.state.changed:
            self._reservations.set(reservations)
            self.state.changed.notify_all()

    def end_reservation_in(self, path: str, after_s: float) -> None:
        """Let a reservation of calendar mode, and its machines, end so soon."""
        with self.state.changed:
            self._reservations.end_in(path, after_s)

    def instances(self) -> list[dict[str, Any]]:
        """Return all machines of Compute Engine, as they are now."""
        with self.state.changed:
            self.state.settle()
            return copy.deepcopy(self._instances.all())

    def tpu_nodes(self) -> list[dict[str, Any]]:
        """Return all TPU slices, as they are now."""
        with self.state.changed:
            self.state.settle()
            return copy.deepcopy(self._slices.all())

    def queued_resources(self) -> list[dict[str, Any]]:
        """Return all queued resources of Cloud TPU, as they are now."""
        with self.state.changed:
            self.state.settle()
            return copy.deepcopy(self._queued.all())

    def public_keys(self, metadata: dict[str, Any]) -> list[str]:
        """Return the ssh keys, ``user:key``, that a machine with this metadata lets in: its own and the project's."""
        with self.state.changed:
            return self._projects.public_keys(metadata)

    def placement_policies(self) -> list[str]:
        """Return the names of the placement policies."""
        with self.state.changed:
            self.state.settle()
            return self._policies.names()

    def preempt(self, name: str) -> None:
        """Take a spot machine or slice back, as Google does."""
        with self.state.changed:
            self.state.settle()
            if self._owner(name) is self._instances:
                self._note_system_event(name, "compute.instances.preempted")
            self._owner(name).preempt(name)
            self.state.changed.notify_all()

    def end_by_google(self, name: str, event: str) -> None:
        """Stop a machine as Google does, or as it does itself, with a system event such as ``hostError``."""
        with self.state.changed:
            self.state.settle()
            self._note_system_event(name, f"compute.instances.{event}")
            self._instances.set_status(name, "TERMINATED")

    def end_at_launch(self, name: str) -> None:
        """End a machine or slice that nobody asked to end, spot or not."""
        with self.state.changed:
            self.state.settle()
            if self._owner(name) is self._instances:
                self._note_system_event(name, "compute.instances.hostError")
            self._owner(name).end_at_launch(name)
            self.state.changed.notify_all()

    def set_status(self, name: str, status: str) -> None:
        """Put a machine into a status, or a slice into a state."""
        with self.state.changed:
            self.state.settle()
            self._owner(name).set_status(name, status)

    def booted(self, name: str) -> None:
        """Take note that the hosts of a machine or slice are up."""
        self._hosts_done(name, "booted", [])

    def boot_failed(self, name: str, why: str) -> None:
        """Remove a machine or slice whose hosts did not come up."""
        code = INTERNAL if self._owner(name) is self._slices else "INTERNAL_ERROR"
        self._hosts_done(name, "vanish", [{"code": code, "message": why}])

    def ended(self, name: str) -> None:
        """Take note that the hosts of a machine or slice are off."""
        self._hosts_done(name, "ended", [])

    # Inside.

    def _operation(self, parameters: dict[str, str], _body: Any) -> dict[str, Any]:
        name = parameters["operation"]
        if name not in self.state.operations:
            raise not_found(f"projects/{self.state.project}/operations/{name}")
        return self.state.operations[name].view(self.state.project)

    def _note_system_event(self, name: str, event: str) -> None:
        machine = next(one for one in self._instances.all() if one["name"] == name)
        zone = machine["zone"].rpartition("/")[2]
        target = f"projects/{self.state.project}/zones/{zone}/instances/{name}"
        self.state.begin(event, target, f"zones/{zone}", list)

    def _zone_operations(self, parameters: dict[str, str], _body: Any) -> dict[str, Any]:
        fits = parse_filter(parameters.get("filter", ""))
        scope = f"zones/{parameters['zone']}"
        here = (one.view(self.state.project) for one in self.state.operations.values() if one.scope == scope)
        return {"kind": "compute#operationList", "items": [operation for operation in here if fits(operation)]}

    def _tpu_operation(self, parameters: dict[str, str], _body: Any) -> dict[str, Any]:
        if parameters["name"] not in self.state.operations:
            raise not_found(parameters["name"])
        return self.state.operations[parameters["name"]].tpu_view()

    def _wait(self, name: str) -> None:
        state, until = self.state, time.monotonic() + LONG_POLL_S
        with state.changed:
            while (operation := state.pending.get(name)) and time.monotonic() < until:
                state.settle()
                if operation.done:
                    return
                # Google's part ends at a known time, the hosts' at none, nor does the wait of a flex-start machine. At
                # most a second: a test's clock wakes nobody.
                left_s = 1.0 if operation.finished or operation.ready else operation.due - state.clock()
                state.changed.wait(min(max(left_s, 0.001), 1.0))

    def _hosts_done(self, name: str, step: str, errors: Errors) -> None:
        with self.state.changed:
            self.state.settle()  # first: an operation counts hosts only when Google's part of it is done
            getattr(self._owner(name), step)(name)
            for operation in self.state.pending.values():
                operation.hosts_done(name, errors)
            self.state.settle()
            self.state.changed.notify_all()

    def _owner(self, name: str) -> Any:
        # A slice is called by its whole path, a machine by its name alone.
        return self._slices if "/nodes/" in name else self._instances
