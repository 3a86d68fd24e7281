"""Operations: what Google has accepted and is still doing."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

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
        due: when Google has done its part, on the engine's clock.
        finish: Google's part, carried out once then; what it returns are the errors.
        waits_for: the machines and slices whose hosts must then come up or go off before it is done.
        metadata: bulk creations tell how many came where.
        done: whether it is.
        errors: why it failed.
        answer: what a TPU operation brings.
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

    @property
    def done(self) -> bool:
        """Whether nothing of it is left to do."""
        return self.finished and (bool(self.errors) or not self.waits_for)

    def reach(self, now: float) -> None:
        """Carry out Google's part, if its time has come."""
        if not self.finished and self.due <= now:
            self.finished = True
            self.errors = self.finish()

    def hosts_done(self, name: str, errors: Errors) -> None:
        """Take note that the hosts of a machine or slice are up, or off, or could not come up."""
        if self.finished and name in self.waits_for:
            self.waits_for.discard(name)
            self.errors = self.errors + errors

    def view(self, project: str) -> dict[str, Any]:
        """Return it as Compute Engine tells it."""
        scope = f"{COMPUTE}projects/{project}/{self.scope}"
        view: dict[str, Any] = {
            "kind": "compute#operation",
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
        """Return it as Cloud TPU tells it."""
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


def operation_name() -> str:
    """A new name, of the form that Compute Engine gives."""
    return f"operation-{secrets.token_hex(6)}-{secrets.token_hex(6)}"
