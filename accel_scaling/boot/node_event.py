"""What the watcher of a node has found: a notice of the cloud, or a sick device; and its way to the head, as JSON."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from enum import Enum

from accel_scaling.message_text import one_line

MOST_CODE, MOST_MESSAGE, _MOST_NAME = 60, 500, 200
MOST_BYTES = 8192
UNKNOWN = "Unknown"
"""The code of a look that could not say whether the devices are well."""


class EventKind(Enum):
    """The kinds of events; each is a key of ``provider.watcher``."""

    INTERRUPTION = "interruption"
    REBALANCE = "rebalance"
    MAINTENANCE = "maintenance"
    SICK = "sick"


@dataclass(frozen=True)
class Notice:
    """One thing that a cloud's metadata server announces.

    Attributes:
        kind: what it is.
        code: the cloud's own word, such as ``spot terminate``.
        message: a sentence.
        at_s: when it happens, in Unix seconds; None where the cloud does not say.
    """

    kind: EventKind
    code: str
    message: str
    at_s: float | None = None


@dataclass(frozen=True)
class NodeEvent:
    """An event of one node, on its way to the head.

    Attributes:
        kind: what it is.
        code: the cloud's word, or the verdict's.
        message: a sentence.
        acts: whether the node is drained; False where it is only reported.
        deadline_s: when the machine is terminated at the latest, in Unix seconds.
        instance_id: the cloud's name of the machine, as autoscaler v2 gives it to its start command; empty under v1.
        address: the node's address within the network.
        sure: whether a driver, or the bus, says it of a device, or the cloud does; False for what a person at work on
            the node may cause.
        told_s: when the head was told, in Unix seconds by the node's clock; after a notice, the drain begins then.
    """

    kind: EventKind
    code: str
    message: str
    acts: bool
    deadline_s: float
    instance_id: str = ""
    address: str = ""
    sure: bool = True
    told_s: float = 0.0

    def to_text(self) -> str:
        """Return it as JSON."""
        return json.dumps({**asdict(self), "kind": self.kind.value})


def read_event(text: str | bytes) -> NodeEvent | None:
    """Return the event in a text that a node has written; None where it is none. Its texts are safe to print."""
    if len(text) > MOST_BYTES:
        return None
    try:
        row = json.loads(text)
        kind, deadline_s, told_s = EventKind(row["kind"]), float(row["deadline_s"]), float(row.get("told_s", 0.0))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not (math.isfinite(deadline_s) and math.isfinite(told_s)):
        return None
    texts = {
        name: one_line(str(row.get(name) or ""), most)
        for name, most in (
            ("code", MOST_CODE),
            ("message", MOST_MESSAGE),
            ("instance_id", _MOST_NAME),
            ("address", _MOST_NAME),
        )
    }
    acts, sure = row.get("acts") is True, row.get("sure") is not False
    return NodeEvent(kind=kind, acts=acts, deadline_s=deadline_s, sure=sure, told_s=told_s, **texts)
