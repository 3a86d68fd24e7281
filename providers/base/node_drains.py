"""Nodes whose watchers have found something: what the head makes of it, until their machines are terminated.

After a notice the node drains itself (accel_scaling/boot/drain_node.py), and tells the head by the cluster's key-value
store; the head drains the other hosts of its slice. A sick node only tells: the head drains all hosts, now or after
others that are sick for the same reason. The machine is terminated when no host of it runs Ray any more, or at the
deadline. It acts in an autoscaler only, and nothing here raises: what a cloud or the GCS does not answer is asked again
in the next round.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from accel_scaling import _ray, timeouts
from accel_scaling.boot.node_event import UNKNOWN, EventKind, NodeEvent, read_event
from accel_scaling.providers.base.machine_drain import WAITS, Drain, place, record_of, sentence_of
from accel_scaling.quarantine.drain_record import may_begin

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from accel_scaling._ray import JoinedNode
    from accel_scaling.cluster.policies import WatcherPolicy
    from accel_scaling.providers.base.machine_cloud import MachineCloud
    from accel_scaling.providers.base.machine_drain import RayNodes
    from accel_scaling.quarantine.gate import Gate

logger = logging.getLogger(__name__)


class NodeDrains:
    """The drained machines of one cluster.

    Args:
        gate: where a sick machine counts as a strike, and drains are written down.
        cloud: ends machines.
        ray: what is asked of Ray.
        policy: no drain takes longer than its ``drain_s`` by this machine's clock: a node's may be wrong.
    """

    def __init__(self, gate: Gate, cloud: MachineCloud, ray: RayNodes, policy: WatcherPolicy) -> None:
        self._gate, self._cloud, self._ray, self._policy = gate, cloud, ray, policy
        # Rounds, and ends that Ray's provider is asked for, come from several threads of the autoscaler.
        self._lock = threading.RLock()
        self._busy = False
        self._asked_joined: list[JoinedNode] | None = None  # asked once a round, however many machines wait
        self._read: dict[str, bytes] = {}
        self._unknown_since_s: dict[str, float] = {}  # events whose machine is not listed
        self._forgotten: set[str] = set()  # events that the store is still to forget
        self._drains: dict[str, Drain] = {}

    def round(self, nodes: Mapping[str, str]) -> None:
        """Read what is new, and end what is drained.

        Args:
            nodes: the workers that the cloud lists now, node -> node type.
        """
        with self._lock:
            # Ray's EC2 provider lists again to answer a question about one machine: within this very round.
            if self._busy:
                return
            self._busy, self._asked_joined = True, None
            try:
                self._read_events(nodes)
                for node_id in list(self._drains):
                    if node_id not in nodes:
                        self._forget(node_id)
                        continue
                    if not self._drains[node_id].begun:
                        self._begin_if_it_may(node_id, nodes)
                    if self._drains[node_id].begun:
                        self._drain_hosts(node_id)
                    if self._is_due(node_id):
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
            self._asked_joined = self._asked_joined if self._busy else None
            # A node that was idle ends within a second: the autoscaler may see that before the next round reads it.
            if self._gate.active and nodes and not self._busy:
                self._read_events({node: workers[node] for node in nodes if node in workers})
            rest = []
            for node_id in nodes:
                if node_id in self._drains:
                    if not self._drains[node_id].begun:
                        self._begin(node_id, {node_id: self._cloud.node_type(node_id)})
                    self._end(node_id, self._cloud.node_type(node_id))
                else:
                    rest.append(node_id)
            return rest

    def _read_events(self, nodes: Mapping[str, str]) -> None:
        try:
            told = self._ray.events()
        except Exception as error:  # noqa: BLE001 - Ray's client raises what it likes
            logger.warning("it is not known what the watchers of nodes have found: %s", error)
            return
        new = {key: read_event(text) for key, text in told.items() if self._read.get(key) != text}
        # As they were told: a node that was sick may be well again.
        for key, event in sorted(new.items(), key=lambda one: one[1].told_s if one[1] else 0.0):
            if self._take(key, event, nodes):
                self._read[key] = told[key]
        for known in (self._read, self._unknown_since_s):
            for key in known.keys() - told.keys():
                del known[key]
        self._forgotten &= told.keys()

    def _take(self, key: str, event: NodeEvent | None, nodes: Mapping[str, str]) -> bool:
        """Act on an event; return whether it is done with: its machine may be listed later."""
        ray_id = _ray.node_of(key)
        self._forgotten.discard(key)
        if event is None:
            logger.warning("the watcher of the node %s has told what cannot be read", ray_id[:56])
            self._forgotten.add(key)
            return True
        node_id = self._machine_of(ray_id, event, nodes)
        if event.acts and node_id is None:
            return self._is_unknown(key)
        if not event.acts or node_id is None:
            where = place(node_id, nodes) if node_id else f"the node at {event.address}"
            logger.error("%s: %s; nothing is done about it", where, sentence_of(event))
            self._forgotten.add(key)
            if node_id and event.kind is EventKind.SICK and event.code != UNKNOWN and not self._begun(node_id):
                self._withdraw(node_id)  # it is well again
            return True
        event = replace(event, deadline_s=self._deadline_s(node_id, nodes[node_id], event))
        before, sick = self._drains.get(node_id), event.kind is EventKind.SICK
        drained = frozenset() if sick else frozenset({ray_id})
        # Of several hosts of a slice, and of several events, the earliest deadline counts.
        if before is not None and (before.begun or sick):
            first = min(before.event, event, key=lambda one: one.deadline_s)
            keys, drained = tuple({*before.keys, key}), before.drained | drained
            self._drains[node_id] = replace(before, event=first, keys=keys, drained=drained)
        else:
            keys = (*before.keys, key) if before is not None else (key,)
            self._drains[node_id] = Drain(event, keys, drained=drained)
        if not sick and not self._begun(node_id):
            self._begin(node_id, nodes)
        return True

    def _deadline_s(self, node_id: str, node_type: str, event: NodeEvent) -> float:
        """Return when a machine is terminated at the latest, by this machine's clock: the node's may be another."""
        known, now_s = self._gate.drains.all().get(node_id), self._gate.clock()
        if known is not None and known.until_s is not None and known.kind == event.kind.value:
            return known.until_s  # this autoscaler has been started again
        left_s = event.deadline_s - (event.told_s or now_s)
        return now_s + min(left_s, self._policy.of(node_type).drain_s)

    def _begun(self, node_id: str) -> bool:
        return node_id in self._drains and self._drains[node_id].begun

    def _withdraw(self, node_id: str) -> None:
        if node_id in self._drains:
            self._gate.drains.withdrawn(node_id)
            self._forget(node_id)

    def _begin_if_it_may(self, node_id: str, nodes: Mapping[str, str]) -> None:
        """Begin the drain of a sick machine, unless others that are sick for the same reason come first."""
        drain, now_s, drains = self._drains[node_id], self._gate.clock(), self._gate.drains.all()
        event, known = drain.event, drains.get(node_id)
        if known is not None and known.since_s is not None and known.until_s is not None:
            # This autoscaler has been started again: its deadline stays.
            self._drains[node_id] = replace(drain, event=replace(event, deadline_s=known.until_s))
        elif not self._is_drained(node_id) and not may_begin(drains, event.code, len(nodes), now_s, sure=event.sure):
            if not drain.waited:
                logger.error("%s: %s; %s", place(node_id, nodes), sentence_of(event), WAITS)
                self._gate.drains.waits(node_id, record_of(nodes[node_id], event, now_s))
            self._drains[node_id] = replace(drain, waited=True)
            return
        elif drain.waited:
            until_s = now_s + self._policy.of(nodes[node_id]).drain_s
            self._drains[node_id] = replace(drain, event=replace(event, deadline_s=until_s))
        self._begin(node_id, nodes)

    def _begin(self, node_id: str, nodes: Mapping[str, str]) -> None:
        """Write down that a machine is drained, and say it; a sick one counts."""
        drain, now_s = self._drains[node_id], self._gate.clock()
        event, where, node_type = drain.event, place(node_id, nodes), nodes[node_id]
        self._drains[node_id] = replace(drain, begun=True)
        known = self._gate.drains.all().get(node_id)
        # After a notice, the node has begun it; its clock may be wrong.
        by_itself = event.kind is not EventKind.SICK and 0 <= now_s - event.told_s < timeouts.EVENT_READ_S
        since_s = event.told_s if by_itself else now_s
        begun = replace(record_of(node_type, event, now_s), since_s=since_s, until_s=max(0.0, event.deadline_s))
        # As it was, where this autoscaler has been started again.
        self._gate.drains.begins(node_id, known if known and known.since_s is not None else begun)
        end = f"it is drained, and terminated within {max(0.0, event.deadline_s - now_s):.0f} s"
        logger.error("%s: %s; %s", where, sentence_of(event), end)
        _ray.tell_drivers(f"{where}: {event.kind.value}: {event.code}; {end}")
        if event.kind is EventKind.SICK:
            zone = self._cloud.zone(node_id)
            self._gate.refused(node_id, node_type, zone, event.code, event.message, ends=False)

    def _drain_hosts(self, node_id: str) -> None:
        """Drain the hosts of a machine that are not drained yet; what fails is tried again in the next round.

        After a notice to one host of a slice, these are the other ones: a node of autoscaler v1 does not know them.
        One that joins now, when its slice is drained, is drained too.
        """
        drain = self._drains[node_id]
        hosts = [one.node_id for one in self._hosts(node_id) if one.alive and one.node_id]
        left = [host for host in hosts if host not in drain.drained]
        if not left:
            return
        try:
            refused = self._ray.drain(left, f"accel_scaling: {sentence_of(drain.event)}", drain.event.deadline_s)
        except Exception as error:  # noqa: BLE001 - Ray's client raises what it likes
            logger.warning("node %s is not drained yet: %s", node_id, error)
            return
        for why in refused:
            logger.warning("Ray does not drain node %s: %s", node_id, why)
        if not refused:
            self._drains[node_id] = replace(drain, drained=drain.drained.union(left))

    def _is_unknown(self, key: str) -> bool:
        """Return whether the machine of an event is not listed for so long that it is gone: the event is forgotten.

        Under v1, another machine may get its address later.
        """
        now_s = self._gate.clock()
        if now_s - self._unknown_since_s.setdefault(key, now_s) < timeouts.EVENT_UNKNOWN_S:
            return False
        self._forgotten.add(key)
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
        return drain.begun and (self._gate.clock() >= drain.event.deadline_s or self._is_drained(node_id))

    def _is_drained(self, node_id: str) -> bool:
        """Return whether Ray runs on no host of a machine any more: a node that is drained ends when it is idle."""
        hosts = self._hosts(node_id)
        return bool(hosts) and not any(host.alive for host in hosts)

    def _hosts(self, node_id: str) -> list[JoinedNode]:
        """Return the nodes in Ray of a machine, those that have left again included; none where that is not known."""
        joined, addresses = self._joined(), self._cloud.addresses_of(node_id)
        return [
            node
            for node in joined or ()
            if node.instance_id == node_id or (not node.instance_id and node.address in addresses)
        ]

    def _joined(self) -> list[JoinedNode] | None:
        if self._asked_joined is not None:
            return self._asked_joined
        try:
            self._asked_joined = self._ray.joined()
        except Exception as error:  # noqa: BLE001
            logger.warning("it is not known which nodes are drained: %s", error)
        return self._asked_joined

    def _end(self, node_id: str, node_type: str) -> None:
        """Terminate a machine; one whose end the cloud does not accept is asked for again in each round."""
        event = self._drains[node_id].event
        sentence = sentence_of(event)
        self._stop_ray(node_id)
        # A sick one may be kept, outside of the cluster, for a person to look at.
        if event.kind is EventKind.SICK and self._gate.keeps(node_id, sentence):
            logger.error("node %s is kept for inspection, outside of the cluster; `ray down` ends it", node_id)
            self._forget(node_id)
        elif self._cloud.end(node_id):
            logger.error("node %s of type %s is terminated after its drain: %s", node_id, node_type, sentence)
        self._gate.machines.ended(node_id, sentence)
        self._gate.drains.ended(node_id)
        self._gate.gone(node_id)

    def _stop_ray(self, node_id: str) -> None:
        """End what still runs on a machine: Ray ends nothing at a deadline.

        On a machine that is kept, a task may hang at a sick device. If another one is terminated, Ray notices it by its
        health checks 15 to 35 s later; told so, it starts the actors elsewhere at once.
        """
        hosts = [one.node_id for one in self._hosts(node_id) if one.alive and one.node_id]
        try:
            if hosts:
                self._ray.stop(hosts)
        except Exception as error:  # noqa: BLE001 - Ray's client raises what it likes
            logger.warning("Ray still runs on node %s: %s", node_id, error)

    def _forget(self, node_id: str) -> None:
        self._gate.drains.ended(node_id)
        self._forgotten.update(self._drains.pop(node_id).keys)

    def _forget_events(self) -> None:
        """Remove what is done with from the key-value store, which would grow; what fails is tried again."""
        for key in sorted(self._forgotten):
            try:
                _ray.forget_event(key)
            except Exception as error:  # noqa: BLE001
                logger.warning("what the watcher of a node has told is not removed yet: %s", error)
                return
            self._forgotten.discard(key)
