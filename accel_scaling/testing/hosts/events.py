"""The events of a local cloud, one JSON line each: its process appends them, anyone reads them."""

from __future__ import annotations

import enum
import json
import threading
import time
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from accel_scaling._ray.facts import NODE_TYPE_TAG

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_NO_TAGS: Mapping[str, str] = MappingProxyType({})


class EventKind(str, enum.Enum):
    """The steps of an instance's life that a rehearsal can watch."""

    ASKED = "asked"
    LAUNCHED = "launched"
    BOOTED = "booted"
    BOOT_FAILED = "boot_failed"
    STOPPED = "stopped"
    TERMINATED = "terminated"
    HAPPENED = "happened"


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    Attributes:
        time: seconds since the epoch.
        kind: what happened.
        instance_type: the cloud's name of the machine type.
        instance_id: the instance; None for ``ASKED``.
        address: its private address; None for ``ASKED``, and for a machine that has none yet.
        count: for ``ASKED``, how many machines were asked for (EC2: MaxCount).
        granted: for ``ASKED``, how many were launched.
        subnet: for ``ASKED``, the subnet or zone of the request.
        error: the cloud's error code, or why a boot failed.
        node_type: Ray's tag with the node type, as the cloud has it; empty where there is none.
        capacity: how it is bought, as ``spot``, ``on-demand``, ``reserved cr-1`` or ``block cr-1``; empty where the
            cloud does not say.
    """

    time: float
    kind: EventKind
    instance_type: str
    instance_id: str | None = None
    address: str | None = None
    count: int | None = None
    granted: int | None = None
    subnet: str | None = None
    error: str | None = None
    node_type: str = ""
    capacity: str = ""


class EventLog:
    """A file of events, to append to; safe to use from several threads of one process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def instance(
        self,
        kind: EventKind,
        instance_id: str,
        instance_type: str,
        address: str | None,
        *,
        error: str | None = None,
        tags: Mapping[str, str] = _NO_TAGS,
        capacity: str = "",
    ) -> None:
        """Record a step of one instance."""
        node_type = tags.get(NODE_TYPE_TAG, "")
        self._append(
            Event(
                time.time(),
                kind,
                instance_type,
                instance_id,
                address,
                error=error,
                node_type=node_type,
                capacity=capacity,
            )
        )

    def launch_request(
        self,
        machine_type: str,
        count: int,
        granted: int,
        location: str | None,
        *,
        error: str | None,
        tags: Mapping[str, str] = _NO_TAGS,
        capacity: str = "",
    ) -> None:
        """Record a request for machines."""
        node_type = tags.get(NODE_TYPE_TAG, "")
        self._append(
            Event(
                time.time(),
                EventKind.ASKED,
                machine_type,
                count=count,
                granted=granted,
                subnet=location,
                error=error,
                node_type=node_type,
                capacity=capacity,
            )
        )

    def _append(self, event: Event) -> None:
        with self._lock, self._path.open("a") as file:
            file.write(json.dumps(asdict(event)) + "\n")


def read_events(path: Path) -> list[Event]:
    """Return all events in a file, oldest first; a line that is still being written is left for the next read."""
    if not path.exists():
        return []
    lines = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
    rows = [json.loads(line) for line in lines]
    return [Event(**{**row, "kind": EventKind(row["kind"])}) for row in rows]
