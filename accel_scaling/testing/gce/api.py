"""The local Compute Engine: what exists, what is under way, and who answers which call. Safe for several threads."""

from __future__ import annotations

import copy
import itertools
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from accel_scaling.testing.gce import images
from accel_scaling.testing.gce.api_errors import ApiError, invalid, not_carried_out, not_found
from accel_scaling.testing.gce.fault_injection import Fault, Knobs
from accel_scaling.testing.gce.instances import Instances
from accel_scaling.testing.gce.launch_event import Asked
from accel_scaling.testing.gce.launches import Launches
from accel_scaling.testing.gce.operations import Errors, Operation, operation_name
from accel_scaling.testing.gce.projects import Projects
from accel_scaling.testing.gce.slices import Slices
from accel_scaling.testing.gce.type_lists import ForSale, Lists

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from accel_scaling.testing.gce.documents import Call

INTERNAL = 13  # google.rpc.Code, which an operation of Cloud TPU fails with; Compute Engine's fail with words
LONG_POLL_S = 120.0  # `operations.wait` answers after two minutes at the latest: its document


class Logged(NamedTuple):
    """One call: when on the engine's clock, its method, the HTTP status, and what it was about."""

    time_s: float
    method: str
    status: int
    name: str


class Hears(Protocol):
    """Is told of each request for machines."""

    def __call__(self, asked: Asked, /) -> None:
        """Take note; called with the engine's lock held."""


