"""Ends of machines that their cloud has set beforehand, and tells the machine too late or never: the head knows them.

A Capacity Block of EC2, a reservation of Google's calendar mode, a flex-start machine: the head has Ray drain such a
node before its end. What a cloud knows of its machines is in its own folder.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from accel_scaling import _ray
from accel_scaling.boot.node_event import EventKind, NodeEvent
from accel_scaling.cluster.policies import OnEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from accel_scaling._ray import JoinedNode
    from accel_scaling.cluster.policies import WatcherPolicy

logger = logging.getLogger(__name__)


class KnownEnd(NamedTuple):
    """The end of one machine.

    Attributes:
        machine: its id.
        address: within the network; None where it has none.
        node_type: its node type.
        at_s: when its cloud ends it, in Unix seconds.
        code: one word or two for the log.
        message: one sentence.
        is_head: it is the head, which is never drained: the cluster would end before its machine does.
    """

    machine: str
    address: str | None
    node_type: str
    at_s: float
    code: str
    message: str
    is_head: bool = False

    def is_of(self, node: JoinedNode) -> bool:
        """Return whether a node of Ray runs on the machine; autoscaler v1 tells no node which machine it is."""
        return node.instance_id == self.machine if node.instance_id else node.address == self.address


class KnownEnds:
    """Finds the nodes whose machines end soon, and has Ray drain them once.

    Args:
        clock: Unix seconds.
        policy: returns whether a node is drained, and for how long; a wrong one must not keep `ray down` from ending
            machines, so it is read in an autoscaler only.
    """

    def __init__(self, clock: Callable[[], float], policy: Callable[[], WatcherPolicy]) -> None:
        self._clock, self._policy = clock, policy
        self._drained: set[str] = set()

    def events(self, ends: Iterable[KnownEnd], joined: Callable[[], list[JoinedNode] | None]) -> dict[str, bytes]:
        """Return the events of nodes whose machines end within the time of a drain, by their ids in Ray.

        Args:
            ends: of the machines that the cloud lists.
            joined: returns who has joined Ray; asked where a machine ends soon.
        """
        known = list(ends)
        soon = self._soon(known, self._policy()) if known else {}
        found = dict[str, bytes]()
        for node in (joined() or ()) if soon else ():
            end = next((one for one in soon if one.is_of(node)), None)
            if end is None or not node.alive:
                continue
            kind, acts = EventKind.INTERRUPTION, soon[end] is OnEvent.ACT
            event = NodeEvent(kind, end.code, end.message, acts, end.at_s, end.machine, node.address)
            if acts:
                self._drain_once(node.node_id, event)
            found[node.node_id] = event.to_text().encode()
        return found

    def _soon(self, ends: Iterable[KnownEnd], policy: WatcherPolicy) -> dict[KnownEnd, OnEvent]:
        """Return the ends that are as near as a drain takes, and what becomes of their nodes."""
        soon: dict[KnownEnd, OnEvent] = {}
        for end in ends:
            of_its_type = policy.of(end.node_type)
            if of_its_type.interruption is not OnEvent.IGNORE and self._clock() >= end.at_s - of_its_type.drain_s:
                soon[end] = OnEvent.REPORT if end.is_head else of_its_type.interruption
        return soon

    def _drain_once(self, node_id: str, event: NodeEvent) -> None:
        if node_id in self._drained:
            return
        try:
            refused = _ray.drain_nodes([node_id], f"accel_scaling: {event.code}: {event.message}", event.deadline_s)
        except Exception as error:  # noqa: BLE001 - Ray's client raises what it likes; the next round asks again
            logger.warning("a node whose machine ends soon is not drained yet: %s", error)
            return
        # Ray may refuse it: the machine is terminated at the deadline anyway.
        for why in refused:
            logger.warning("Ray does not drain the node: %s", why)
        self._drained.add(node_id)
