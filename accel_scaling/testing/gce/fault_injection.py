"""Fault injection into the local Compute Engine: latencies, sold-out zones, quotas, calls that fail, preemptions.

Whoever holds a local cloud writes them into files, which the cloud's process reads.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from accel_scaling.testing.json_files import replace_json

if TYPE_CHECKING:
    from pathlib import Path

FaultKind = Literal["error", "silent", "broken_connection", "lost_request", "operation"]

ANY = "*"


@dataclass
class CallFault:
    """Something that goes wrong with the next calls of a method.

    Attributes:
        method: e.g. ``compute.instances.insert``; ``*`` for all.
        times: how often; it is used up call by call.
        kind: ``error`` answers with ``status`` and ``reason``; ``silent`` takes the request and never answers;
            ``broken_connection`` carries it out and closes without an answer; ``lost_request`` closes without having
            carried it out; ``operation`` accepts it, and the operation fails with ``code`` and ``message``.
        status: the HTTP status of an ``error``.
        reason: the word in its ``errors[].reason``.
        code: the error code of a failed ``operation``.
        message: Google's sentence.
        skip: how many calls pass unharmed before it begins.
        zone: only for calls about this zone; empty for all.
    """

    method: str
    times: int = 1
    kind: FaultKind = "error"
    status: int = 503
    reason: str = "backendError"
    code: str = "INTERNAL_ERROR"
    message: str = "The service is currently unavailable."
    skip: int = 0
    zone: str = ""


@dataclass
class FaultInjection:
    """The latencies, shortages and faults of the API; may be changed at any time.

    Attributes:
        call_latency_s: before each answer.
        operation_latency_s: how long an operation takes, by its verb (``insert``, ``bulkInsert``, ``setLabels``,
            ``delete``, ``stop``, ``start``; ``tpu`` for all of Cloud TPU's).
        dry_zones: zone -> machine types that are sold out there; ``*`` is any type, and any zone; ``TYPE/spot``, or
            ``TYPE/`` and another capacity type, is sold out as that alone.
        capacity: machine type -> how many may exist at once, over all zones, reserved ones not counted; ``TYPE/spot``
            as above.
        quota: machine type -> the same, refused as a quota of the project.
        page_size: the most that one page of a list holds, whatever was asked for; 0 for Google's own.
        call_faults: what goes wrong; the first that fits a call is used up first.
        lacking: zone -> types of machines, accelerators and slices that it does not have, as it says when it is asked
            for one; ``*`` is any zone.
        waits_s: machine type -> how long a flex-start machine of it waits before there is capacity; accelerator type
            -> how long a queued resource waits for its turn.
        queue_ends: accelerator type -> ``FAILED`` or ``SUSPENDED``: what becomes of a queued resource at its turn.
        subnetworks: those of the region beside the default one.
    """

    call_latency_s: float = 0.0
    operation_latency_s: dict[str, float] = field(default_factory=dict)
    dry_zones: dict[str, list[str]] = field(default_factory=dict)
    capacity: dict[str, int] = field(default_factory=dict)
    quota: dict[str, int] = field(default_factory=dict)
    page_size: int = 0
    call_faults: list[CallFault] = field(default_factory=list)
    lacking: dict[str, list[str]] = field(default_factory=dict)
    waits_s: dict[str, float] = field(default_factory=dict)
    queue_ends: dict[str, str] = field(default_factory=dict)
    subnetworks: list[str] = field(default_factory=list)

    def offers(self, zone: str, name: str) -> bool:
        """Return whether a zone has a type, sold out or not."""
        return name not in {*self.lacking.get(zone, ()), *self.lacking.get(ANY, ())}

    def is_dry(self, zone: str, machine_type: str, capacity_type: str = "") -> bool:
        """Return whether a type is sold out in a zone, or a capacity type of it."""
        types = {*self.dry_zones.get(zone, ()), *self.dry_zones.get(ANY, ())}
        return bool(types & {machine_type, ANY, f"{machine_type}/{capacity_type}"})

    def take_fault(self, method: str, kinds: tuple[FaultKind, ...], zone: str = "") -> CallFault | None:
        """Return the fault that this call meets, and use it up by one."""
        for fault in list(self.call_faults):
            if fault.kind not in kinds or fault.method not in (method, ANY) or fault.times <= 0:
                continue
            if fault.zone and fault.zone != zone:
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            fault.times -= 1
            # Taken out, so the next fault for the same method is next.
            if fault.times <= 0:
                self.call_faults.remove(fault)
            return fault
        return None

    def write(self, path: Path) -> None:
        """Replace what is in a file."""
        replace_json(path, asdict(self))


def read_injection(path: Path) -> FaultInjection:
    """Return what is in a file; nothing goes wrong where there is none."""
    if not path.exists():
        return FaultInjection()
    row: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return FaultInjection(**{**row, "call_faults": [CallFault(**fault) for fault in row["call_faults"]]})


def injection_file(directory: Path) -> Path:
    """Return the file in a local cloud's directory."""
    return directory / "fault_injection.json"


class Preemptions:
    """The machines and slices that Google is to take back: a file of names, one a line.

    Args:
        directory: the local cloud's.
    """

    def __init__(self, directory: Path) -> None:
        self._file = directory / "preempt"

    def ask(self, name: str) -> None:
        """Ask for one to be taken back."""
        with self._file.open("a", encoding="utf-8") as file:
            file.write(name + "\n")

    def take(self) -> list[str]:
        """Return those that were asked for since the last time."""
        # Moved away before it is read: a name that is added meanwhile goes into a new file, and is taken the next time.
        taken = self._file.with_suffix(".taken")
        with contextlib.suppress(FileNotFoundError):
            self._file.replace(taken)
            return taken.read_text(encoding="utf-8").split()
        return []
