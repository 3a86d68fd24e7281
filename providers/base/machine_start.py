"""The start of machines, as Ray's updater tells it: status tags, commands that fail, and how often it tries."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from accel_scaling import _ray
from accel_scaling.cluster.policies import OnMismatch
from accel_scaling.message_text import one_line
from accel_scaling.quarantine.machine import NO_VERDICT, SET_UP_FAILED, START_FAILED, UNREACHABLE, Reason, Step
from accel_scaling.quarantine.record import Cause

if TYPE_CHECKING:
    from accel_scaling.providers.base.machine_watch import MachineWatch
    from accel_scaling.quarantine.gate import Gate

logger = logging.getLogger(__name__)

_MOST_LETTERS = 80  # of a command in a sentence

_NO_VERDICT = "its start commands ended with 0, and its boot check left no verdict"


@dataclass(frozen=True)
class FailedCommand:
    """A command that failed on a node.

    Attributes:
        command: as the cluster file has it, or what else was done (``file_mounts``).
        exit_code: with which it ended; None where that is not known.
        last_line: the last line that it printed; empty where nothing is known of it.
        starts_ray: it was a start command.
        connection_broke: ssh itself failed, and nothing is known of the command.
    """

    command: str
    exit_code: int | None = None
    last_line: str = ""
    starts_ray: bool = False
    connection_broke: bool = False

    @property
    def reason(self) -> Reason:
        """The word and the sentence."""
        said = f": {self.last_line}" if self.last_line else ""
        if self.connection_broke:
            return Reason(UNREACHABLE, f"the connection broke during {self._quoted}{said}")
        if self.starts_ray:
            return Reason(START_FAILED, f"it was confirmed, and {self.words}{said}")
        return Reason(SET_UP_FAILED, f"{self.words}{said}")

    @property
    def words(self) -> str:
        """The command in backquotes, and how it ended."""
        ended = "failed" if self.exit_code is None else f"ended with {self.exit_code}"
        return f"{self._quoted} {ended}"

    @property
    def _quoted(self) -> str:
        return f"`{one_line(self.command, _MOST_LETTERS)}`"


@dataclass(frozen=True)
class _Attempt:
    """One try of Ray's updater to set a machine up.

    Attributes:
        number: counted from 1.
        status: the last status tag; ``reachable`` once ssh has answered.
        failed: the last command that failed.
        silent: a start command ended with 0, and the machine has no verdict.
    """

    number: int = 0
    status: str = ""
    failed: FailedCommand | None = None
    silent: bool = False

    @property
    def waits_for_ssh(self) -> bool:
        """True where nothing but the question whether ssh answers was tried."""
        return self.status == _ray.WAITING_FOR_SSH and (
            self.failed is None or self.failed.command == _ray.PROBE_COMMAND
        )


class MachineStarts:
    """The machines that Ray's updaters set up; each runs in a thread of its own, one for each machine."""

    def __init__(self, gate: Gate, watch: MachineWatch) -> None:
        self._gate = gate
        self._watch = watch
        self._attempts: dict[str, _Attempt] = {}

    def tagged(self, node_id: str, tags: dict[str, str]) -> None:
        """Take note of the tags that Ray sets on a node: one of them says how far its set-up is."""
        status = _ray.status_of(tags)
        if status is None or not self._gate.active:
            return
        attempt = self._attempts.get(node_id, _Attempt())
        if status == _ray.WAITING_FOR_SSH:
            self._attempts[node_id] = _Attempt(attempt.number + 1, status)
        elif status == _ray.UPDATE_FAILED:
            self._failed(node_id, attempt)
        elif status == _ray.UP_TO_DATE:
            self._attempts.pop(node_id, None)
            self._started(node_id, attempt)
        elif status in (_ray.SYNCING_FILES, _ray.SETTING_UP):
            self._attempts[node_id] = replace(attempt, status=status)

    def reachable(self, node_id: str) -> None:
        """Take note that ssh has answered."""
        self._update(node_id, status="reachable", failed=None)
        self._step(node_id, Step.REACHABLE)

    def command_failed(self, node_id: str, failed: FailedCommand) -> None:
        """Take note of a command that failed; Ray's updater decides what becomes of it."""
        self._update(node_id, failed=failed)

    def start_begins(self, node_id: str) -> None:
        """Take note that the set-up of a machine is done, and a start command begins."""
        self._update(node_id, status="starting", failed=None)
        self._step(node_id, Step.SET_UP)

    def no_verdict(self, node_id: str) -> None:
        """Take note that a start command ended with 0, and left no verdict; a further one may."""
        self._update(node_id, silent=True)

    def _update(self, node_id: str, **changes: Any) -> None:
        if self._gate.active:
            self._attempts[node_id] = replace(self._attempts.get(node_id, _Attempt()), **changes)

    def _step(self, node_id: str, step: Step) -> None:
        if self._gate.active and not self._watch.boot_is_over(node_id):
            self._gate.machines.step(node_id, self._watch.cloud.node_type(node_id), step)

    def _failed(self, node_id: str, attempt: _Attempt) -> None:
        # Of a machine that had joined, Ray updates or restarts what runs there.
        if self._watch.boot_is_over(node_id):
            return
        reason = _reason(attempt)
        # Ray waits 15 minutes for ssh: as long as that, a machine is not tried again.
        last = attempt.number >= _ray.start_attempts() or attempt.waits_for_ssh
        node_type = self._watch.cloud.node_type(node_id)
        again = "" if last else "; Ray tries again"
        logger.error("node %s of type %s: %s: %s%s", node_id, node_type, *reason, again)
        self._gate.machines.failing(node_id, node_type, reason)
        # Where the cloud does not say whether the machine is there, Ray's own end of it comes next.
        if last and self._watch.ended_by_others(node_id) is False:
            self._watch.give_up(node_id, *reason)

    def _started(self, node_id: str, attempt: _Attempt) -> None:
        """Take note that all start commands of a machine ended with 0."""
        if self._watch.boot_is_over(node_id):
            return
        machine = self._gate.machines.get(node_id)
        checked = machine is not None and machine.time_of(Step.CHECKED) is not None
        # A machine that did not answer may have a verdict: its labels will tell it, when it joins.
        if attempt.silent and not checked:
            policy = self._gate.confirmation.of(self._watch.cloud.node_type(node_id))
            if policy is OnMismatch.REFUSE:
                self._watch.give_up(node_id, NO_VERDICT, _NO_VERDICT, Cause.REFUSED)
                return
            if not policy.always_joins:
                self._watch.joins_unchecked(node_id, _NO_VERDICT)
        self._watch.start_ended(node_id)


def _reason(attempt: _Attempt) -> Reason:
    failed = attempt.failed
    if attempt.waits_for_ssh:
        said = f": {failed.last_line}" if failed and failed.last_line else ""
        return Reason(UNREACHABLE, f"ssh did not answer within {_ray.SSH_TIMEOUT_S / 60:.0f} min{said}")
    if failed:
        return failed.reason
    return Reason(SET_UP_FAILED, f"its set-up failed at the status {attempt.status}; the autoscaler's log says why")
