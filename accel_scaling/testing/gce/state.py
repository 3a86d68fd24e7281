"""The state that all parts of a local Compute Engine share: its project, its clock, the operations under way."""

from __future__ import annotations

import itertools
import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from accel_scaling.testing.gce.api_errors import invalid
from accel_scaling.testing.gce.fault_injection import FaultInjection

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PROJECT = "rehearsal"
ZONES = ("us-central1-a", "us-central1-b", "us-central1-c")
COMPUTE = "https://www.googleapis.com/compute/v1/"

Errors = list[dict[str, Any]]


@dataclass
class Operation:
    """One operation.

    Attributes:
        name: of Compute Engine's, a word; of Cloud TPU's, a path.
        verb: ``insert``, ``setLabels``, ...
        target: the resource, as a path.
        scope: ``zones/us-central1-a``, ``regions/us-central1`` or ``global``; a TPU operation's parent.
        due: when Google has done its part, on the state's clock.
        finish: Google's part, carried out once then; what it returns are the errors.
        waits_for: the machines and slices whose hosts must then come up or go off before it is done.
        metadata: bulk creations tell how many came where.
        done: whether it is.
        errors: why it failed.
        answer: what a TPU operation brings.
        ready: says whether Google has done its part, where that is at no time known before; then ``due`` is not read.
    """

    verb: str
    target: str
    scope: str
    due: float
    finish: Callable[[], Errors]
    name: str
    waits_for: set[str] = field(default_factory=set)
    metadata: dict[str, Any] | None = None
    finished: bool = False
    errors: Errors = field(default_factory=list)
    answer: Callable[[], dict[str, Any]] | None = None
    ready: Callable[[], bool] | None = None

    @property
    def done(self) -> bool:
        """Return whether nothing of it is left to do."""
        return self.finished and (bool(self.errors) or not self.waits_for)

    def reach(self, now: float) -> None:
        """Carry out Google's part, if its time has come."""
        if not self.finished and (self.ready() if self.ready else self.due <= now):
            self.finished = True
            self.errors = self.finish()

    def hosts_done(self, name: str, errors: Errors) -> None:
        """Take note that the hosts of a machine or slice are up, or off, or could not come up."""
        if self.finished and name in self.waits_for:
            self.waits_for.discard(name)
            self.errors = self.errors + errors

    def view(self, project: str) -> dict[str, Any]:
        """Return it in the form of Compute Engine."""
        scope = f"{COMPUTE}projects/{project}/{self.scope}"
        view: dict[str, Any] = {
            "kind": "compute#operation",
            # The same for one operation as long as this process runs, which is as long as anybody asks.
            "id": str(abs(hash(self.name)) % 10**18),
            "name": self.name,
            "operationType": self.verb,
            "status": "DONE" if self.done else "RUNNING",
            "progress": 100 if self.done else 0,
            "targetLink": COMPUTE + self.target,
            "selfLink": f"{scope}/operations/{self.name}",
        }
        for word in ("zone", "region"):
            if self.scope.startswith(word):
                view[word] = scope
        if self.metadata:
            view["instancesBulkInsertOperationMetadata"] = self.metadata
        if self.done and self.errors:
            view |= {"error": {"errors": self.errors}, "httpErrorStatusCode": 503}
            view["httpErrorMessage"] = "SERVICE UNAVAILABLE"
        return view

    def tpu_view(self) -> dict[str, Any]:
        """Return it in the form of Cloud TPU."""
        view: dict[str, Any] = {"name": self.name, "done": self.done}
        view["metadata"] = {
            "@type": "type.googleapis.com/google.cloud.tpu.v2.OperationMetadata",
            "verb": self.verb,
            "target": self.target,
        }
        if self.done and self.errors:
            view["error"] = self.errors[0]
        elif self.done:
            empty = {"@type": "type.googleapis.com/google.protobuf.Empty"}
            view["response"] = self.answer() if self.answer else empty
        return view


class OnLaunchRequest(Protocol):
    """Is told of each request for machines, with the state's lock held."""

    def __call__(
        self,
        machine_type: str,
        count: int,
        granted: int,
        location: str | None,
        *,
        error: str | None,
        tags: Mapping[str, str],
        capacity: str,
    ) -> None:
        """Take note of how many were asked for and how many came, and of Google's code if fewer did."""


class State:
    """One project as its parts see it: instances, slices, launches, lists.

    Args:
        project: its id.
        zones: those that exist, all of one region.
        injection: how long things take and what goes wrong; may be changed at any time.
        clock: seconds; what is under way is done when it says so.
        boots: machines run by themselves. Otherwise they wait, staging, until their hosts are up.
        network: the first two bytes of the machines' addresses; private and public ones are the same.
        on_launch_request: is told of each request for machines.

    Attributes:
        changed: the lock; notified when an operation may have got further.
        operations: all, by name; those under way are in ``pending``, too.
        at_each_look: called, with the lock held, before operations are looked at: what ends at a time ends there.
    """

    def __init__(
        self,
        *,
        project: str = PROJECT,
        zones: Sequence[str] = ZONES,
        injection: FaultInjection | None = None,
        clock: Callable[[], float] = time.monotonic,
        boots: bool = True,
        network: str = "10.128",
        on_launch_request: OnLaunchRequest | None = None,
    ) -> None:
        self.project, self.zones, self.region = project, tuple(zones), zones[0].rpartition("-")[0]
        self.injection = injection or FaultInjection()
        self.clock, self.boots = clock, boots
        self.changed = threading.Condition(threading.RLock())
        self.operations: dict[str, Operation] = {}
        self.pending: dict[str, Operation] = {}
        self.at_each_look: list[Callable[[], None]] = []
        self._unix_at_0_s = time.time() - clock()
        self._network, self._numbers = network, itertools.count(1)
        self._on_launch_request = on_launch_request

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
            latency: whose latency it has, where that is not the verb's.
        """
        due = self.clock() + self.injection.operation_latency_s.get(latency or verb, 0.0)
        # Where machines run by themselves, nobody would ever report that their hosts are up.
        waits_for = set() if self.boots else set(hosts_of)
        name = name or f"operation-{secrets.token_hex(6)}-{secrets.token_hex(6)}"
        operation = Operation(verb, target, scope, due, finish, name, waits_for)
        self.operations[operation.name] = self.pending[operation.name] = operation
        return operation

    def unix_s(self) -> float:
        """Return the time since the epoch, as this state's clock has it."""
        return self._unix_at_0_s + self.clock()

    def view(self, operation: Operation) -> dict[str, Any]:
        """Return an operation as it is now."""
        self.settle()
        return operation.view(self.project)

    def settle(self) -> None:
        """Carry out Google's part of what is due."""
        for look in self.at_each_look:
            look()
        now = self.clock()
        # A copy, as operations that are done are taken out of it here.
        for operation in list(self.pending.values()):
            operation.reach(now)
            if operation.done:
                self.pending.pop(operation.name, None)

    def address(self) -> str:
        """Return an address that no machine has had."""
        # Never .255.254, which is the laptop's (hosts/isolated.py), nor an address that ends in 0 or 255.
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

    def launch_request(
        self,
        machine_type: str,
        count: int,
        granted: int,
        zone: str,
        error: str | None,
        *,
        labels: Mapping[str, str],
        capacity: str,
    ) -> None:
        """Report a request for machines, and how they are bought, to the cloud's holder, if there is one."""
        if self._on_launch_request:
            self._on_launch_request(machine_type, count, granted, zone, error=error, tags=labels, capacity=capacity)
