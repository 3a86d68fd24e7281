"""Watches the machines of a cluster from their launch until they join: what fails in between is ended and counted.

It acts inside the autoscaler on a cluster's head alone. Nothing here raises: what a cloud or the GCS does not answer is
asked again in the next round.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from accel_scaling import _ray, timeouts
from accel_scaling.boot.verdicts import LABEL_VERDICT, VerdictWord, holds_promise
from accel_scaling.cluster.policies import OnMismatch
from accel_scaling.providers.base.machine_cloud import MachineCloud
from accel_scaling.providers.base.machine_end import EndedBy
from accel_scaling.quarantine.machine import (
    NO_VERDICT,
    SET_UP_FAILED,
    START_FAILED,
    UNREACHABLE,
    Machine,
    Reason,
    Step,
)
from accel_scaling.quarantine.place import place_of
from accel_scaling.quarantine.record import Cause

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from accel_scaling._ray import JoinedNode
    from accel_scaling.providers.base.machine_cloud import Cloud
    from accel_scaling.providers.base.machine_end import MachineEnd
    from accel_scaling.quarantine.gate import Gate

logger = logging.getLogger(__name__)

_NOT_CHECKED = "it joined, and its boot check never ran: `ray start` was called without it"


class MachineWatch:
    """The machines of one cluster between their launch and their first task."""

    def __init__(
        self,
        gate: Gate,
        cloud: Cloud,
        clock: Callable[[], float],
        joined_nodes: Callable[[], list[JoinedNode] | None],
    ) -> None:
        """Report to ``gate``, end machines with ``cloud``, and ask ``joined_nodes`` who has joined Ray."""
        self._gate = gate
        self.cloud = MachineCloud(gate, cloud)
        self._clock = clock
        self._joined_nodes = joined_nodes
        self._in_round = threading.Lock()
        # Whether Ray has said who joined: only then a machine can be a good boot by having joined.
        self.asks_who_joined = False
        # Those that are known to have joined: as long as every worker has, nobody is asked.
        self._joined: set[str] = set()
        self._listed: set[str] = set()  # ever
        self._waiting: dict[str, float] = {}  # when a machine was last seen to wait in a queue of its cloud's
        self._started: dict[str, float] = {}  # when the last start command of a machine ended with 0

    # A machine that is given up.

    def refuse(self, node_id: str, word: str, sentence: str) -> None:
        """Give up a machine whose start told why, or keep it for inspection, where the cluster file says so."""
        message = sentence.replace(f"{word}: ", "", 1)
        if not self._gate.keeps(node_id, sentence):
            self.give_up(node_id, word, message, cause_of(word))
            return
        self._count(node_id, word, message, cause_of(word))
        logger.error("node %s is kept for inspection, outside of the cluster; `ray down` ends it", node_id)
        self._started.pop(node_id, None)
        # Its boot is over, and nobody is to end it.
        self._gate.machines.ended(node_id, "kept for inspection, outside of the cluster")
        self._gate.gone(node_id)

    def give_up(self, node_id: str, word: str, message: str, cause: Cause = Cause.FAILED) -> None:
        """End a machine permanently, and count it once; an end that its cloud does not accept is asked for again."""
        # First counted: whatever the cloud answers to the end, the next machine of the type is as bad.
        self._count(node_id, word, message, cause)
        self.end(node_id)

    def _count(self, node_id: str, word: str, message: str, cause: Cause) -> None:
        node_type = self.cloud.node_type(node_id)
        if self._gate.refused(node_id, node_type, self.cloud.zone(node_id), word, message, cause=cause):
            logger.error("node %s of type %s %s: %s: %s", node_id, node_type, cause.value, word, message)

    def end(self, node_id: str) -> None:
        """Ask for the end of a machine; each round asks again until it is gone."""
        self._started.pop(node_id, None)
        if self.cloud.end(node_id):
            logger.error("node %s is terminated; nothing was scheduled on it", node_id)
        self._gate.gone(node_id)

    def left_to_ray(self, node_ids: Iterable[str]) -> list[str]:
        """Return those of the machines that Ray's provider is to end, of all that the autoscaler wants to end.

        A machine that is known to have failed is ended here: Ray's provider might stop it, and start it again later.
        """
        if not self._gate.active:
            return list(node_ids)
        machines, rest = self._gate.machines.all(), []
        for node_id in node_ids:
            machine = machines.get(node_id)
            if machine is not None and machine.given_up:
                self.end(node_id)
                continue
            failure = None if machine is None or machine.finished else machine.failure or self._stuck(node_id, machine)
            if failure is None:
                self._gate.machines.ended(node_id, "the autoscaler no longer needs it")
                rest.append(node_id)
            # Where the cloud does not say who ended it, it failed: that much is known.
            elif not self.ended_by_others(node_id):
                self.give_up(node_id, *failure)
        return rest

    def _stuck(self, node_id: str, machine: Machine) -> Reason | None:
        """Return what is wrong with a machine that took so long that autoscaler v2 gives it up; None for any other."""
        since_s = machine.steps[0].time_s if machine.steps else self._clock()
        # What waits in a queue of the cloud's is not set up yet, however long that takes.
        since_s = self._clock() if self.cloud.is_waiting(node_id) else max(since_s, self._waiting.get(node_id, 0.0))
        if self._clock() - since_s < _ray.set_up_timeout_s():
            return None
        took = f"after {(self._clock() - since_s) / 60:.0f} min"
        if machine.time_of(Step.CHECKED) is not None:
            return Reason(START_FAILED, f"it has not joined {took}")
        if machine.time_of(Step.REACHABLE) is not None:
            return Reason(SET_UP_FAILED, f"its set-up has not ended {took}")
        return Reason(UNREACHABLE, f"ssh has not answered {took}")

    def ended_by_others(self, node_id: str) -> bool | None:
        """Return whether another user ended a machine, and take note of it; None where the cloud does not say it.

        A machine that is interrupted or terminated fails first: its commands are killed, its connection breaks.
        """
        ends = self.cloud.ends_of([node_id])
        if ends is None:
            return None
        end = ends.get(node_id)
        if end is None or end.by is EndedBy.UNKNOWN:
            return False
        self._note_end(node_id, end)
        return True

    def boot_is_over(self, node_id: str) -> bool:
        """Return whether a machine has joined, has ended or is given up: what fails now is no boot."""
        machine = self._gate.machines.get(node_id)
        return node_id in self._joined or (machine is not None and (machine.finished or machine.given_up))

    # Each round of the autoscaler.

    def shown(self, node_ids: Iterable[str]) -> None:
        """Take note of machines that the autoscaler was told of, before the cloud has listed them."""
        self._listed |= set(node_ids)

    def round(self, nodes: Mapping[str, str]) -> None:
        """Look at the machines that have not joined.

        Args:
            nodes: the workers that the cloud lists now, node -> node type.
        """
        # Ray's EC2 provider lists again to answer a question about one machine, in this round or an updater's thread.
        if not self._in_round.acquire(blocking=False):
            return
        try:
            self._look_at(nodes)
        finally:
            self._in_round.release()

    def _look_at(self, nodes: Mapping[str, str]) -> None:
        self._listed |= nodes.keys()
        machines = self._gate.machines.all()
        under_way = {name: machine for name, machine in machines.items() if not machine.ended}
        for node_id, machine in under_way.items():
            if machine.given_up and node_id in nodes:
                self.end(node_id)
            elif machine.given_up:
                self._gate.machines.ended(node_id, machine.failure.code if machine.failure else "")
        waiting = [name for name in under_way if name in nodes and self.cloud.is_waiting(name)]
        kept = {name: seen_s for name, seen_s in self._waiting.items() if name in nodes}
        self._waiting = {**kept, **dict.fromkeys(waiting, self._clock())}
        missing = [name for name, machine in under_way.items() if not machine.finished and not machine.given_up]
        self._find_ends([name for name in missing if name not in nodes], machines)
        self._joined &= nodes.keys()
        known = self._joined | {name for name, machine in under_way.items() if machine.joined or machine.given_up}
        self._find_joined([name for name in nodes if name not in known], nodes)

    def _find_ends(self, node_ids: list[str], machines: Mapping[str, Machine]) -> None:
        """Find out why machines are gone that had not joined."""
        # A launch under way may have been listed and not reported yet: what was not launched is not gone.
        launched = [name for name in node_ids if machines[name].time_of(Step.LAUNCHED) is not None]
        if not launched:
            return
        for node_id, end in (self.cloud.ends_of(launched) or {}).items():
            launched_s = machines[node_id].time_of(Step.LAUNCHED) or 0.0
            # Lists and descriptions lag behind a launch: a machine that nobody knows yet is not gone.
            if end.by is EndedBy.UNKNOWN and self._clock() - launched_s < timeouts.LISTED_AFTER_S:
                continue
            self._note_end(node_id, end)

    def _note_end(self, node_id: str, end: MachineEnd) -> None:
        machine, node_type = self._gate.machines.get(node_id), self.cloud.node_type(node_id)
        sentence = f"{end} ({end.by.value})"
        if node_id not in self._listed:
            _ray.tell_launch_failed(node_type, end.tags, end.code, end.message)
        if end.by in (EndedBy.USER, EndedBy.INTERRUPTION):
            logger.info("node %s of type %s ended before it joined: %s", node_id, node_type, sentence)
            self._gate.machines.ended(node_id, sentence)
        elif end.sold_out:
            logger.error("node %s of type %s ended before it joined: %s", node_id, node_type, sentence)
            # Of the capacity type that it was bought by: another one may have machines in the same zone.
            place = place_of(self.cloud.zone(node_id), machine.capacity if machine else "")
            self._gate.failed(node_type, place, end.code, end.message or end.code, sold_out=True)
            self._gate.machines.ended(node_id, sentence)
        else:
            failure = machine.failure if machine and machine.failure and end.by is EndedBy.UNKNOWN else None
            # Ended, too: a machine that stopped by itself could be started again by Ray's provider.
            self.give_up(node_id, *(failure or (end.code, end.message or f"it ended before it joined: {end.by.value}")))
        self._gate.gone(node_id)

    def _find_joined(self, node_ids: list[str], nodes: Mapping[str, str]) -> None:
        """Compare the nodes that have joined Ray with the machines that were confirmed."""
        if not node_ids:
            return
        try:
            joined = self._joined_nodes()
        except Exception as error:  # noqa: BLE001 - Ray's client raises what it likes
            logger.warning("it is not known which nodes have joined: %s", error)
            return
        if joined is None:
            return
        self.asks_who_joined = True
        by_instance = {node.instance_id for node in joined if node.instance_id}
        for node_id in node_ids:
            mine = [node for node in joined if node.instance_id == node_id]
            if not mine and node_id not in by_instance:
                mine = self._by_address(node_id, joined)
            if mine and self._judge(node_id, nodes[node_id], mine):
                continue
            if self._clock() - self._started.get(node_id, self._clock()) > timeouts.JOINED_AFTER_START_S:
                seconds = f"{timeouts.JOINED_AFTER_START_S:.0f} s"
                self.give_up(node_id, START_FAILED, f"`ray start` ended with 0, and it did not join within {seconds}")

    def _by_address(self, node_id: str, joined: list[JoinedNode]) -> list[JoinedNode]:
        """Return the nodes of a machine by its address: v1 tells Ray nothing else of it."""
        # Without those that have left: an address is used again.
        nameless = [node for node in joined if node.alive and not node.instance_id]
        if not nameless:
            return []
        addresses = self.cloud.addresses_of(node_id)
        return [node for node in nameless if node.address in addresses]

    def _judge(self, node_id: str, node_type: str, mine: list[JoinedNode]) -> bool:
        """Judge a machine by the nodes that have joined from it; False where a slice still lacks hosts."""
        verdicts = [node.labels.get(LABEL_VERDICT) for node in mine]
        word = next((verdict for verdict in verdicts if verdict), "")
        unchecked, policy = not all(verdicts), self._gate.confirmation.of(node_type)
        if unchecked and policy is OnMismatch.REFUSE:
            self.give_up(node_id, NO_VERDICT, _NOT_CHECKED, Cause.REFUSED)
            return True
        if self._lacks_hosts(node_id, mine):
            return False
        zone, good = self.cloud.zone(node_id), policy.always_joins or (not unchecked and holds_promise(word))
        if unchecked and not good:
            self.joins_unchecked(node_id, _NOT_CHECKED)
        elif good:
            self._gate.confirmed(node_id, node_type, zone, word or NO_VERDICT, joins_later=True)
        else:
            self._gate.refused(node_id, node_type, zone, word, f"it joined with the verdict {word}", ends=False)
        self._started.pop(node_id, None)
        self._joined.add(node_id)
        self._gate.joined(node_id, node_type, zone, word, good=good)
        return True

    def _lacks_hosts(self, node_id: str, mine: list[JoinedNode]) -> bool:
        """Return whether fewer hosts of a slice have joined than it has; a machine has one."""
        # Of what left again, a machine has joined anyway; a slice has not, without one of its hosts.
        alive = {node.address for node in mine if node.alive}
        return len(alive) < len(self.cloud.addresses_of(node_id)) > 1

    def joins_unchecked(self, node_id: str, why: str) -> None:
        """Count a machine that joins without a verdict, where the cluster file lets it."""
        node_type = self.cloud.node_type(node_id)
        if self._gate.refused(node_id, node_type, self.cloud.zone(node_id), NO_VERDICT, why, ends=False):
            logger.error("node %s of type %s joins as it is: %s: %s", node_id, node_type, NO_VERDICT, why)

    # What the start of a machine tells.

    def start_ended(self, node_id: str) -> None:
        """Take note that the last start command of a machine ended with 0: it is to join now."""
        self._started[node_id] = self._clock()


def cause_of(word: str) -> Cause:
    """Return the cause for a word: the boot check's own words, or what failed beside it."""
    checked = {NO_VERDICT, *(verdict.value for verdict in VerdictWord)}
    return Cause.REFUSED if word in checked else Cause.FAILED
