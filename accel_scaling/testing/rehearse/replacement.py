"""The end of a rehearsal with a later fault: tasks continue until the machines it hit are drained and replaced."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from accel_scaling import timeouts
from accel_scaling.catalog.driver_events import Effect, effect_of
from accel_scaling.cluster.policies import OnEvent, watcher_policy
from accel_scaling.testing.faults import FaultKind, of_later
from accel_scaling.testing.rehearse.demands import MARK

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from accel_scaling.testing.fault_source import FaultSource
    from accel_scaling.testing.faults import Fault
    from accel_scaling.testing.rehearse.demands import Demand
    from accel_scaling.testing.rehearse.timeline import MachineRecord, Timeline

ENDS_FILE = ".accel_scaling/rehearsal_ends"
"""On the head, below the home: the tasks that continue end when it is there."""

# The key of `provider.watcher` that decides what becomes of a machine.
_POLICIES = {FaultKind.NOTICE: "interruption", FaultKind.SICK: "sick", FaultKind.XID: "sick"}


class Replacement:
    """What the later faults of one rehearsal still have to show.

    Args:
        filled: the config with the promises.
        machine_name: returns the machine type of a node_config, as a fault names it.
        faults: what goes wrong now; a file may change it.
        timeline: of the rehearsal.
    """

    def __init__(
        self,
        filled: dict[str, Any],
        machine_name: Callable[[dict[str, Any]], str],
        faults: FaultSource,
        timeline: Timeline,
    ) -> None:
        self._filled, self._timeline = filled, timeline
        self._machine_types = {
            name: machine_name(node_type["node_config"])
            for name, node_type in filled["available_node_types"].items()
            if name != filled["head_node_type"]
        }
        self._source = faults

    @property
    def _faults(self) -> list[tuple[Fault, str]]:
        """The later faults of the file's workers, each with the key of the policy that decides."""
        machine_types = dict.fromkeys(self._machine_types.values())
        return [(fault, _POLICIES[fault.kind]) for name in machine_types for fault in of_later(self._source.now, name)]

    def unused(self) -> list[str]:
        """Return a sentence for each node type whose machines are only reported, as the file says."""
        return [
            f"not drained: {name}, as provider.watcher.{key} is {word.value}"
            for fault, key in self._faults
            for name in self._node_types(fault)
            if (word := self._word(name, key)) is not OnEvent.ACT
        ] + [
            f"not drained: XID {fault.error_number} of {fault.machine_type}: "
            f"{effect_of('nvidia', f'XID {fault.error_number}')[0]}"
            for fault, _ in self._faults
            if not _ends_work(fault)
        ]

    def demands(self, known: Sequence[Demand]) -> list[Demand]:
        """Return a demand for each node type that has a machine and is to lose one; its tasks follow each other.

        Args:
            known: the rehearsal's demands by node type.
        """
        joined, demands = self._timeline.joined(), []
        for demand in known:
            name = demand["node_type"]
            if name not in joined or not any(name in self._node_types(fault) for fault in self._acting()):
                continue
            marked = MARK + name in self._filled["available_node_types"][name]["resources"]
            demands.append({**demand, "mark": demand["mark"] if marked else "", "continues": True})
        return demands

    def limit_s(self) -> float:
        """Return how long all of it may take, in seconds."""
        machines = sum(fault.count or 1 for fault in self._acting())
        return max((fault.after_s or 0.0 for fault in self._acting()), default=0.0) + (
            machines * timeouts.REHEARSAL_REPLACED_S
        )

    def left(self) -> list[str]:
        """Return what has not happened yet, a sentence each; none where all is shown."""
        return [sentence for fault in self._acting() for sentence in self._left_of(fault)]

    def summary(self) -> list[str]:
        """Return the closing lines: each machine that was replaced, by which, and after how long."""
        lines = []
        for machine in self._hit():
            follower = self._follower(machine)
            if machine.gone_s is None or follower is None or machine.happened_s is None or follower.last_run_s is None:
                continue
            took_s = follower.last_run_s - machine.happened_s
            drained = (
                "" if machine.drained_s is None else f"drained after {machine.drained_s - machine.happened_s:.1f} s, "
            )
            gone = "" if machine.gone_s is None else f"terminated after {machine.gone_s - machine.happened_s:.1f} s, "
            name = f"{machine.instance_type} {machine.instance_id}"
            lines.append(
                f"replaced: {name}, {drained}{gone}by {follower.instance_id}, with a task after {took_s:.1f} s"
            )
        return [*lines, *self.unused(), *(f"not shown: {sentence}" for sentence in self.left())]

    def of_command(self) -> list[str]:
        """Return the closing lines of a rehearsal with a command: what became of each machine that was hit."""
        return [_end_of(machine, self._next(machine)) for machine in self._hit()]

    def _next(self, machine: MachineRecord) -> MachineRecord | None:
        """Return the machine of its node type that was confirmed first after it was hit; None where there is none."""
        later = (
            other
            for other in self._timeline.machines.values()
            if other.node_type == machine.node_type and (other.confirmed_s or 0.0) > (machine.happened_s or 0.0)
        )
        return min(later, key=lambda other: other.confirmed_s or 0.0, default=None)

    def _acting(self) -> list[Fault]:
        return [
            fault
            for fault, key in self._faults
            if any(self._word(name, key) is OnEvent.ACT for name in self._node_types(fault))
        ]

    def _word(self, node_type: str, key: str) -> OnEvent:
        word: OnEvent = getattr(watcher_policy(self._filled["provider"]).of(node_type), key)
        return word

    def _node_types(self, fault: Fault) -> list[str]:
        return [name for name, machine_type in self._machine_types.items() if machine_type == fault.machine_type]

    def _hit(self) -> list[MachineRecord]:
        return [one for one in self._timeline.machines.values() if one.happened_s is not None]

    def _left_of(self, fault: Fault) -> list[str]:
        hit = [one for one in self._hit() if one.instance_type == fault.machine_type]
        if len(hit) < (fault.count or 1):
            return [f"{fault.kind.value} of {fault.machine_type} has happened to {len(hit)} machines"]
        if not _ends_work(fault):
            # Some seconds more: it shows that nothing comes of it.
            now_s = time.time() - self._timeline.started_s
            quiet = any(now_s - (one.happened_s or 0.0) < timeouts.REHEARSAL_QUIET_S for one in hit)
            return [f"{fault.machine_type} is watched for some seconds after XID {fault.error_number}"] if quiet else []
        sentences = []
        for machine in hit:
            if machine.node_type not in self._machine_types or machine.unhurt:
                continue  # the head, which is never drained; or one whose devices cannot be made to fail
            name = f"{machine.instance_type} {machine.instance_id}"
            if machine.gone_s is None:
                drained = "is not drained" if machine.drained_s is None else "is drained and not terminated"
                sentences.append(f"{name} {drained}")
            if self._follower(machine) is None:
                sentences.append(f"no task has run on another {machine.node_type} in place of {name}")
        return sentences

    def _follower(self, machine: MachineRecord) -> MachineRecord | None:
        """Return the machine that has run a task of its node type since it was hit; None where there is none yet."""
        since_s = machine.happened_s or 0.0
        return next(
            (
                other
                for other in self._timeline.machines.values()
                if other.node_type == machine.node_type
                and other.happened_s is None
                and (other.last_run_s or 0.0) > since_s
            ),
            None,
        )


