"""Counts workers per node type: running, launching, and not checked yet. Callers hold the gate's lock."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from accel_scaling import timeouts

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


@dataclass
class PendingLaunch:
    """One launch under way: its node type, when it began, and how many machines have not come yet."""

    node_type: str
    since_s: float
    count: int


class _UncheckedWorker(NamedTuple):
    """A machine that came and has no verdict yet."""

    node_type: str
    launch_s: float
    came_s: float


class WorkerCounts:
    """The workers of one cluster, as the cloud lists them and as launches report them."""

    def __init__(self) -> None:
        self._listed: dict[str, str] = {}  # node -> node type
        self._unchecked: dict[str, _UncheckedWorker] = {}
        self._pending: list[PendingLaunch] = []
        # Nodes that the cloud listed while their node type was being launched, before the launch named them: such a
        # node is also one of the launch's count, and must not be counted twice.
        self._unnamed: dict[str, str] = {}
        # Ray's launchers are threads, each with one launch at a time: `add` finds its own.
        self._thread = threading.local()

    def begin_launch(self, node_type: str, count: int, now_s: float) -> PendingLaunch:
        """Begin a launch in this thread."""
        launch = PendingLaunch(node_type, now_s, count)
        self._pending.append(launch)
        self._thread.launch = launch
        return launch

    def end_launch(self, launch: PendingLaunch) -> None:
        """End a launch: machines that have not come will not come."""
        self._pending.remove(launch)
        self._thread.launch = None
        # A launch of the same type that is still under way may name them.
        if not self._in_flight(launch.node_type):
            self._unnamed = {node: name for node, name in self._unnamed.items() if name != launch.node_type}

    @property
    def listed(self) -> dict[str, str]:
        """The workers that the cloud listed last, and those that came since: node -> node type."""
        return dict(self._listed)

    def add(self, node_type: str, nodes: Collection[str], judged: Collection[str], now_s: float) -> float:
        """Add new machines, from the launch of this thread; return when it began.

        Args:
            node_type: their node type.
            nodes: their names.
            judged: machines that have a verdict; a machine may have one before the call that launched it returns.
            now_s: the time.
        """
        launch: PendingLaunch | None = getattr(self._thread, "launch", None)
        launch_s = launch.since_s if launch else now_s
        # From now on they are listed; counted as coming too, they would be two machines each.
        if launch:
            launch.count -= len(nodes)
        for node in nodes:
            self._unnamed.pop(node, None)
            self._listed[node] = node_type
            if node not in judged:
                self._unchecked[node] = _UncheckedWorker(node_type, launch_s, now_s)
        return launch_s

    def launch_of(self, node: str) -> float | None:
        """Return when the launch of a machine without a verdict began, None where that is not known."""
        worker = self._unchecked.get(node)
        return worker.launch_s if worker else None

    def mark_checked(self, node: str) -> None:
        """Mark a machine as one with a verdict."""
        self._unchecked.pop(node, None)

    def remove(self, node: str) -> None:
        """Remove a machine that was terminated."""
        for nodes in (self._listed, self._unchecked, self._unnamed):
            nodes.pop(node, None)

    def update(self, nodes: Mapping[str, str], now_s: float) -> None:
        """Take over what the cloud lists, node -> node type; a machine that has just come may be missing there."""
        launching = {launch.node_type for launch in self._pending}
        new = {node: name for node, name in nodes.items() if node not in self._listed and name in launching}
        self._unnamed = {node: name for node, name in (self._unnamed | new).items() if node in nodes}
        # EC2's lists lag behind its launches: a machine that has just come is not gone because it is missing there.
        self._unchecked = {
            node: worker
            for node, worker in self._unchecked.items()
            if node in nodes or now_s - worker.came_s < timeouts.LISTED_AFTER_S
        }
        self._listed = {**nodes, **{node: worker.node_type for node, worker in self._unchecked.items()}}

    def workers(self, node_type: str) -> int:
        """Return the number of running and launching workers of a node type."""
        running = sum(name == node_type for name in self._listed.values())
        # Until the launch has named them, machines that the cloud lists are in both numbers.
        unnamed = sum(name == node_type for name in self._unnamed.values())
        return running + max(self._in_flight(node_type) - unnamed, 0)

    def has_unchecked(self, node_type: str) -> bool:
        """Return whether a machine of this node type is being launched or waits for its verdict."""
        waiting = any(worker.node_type == node_type for worker in self._unchecked.values())
        return waiting or bool(self._in_flight(node_type))

    def _in_flight(self, node_type: str) -> int:
        return sum(launch.count for launch in self._pending if launch.node_type == node_type)
