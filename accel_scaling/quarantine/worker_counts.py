"""How many workers of each type there are: listed, being asked for, and not judged yet. The guard has the lock."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from accel_scaling import timeouts

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


@dataclass
class Asking:
    """One launch: of which type, when it was asked for, and how many have not come yet."""

    node_type: str
    asked_s: float
    count: int


class _Young(NamedTuple):
    """A machine that came and is not judged yet."""

    node_type: str
    asked_s: float
    came_s: float


class Census:
    """Counts one cluster's workers."""

    def __init__(self) -> None:
        self._listed: dict[str, str] = {}  # node -> type
        self._young: dict[str, _Young] = {}
        self._asked: list[Asking] = []
        # Nodes that were listed while their type was being launched, before the launch named them: both are one.
        self._unnamed: dict[str, str] = {}
        self._thread = threading.local()

    def asks(self, node_type: str, count: int, now_s: float) -> Asking:
        """Begin a launch in this thread."""
        asking = Asking(node_type, now_s, count)
        self._asked.append(asking)
        self._thread.asking = asking
        return asking

    def asked(self, asking: Asking) -> None:
        """End a launch: what has not come does not come."""
        self._asked.remove(asking)
        self._thread.asking = None
        if not self._in_flight(asking.node_type):
            self._unnamed = {node: one for node, one in self._unnamed.items() if one != asking.node_type}

    def came(self, node_type: str, nodes: Collection[str], judged: Collection[str], now_s: float) -> None:
        """Learn the names of new machines; the launch of this thread brought them.

        Args:
            node_type: theirs.
            nodes: their names.
            judged: machines that were judged; a machine may be, before the call that made it returns.
            now_s: the time.
        """
        asking: Asking | None = getattr(self._thread, "asking", None)
        asked_s = asking.asked_s if asking else now_s
        if asking:
            asking.count -= len(nodes)
        for node in nodes:
            self._unnamed.pop(node, None)
            self._listed[node] = node_type
            if node not in judged:
                self._young[node] = _Young(node_type, asked_s, now_s)

    def judged(self, node: str) -> float | None:
        """Learn that a machine was judged; return when it was asked for, None where that is not known."""
        young = self._young.pop(node, None)
        return young.asked_s if young else None

    def gone(self, node: str) -> None:
        """Learn that a machine was terminated."""
        for nodes in (self._listed, self._young, self._unnamed):
            nodes.pop(node, None)

    def listed(self, nodes: Mapping[str, str], now_s: float) -> None:
        """Learn what the cloud lists, node -> node type; a machine that has just come may not be among them yet."""
        asked = {asking.node_type for asking in self._asked}
        new = {node: one for node, one in nodes.items() if node not in self._listed and one in asked}
        self._unnamed = {node: one for node, one in (self._unnamed | new).items() if node in nodes}
        self._young = {
            node: young
            for node, young in self._young.items()
            if node in nodes or now_s - young.came_s < timeouts.LISTED_AFTER_S
        }
        self._listed = {**nodes, **{node: young.node_type for node, young in self._young.items()}}

    def workers(self, node_type: str) -> int:
        """Return how many there are of a type, with those that are being asked for."""
        here = sum(one == node_type for one in self._listed.values())
        unnamed = sum(one == node_type for one in self._unnamed.values())
        return here + max(self._in_flight(node_type) - unnamed, 0)

    def judging(self, node_type: str) -> bool:
        """Say whether a machine of this type is being asked for or waits for its verdict."""
        return bool(self._in_flight(node_type)) or any(one.node_type == node_type for one in self._young.values())

    def _in_flight(self, node_type: str) -> int:
        return sum(asking.count for asking in self._asked if asking.node_type == node_type)