def _end_of(machine: MachineRecord, following: MachineRecord | None) -> str:
    since_s = machine.happened_s or 0.0
    steps = [(machine.drained_s, "drained"), (machine.gone_s, "terminated")]
    parts = [f"not {word}" if at_s is None else f"{word} after {at_s - since_s:.1f} s" for at_s, word in steps]
    if following is not None and following.confirmed_s is not None:
        parts.append(f"{following.instance_id} is confirmed after {following.confirmed_s - since_s:.1f} s")
    return f"hit at {since_s:.1f} s: {machine.instance_type} {machine.instance_id}, {', '.join(parts)}"


def _ends_work(fault: Fault) -> bool:
    """Return whether a machine is drained for it: not for an error of a program."""
    return fault.error_number is None or effect_of("nvidia", f"XID {fault.error_number}")[1] is Effect.DRAIN


class Ender(threading.Thread):
    """A thread that waits until everything is shown, or for so long as that may take, and then ends the tasks.

    Args:
        replacement: what is to be shown.
        end: ends the tasks.
    """

    def __init__(self, replacement: Replacement, end: Callable[[], object]) -> None:
        super().__init__(daemon=True, name="rehearsal-ender")
        self._replacement, self._end = replacement, end
        self._over = threading.Event()

    def run(self) -> None:
        """Wait, then end the tasks."""
        until_s = time.monotonic() + self._replacement.limit_s()
        while not self._over.wait(timeouts.REHEARSAL_POLL_S):
            if not self._replacement.left() or time.monotonic() > until_s:
                self._end()
                return

    def stop(self) -> None:
        """Stop waiting: the tasks have ended by themselves."""
        self._over.set()
        self.join()
