"""Nodes whose watchers have found something: what the head makes of it, until their machines are terminated.

The node drains itself (accel_scaling/boot/drain_node.py) and tells the head by the cluster's key-value store. The
machine is terminated when no host of it runs Ray any more, or at the deadline. It acts in an autoscaler only, and
nothing here raises: what a cloud or the GCS does not answer is asked again in the next round.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from accel_scaling import _ray, timeouts
from accel_scaling.boot.node_event import EventKind, NodeEvent, read_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from accel_scaling._ray import JoinedNode
    from accel_scaling.providers.base.machine_cloud import MachineCloud
    from accel_scaling.quarantine.gate import Gate

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Drain:
    """One machine that is drained."""

    event: NodeEvent
    ray_ids: tuple[str, ...]


class NodeDrains:
    """The drained machines of one cluster.

    Args:
        gate: where a sick machine counts as a strike.
        cloud: ends machines.
        events: returns what watchers have told, by node ids of Ray.
        joined_nodes: returns who has joined Ray, those that have left again included.
        longest_s: no drain takes longer than this many seconds by this machine's clock: a node's may be wrong.
    """

    def __init__(
        self,
        gate: Gate,
        cloud: MachineCloud,
        events: Callable[[], Mapping[str, bytes]],
        joined_nodes: Callable[[], list[JoinedNode] | None],
        longest_s: float,
    ) -> None:
        self._gate, self._cloud = gate, cloud
        self._events, self._joined_nodes = events, joined_nodes
        self._longest_s = longest_s
        # Rounds, and ends that Ray's provider is asked for, come from several threads of the autoscaler.
        self._lock = threading.RLock()
        self._busy = False
        self._read: dict[str, bytes] = {}
        self._unknown_since_s: dict[str, float] = {}  # events whose machine is not listed
        self._forgotten: set[str] = set()  # events that the store is still to forget
        self._drains: dict[str, _Drain] = {}

    def round(self, nodes: Mapping[str, str]) -> None:
        """Read what is new, and end what is drained.

        Args:
            nodes: the workers that the cloud lists now, node -> node type.
        """
        with self._lock:
            # Ray's EC2 provider lists again to answer a question about one machine: within this very round.
            if self._busy:
                return
            self._busy = True
            try:
                self._read_events(nodes)
                for node_id in list(self._drains):
                    if node_id not in nodes:
                        self._forget(node_id)
                    elif self._is_due(node_id):
                        self._end(node_id, nodes[node_id])
                self._forget_events()
            finally:
                self._busy = False

    def left_to_ray(self, node_ids: Iterable[str]) -> list[str]:
        """Return those of the machines that are not drained, of all that the autoscaler wants to end; end the others.

        Ray's provider might stop a machine, and start it again later.
        """
        nodes, workers = list(node_ids), self._gate.workers()
        with self._lock:
            # A node that was idle ends within a second: the autoscaler may see that before the next round reads it.
            if self._gate.active and nodes and not self._busy:
                self._read_events({node: workers[node] for node in nodes if node in workers})
            rest = []
            for node_id in nodes:
                if node_id in self._drains:
                    self._end(node_id, self._cloud.node_type(node_id))
                else:
                    rest.append(node_id)
            return rest

    def _read_events(self, nodes: Mapping[str, str]) -> None:
        try:
            told = self._events()
        except Exception as error:  # noqa: BLE001 - Ray's client raises what it likes
            logger.warning("it is not known what the watchers of nodes have found: %s", error)
            return
        for ray_id, text in told.items():
            if self._read.get(ray_id) != text and self._take(ray_id, text, nodes):
                self._read[ray_id] = text
        for known in (self._read, self._unknown_since_s):
            for ray_id in known.keys() - told.keys():
                del known[ray_id]
        self._forgotten &= told.keys()

    def _take(self, ray_id: str, text: bytes, nodes: Mapping[str, str]) -> bool:
        """Act on an event; return whether it is done with: its machine may be listed later."""
        event = read_event(text)
        self._forgotten.discard(ray_id)  # of what it has told before
        if event is None:
            logger.warning("the watcher of the node %s has told what cannot be read", ray_id[:56])
            self._forgotten.add(ray_id)
            return True
        event = replace(event, deadline_s=min(event.deadline_s, self._gate.clock() + self._longest_s))
        node_id = self._machine_of(ray_id, event, nodes)
        if event.acts and node_id is None:
            return self._is_unknown(ray_id)
        where = f"node {node_id} of type {nodes[node_id]}" if node_id else f"the node at {event.address}"
        left_s = max(0.0, event.deadline_s - self._gate.clock())
        end = f"it is drained, and terminated within {left_s:.0f} s" if event.acts else "nothing is done about it"
        logger.error("%s: %s: %s: %s; %s", where, event.kind.value, event.code, event.message, end)
        if not event.acts or node_id is None:
            self._forgotten.add(ray_id)
            return True
        _ray.tell_drivers(f"{where}: {event.kind.value}: {event.code}; {end}")
        before = self._drains.get(node_id)
        # Of several hosts of a slice, and of several events, the earliest deadline counts.
        if before is not None:
            first = min(before.event, event, key=lambda one: one.deadline_s)
            self._drains[node_id] = replace(before, event=first, ray_ids=tuple({*before.ray_ids, ray_id}))
        else:
            self._drains[node_id] = _Drain(event, (ray_id,))
        if event.kind is EventKind.SICK:
            zone = self._cloud.zone(node_id)
            self._gate.refused(node_id, nodes[node_id], zone, event.code, event.message, ends=False)
        return True

    def _is_unknown(self, ray_id: str) -> bool:
        """Return whether the machine of an event is not listed for so long that it is gone: the event is forgotten.

        Under v1, another machine may get its address later.
        """
        now_s = self._gate.clock()
        if now_s - self._unknown_since_s.setdefault(ray_id, now_s) < timeouts.EVENT_UNKNOWN_S:
            return False
        self._forgotten.add(ray_id)
        return True

    def _machine_of(self, ray_id: str, event: NodeEvent, nodes: Mapping[str, str]) -> str | None:
        if event.instance_id:
            return event.instance_id if event.instance_id in nodes else None
        # Autoscaler v1 tells no node which machine it is.
        node_id = next((node for node in nodes if event.address in self._cloud.addresses_of(node)), None)
        return None if node_id is None or self._has_new_ray(ray_id, event) else node_id

    def _has_new_ray(self, ray_id: str, event: NodeEvent) -> bool:
        """Return whether another Ray node runs at the address of an event: another machine, or Ray was restarted."""
        here = [node for node in self._joined() or () if node.alive and node.address == event.address]
        return any(node.node_id for node in here) and not any(node.node_id == ray_id for node in here)

    def _is_due(self, node_id: str) -> bool:
        drain = self._drains[node_id]
        return self._gate.clock() >= drain.event.deadline_s or self._is_drained(node_id)

    def _is_drained(self, node_id: str) -> bool:
        """Return whether Ray runs on no host of a machine any more: a node that is drained ends when it is idle."""
        joined = self._joined()
        if joined is None:
            return False
        addresses = self._cloud.addresses_of(node_id)
        mine = [
            node
            for node in joined
            if node.instance_id == node_id or (not node.instance_id and node.address in addresses)
        ]
        return bool(mine) and not any(node.alive for node in mine)

    def _joined(self) -> list[JoinedNode] | None:
        try:
            return self._joined_nodes()
        except Exception as error:  # noqa: BLE001
            logger.warning("it is not known which nodes are drained: %s", error)
            return None

    def _end(self, node_id: str, node_type: str) -> None:
        """Terminate a machine; one whose end the cloud does not accept is asked for again in each round."""
        event = self._drains[node_id].event
        sentence = f"{event.kind.value}: {event.code}: {event.message}"
        # A sick one may be kept, outside of the cluster, for a person to look at.
        if event.kind is EventKind.SICK and self._gate.keeps(node_id, sentence):
            logger.error("node %s is kept for inspection, outside of the cluster; `ray down` ends it", node_id)
            self._forget(node_id)
        elif self._cloud.end(node_id):
            logger.error("node %s of type %s is terminated after its drain: %s", node_id, node_type, sentence)
        self._gate.machines.ended(node_id, sentence)
        self._gate.gone(node_id)

    def _forget(self, node_id: str) -> None:
        self._forgotten.update(self._drains.pop(node_id).ray_ids)

    def _forget_events(self) -> None:
        """Remove what is done with from the key-value store, which would grow; what fails is tried again."""
        for ray_id in sorted(self._forgotten):
            try:
                _ray.forget_event(ray_id)
            except Exception as error:  # noqa: BLE001
                logger.warning("what the watcher of a node has told is not removed yet: %s", error)
                return
            self._forgotten.discard(ray_id)
