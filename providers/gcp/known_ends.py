"""Ends that Google has set beforehand, of which it tells the machine nothing in time: the head drains the node before.

A machine of calendar mode ends with its reservation, a flex-start machine after `maxRunDuration`: its description says
when (`resourceStatus.scheduling.terminationTimestamp` in the document of Compute Engine).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from accel_scaling import _ray, timeouts
from accel_scaling.boot.node_event import EventKind, NodeEvent
from accel_scaling.cluster.policies import OnEvent
from accel_scaling.providers.gcp.capacity import is_block, reservation_in
from accel_scaling.providers.gcp.reservations import unix_s, utc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from accel_scaling._ray import JoinedNode
    from accel_scaling.cluster.policies import WatcherPolicy
    from accel_scaling.providers.gcp.reservations import Reservations

logger = logging.getLogger(__name__)


class KnownEnd(NamedTuple):
    """The end of a machine that Google has set."""

    at_s: float
    code: str
    message: str


class KnownEnds:
    """Finds the nodes whose machines end soon, and has Ray drain them once.

    Args:
        reservations: what Google says of them.
        clock: Unix seconds.
        policy: returns whether a node is drained, and for how long; read in an autoscaler only.
    """

    def __init__(
        self, reservations: Reservations, clock: Callable[[], float], policy: Callable[[], WatcherPolicy]
    ) -> None:
        self._reservations, self._clock, self._policy = reservations, clock, policy
        self._drained: set[str] = set()

    def events(self, machines: Iterable[Any], joined: Callable[[], list[JoinedNode] | None]) -> dict[str, bytes]:
        """Return the events of nodes whose machines end within the time of a drain, by their ids in Ray.

        Args:
            machines: `compute.Machine`, as Google has listed them.
            joined: returns who has joined Ray; asked where a machine ends soon.
        """
        ends = {machine["name"]: (machine, end) for machine in machines if (end := self._end_of(machine))}
        if not ends:
            return {}
        policy = self._policy()
        if policy.interruption is OnEvent.IGNORE:
            return {}
        soon = {name: of for name, of in ends.items() if self._clock() >= of[1].at_s - policy.drain_s}
        acts, found = policy.interruption is OnEvent.ACT, dict[str, bytes]()
        for node in (joined() or ()) if soon else ():
            mine = next((of for name, of in soon.items() if _is(name, of[0], node)), None)
            if mine is None or not node.alive:
                continue
            machine, end = mine
            kind = EventKind.INTERRUPTION
            event = NodeEvent(kind, end.code, end.message, acts, end.at_s, machine["name"], node.address)
            if acts:
                self._drain_once(node.node_id, event)
            found[node.node_id] = event.to_text().encode()
        return found

    def _end_of(self, machine: Any) -> KnownEnd | None:
        status = (machine.get("resourceStatus") or {}).get("scheduling") or {}
        if (ends_s := unix_s(status.get("terminationTimestamp"))) is not None:
            return KnownEnd(ends_s, "run time ends", f"Google ends the machine at {utc(ends_s)}, as it was asked for")
        name = reservation_in(machine) if is_block(machine) else None
        if name is None:
            return None
        block = self._reservations.of(name, timeouts.GCP_END_LOOK_S) or self._reservations.last(name)
        if block is None or block.ends_s is None:
            return None
        return KnownEnd(block.ends_s, "block ends", f"Google ends the machines of {block} at {utc(block.ends_s)}")

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


def _is(name: str, machine: Any, node: JoinedNode) -> bool:
    """Return whether a node of Ray runs on a machine; autoscaler v1 tells no node which machine it is."""
    return node.instance_id == name if node.instance_id else node.address == machine.get_internal_ip()
