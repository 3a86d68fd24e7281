"""Values of the drains of machines: one drained machine, what is asked of Ray, and their words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from accel_scaling.quarantine.drain_record import DrainRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from accel_scaling._ray import JoinedNode
    from accel_scaling.boot.node_event import NodeEvent


class RayNodes(NamedTuple):
    """What is asked of Ray about its nodes; each may raise whatever Ray's client raises.

    Attributes:
        events: returns what watchers have told, by node ids of Ray.
        joined: returns who has joined Ray, those that have left again included.
        drain: drains nodes by their ids in Ray, with a reason and a deadline; returns why some are not drained.
        stop: ends the Ray of nodes by their ids in Ray, with their tasks.
    """

    events: Callable[[], Mapping[str, bytes]]
    joined: Callable[[], list[JoinedNode] | None]
    drain: Callable[[Sequence[str], str, float], list[str]]
    stop: Callable[[Sequence[str]], None]


@dataclass(frozen=True)
class Drain:
    """One machine that is drained, or waits for its drain.

    Attributes:
        event: the one with the earliest deadline.
        keys: of the events of it, in the key-value store.
        begun: False while it waits.
        drained: the nodes in Ray that have been drained: by this head, or, after a notice, by themselves.
        waited: it could not begin when it was told.
    """

    event: NodeEvent
    keys: tuple[str, ...]
    begun: bool = False
    drained: frozenset[str] = frozenset()
    waited: bool = False


WAITS = "it is drained after others that are sick for the same reason"


def place(node_id: str, nodes: Mapping[str, str]) -> str:
    """Return a machine with its node type, for a sentence."""
    return f"node {node_id} of type {nodes[node_id]}"


def sentence_of(event: NodeEvent) -> str:
    """Return an event as a sentence."""
    return f"{event.kind.value}: {event.code}: {event.message}"


def record_of(node_type: str, event: NodeEvent, now_s: float) -> DrainRecord:
    """Return what the state file has of a machine that is to be drained."""
    return DrainRecord(node_type, event.kind.value, event.code, event.message, now_s)