class ComputeEngine:
    """Compute Engine, Cloud TPU, and what of IAM and Resource Manager goes with them, for one project.

    Args:
        project: its id.
        zones: those that exist, all of one region.
        knobs: how long things take and what goes wrong; may be changed at any time.
        clock: seconds; what is under way is done when it says so.
        boots: machines run by themselves. Otherwise they wait, staging, until ``booted()``, and stop at ``ended()``.
        network: the first two bytes of the machines' addresses; private and public ones are the same.
        on_asked: is told of each request for machines.
        for_sale: the machine and accelerator types that lists over all zones have; none where it is None.

    Attributes:
        calls: every call that was answered, oldest first.
    """

    def __init__(
        self,
        *,
        project: str = "rehearsal",
        zones: Sequence[str] = ("us-central1-a", "us-central1-b", "us-central1-c"),
        knobs: Knobs | None = None,
        clock: Callable[[], float] = time.monotonic,
        boots: bool = True,
        network: str = "10.128",
        on_asked: Hears | None = None,
        for_sale: ForSale | None = None,
    ) -> None:
        self.project, self.zones, self.region = project, tuple(zones), zones[0].rpartition("-")[0]
        self.knobs = knobs or Knobs()
        self.clock, self.boots = clock, boots
        self.calls: list[Logged] = []
        self._network, self._numbers = network, itertools.count(1)
        self._on_asked = on_asked
        self._changed = threading.Condition(threading.RLock())
        self._operations: dict[str, Operation] = {}
        self._pending: dict[str, Operation] = {}
        self._by_request: dict[str, str] = {}
        self._instances, self._slices = Instances(self), Slices(self)
        self._projects, self._launches = Projects(self), Launches(self, self._instances)
        self._handlers = {
            **self._instances.handlers,
            **self._launches.handlers,
            **self._slices.handlers,
            **self._projects.handlers,
            **images.handlers(),
            **Lists(self, for_sale or ForSale()).handlers,
            **{f"compute.{scope}Operations.get": self._operation for scope in ("zone", "region", "global")},
            **{f"compute.{scope}Operations.wait": self._operation for scope in ("zone", "region", "global")},
            "tpu.projects.locations.operations.get": self._tpu_operation,
        }

    # Answering.

    def answer(self, call: Call) -> dict[str, Any]:
        """Carry out a call and return what Google answers; an operation's wait lasts.

        Raises:
            ApiError: what Google refuses.
        """
        method = call.method.id
        handler = self._handlers.get(method)
        if handler is None:
            raise not_carried_out(method)
        if method.endswith("Operations.wait"):
            self._wait(call.parameters["operation"])
        with self._changed:
            self._settle()
            request = f"{method} {call.parameters.get('requestId', '')}"
            known = self._by_request.get(request)
            if known:
                return self._operations[known].view(self.project)
            answer: dict[str, Any] = copy.deepcopy(handler(call.parameters, copy.deepcopy(call.body)))
            if call.parameters.get("requestId") and answer.get("kind") == "compute#operation":
                self._by_request[request] = answer["name"]
            self._changed.notify_all()
            return answer

    def log(self, method: str, status: int, name: str) -> None:
        """Remember a call."""
        self.calls.append(Logged(self.clock(), method, status, name))

    def take_fault(self, method: str) -> Fault | None:
        """Return what goes wrong with a call before or after it is carried out."""
        with self._changed:
            return self.knobs.take_fault(method, ("error", "silent", "broken_connection", "lost_request"))

    # What the tests and the hosts see and do.

    def instances(self) -> list[dict[str, Any]]:
        """Return all machines of Compute Engine, as they are now."""
        with self._changed:
            self._settle()
            return copy.deepcopy(self._instances.all())

    def tpu_nodes(self) -> list[dict[str, Any]]:
        """Return all TPU slices, as they are now."""
        with self._changed:
            self._settle()
            return copy.deepcopy(self._slices.all())

    def public_keys(self, metadata: dict[str, Any]) -> list[str]:
        """Return the ssh keys, ``user:key``, that a machine with this metadata lets in: its own and the project's."""
        with self._changed:
            return self._projects.public_keys(metadata)

    def preempt(self, name: str) -> None:
        """Google takes a spot machine or slice back."""
        with self._changed:
            self._settle()
            self._owner(name).preempt(name)
            self._changed.notify_all()

    def set_status(self, name: str, status: str) -> None:
        """Put a machine into a status, or a slice into a state."""
        with self._changed:
            self._settle()
            self._owner(name).set_status(name, status)

    def booted(self, name: str) -> None:
        """The hosts of a machine or slice are up."""
        self._hosts_done(name, "booted", [])

    def boot_failed(self, name: str, why: str) -> None:
        """The hosts of a machine or slice did not come up: it is gone."""
        code = INTERNAL if self._owner(name) is self._slices else "INTERNAL_ERROR"
        self._hosts_done(name, "vanish", [{"code": code, "message": why}])

    def ended(self, name: str) -> None:
        """The hosts of a machine or slice are off."""
        self._hosts_done(name, "ended", [])

    # For the parts.

    def begin(
        self,
        verb: str,
        target: str,
        scope: str,
        finish: Callable[[], Errors],
        *,
        hosts_of: Sequence[str] = (),
        name: str = "",
        latency: str = "",
    ) -> Operation:
        """Begin an operation.

        Args:
            verb: what it does.
            target: to what.
            scope: where.
            finish: Google's part of it; returns the errors.
            hosts_of: the machines or slices whose hosts have a part in it.
            name: its name, where it has a form of its own.
            latency: whose latency knob it has, where that is not the verb's.
        """
        due = self.clock() + self.knobs.operation_latency_s.get(latency or verb, 0.0)
        waits_for = set() if self.boots else set(hosts_of)
        operation = Operation(verb, target, scope, due, finish, name or operation_name(), waits_for)
        self._operations[operation.name] = self._pending[operation.name] = operation
        return operation

    def view(self, operation: Operation) -> dict[str, Any]:
        """Return an operation as it is now."""
        self._settle()
        return operation.view(self.project)

    def address(self) -> str:
        """Return an address that no machine has had."""
        number = next(self._numbers)
        return f"{self._network}.{number // 250}.{number % 250 + 1}"

    def number(self) -> int:
        """Return a number that nothing has had."""
        return next(self._numbers) + 4_000_000_000_000_000_000

    def zone(self, name: str) -> str:
        """Return a zone that exists.

        Raises:
            ApiError: it does not.
        """
        if name not in self.zones:
            raise invalid(f"Invalid value for field 'zone': '{name}'. Unknown zone.")
        return name

    def hear(self, asked: Asked) -> None:
        """Tell whoever wants to know of a request for machines."""
        if self._on_asked:
            self._on_asked(asked)

    # Inside.

    def _operation(self, parameters: dict[str, str], _body: Any) -> dict[str, Any]:
        name = parameters["operation"]
        if name not in self._operations:
            raise not_found(f"projects/{self.project}/operations/{name}")
        return self._operations[name].view(self.project)

    def _tpu_operation(self, parameters: dict[str, str], _body: Any) -> dict[str, Any]:
        if parameters["name"] not in self._operations:
            raise not_found(parameters["name"])
        return self._operations[parameters["name"]].tpu_view()

    def _wait(self, name: str) -> None:
        until = time.monotonic() + LONG_POLL_S
        with self._changed:
            while (operation := self._pending.get(name)) and time.monotonic() < until:
                self._settle()
                if operation.done:
                    return
                left_s = 1.0 if operation.finished else operation.due - self.clock()
                self._changed.wait(min(max(left_s, 0.001), 1.0))

    def _settle(self) -> None:
        now = self.clock()
        for operation in list(self._pending.values()):
            operation.reach(now)
            if operation.done:
                self._pending.pop(operation.name, None)

    def _hosts_done(self, name: str, how: str, errors: Errors) -> None:
        with self._changed:
            self._settle()
            getattr(self._owner(name), how)(name)
            for operation in self._pending.values():
                operation.hosts_done(name, errors)
            self._settle()
            self._changed.notify_all()

    def _owner(self, name: str) -> Any:
        return self._slices if "/nodes/" in name else self._instances


__all__ = ["ApiError", "Asked", "ComputeEngine", "Logged"]
