"""The record of one machine, from its request to its end. Pure values; times are Unix seconds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from accel_scaling import timeouts
from accel_scaling.quarantine.place import capacity_in, zone_in

if TYPE_CHECKING:
    from collections.abc import Mapping


class Step(Enum):
    """The steps in the life of a machine, in their order."""

    ASKED = "asked"
    LAUNCHED = "launched"
    REACHABLE = "reachable"
    SET_UP = "set up"
    CHECKED = "checked"
    JOINED = "joined"
    ENDED = "ended"


class Reason(NamedTuple):
    """A word that a person can search for (a verdict, a cloud's code), and a sentence."""

    code: str
    message: str


# Words for machines that fail outside of the boot check; docs/quarantine.md explains each.
NO_VERDICT = "NoVerdict"
UNREACHABLE = "Unreachable"
SET_UP_FAILED = "SetUpFailed"
START_FAILED = "StartFailed"
GONE = "Gone"
FAILURES = (NO_VERDICT, UNREACHABLE, SET_UP_FAILED, START_FAILED, GONE)


class Moment(NamedTuple):
    """One step of a machine: when it was, and what is known of it (the verdict, the reason of an end)."""

    step: Step
    time_s: float
    reason: str = ""


@dataclass(frozen=True)
class Machine:
    """The record of one machine, or of one TPU slice.

    Attributes:
        node_type: its node type.
        zone: where it was launched; empty where that is not known.
        steps: those that it has taken, in the order of time.
        failure: what is known to be wrong with it; it is given up for that reason if nothing better comes.
        given_up: that reason was its end: the cloud is asked to end it until it is gone.
        capacity: the key of the capacity entry that brought it; empty where its node type has no order of them.
    """

    node_type: str
    zone: str = ""
    steps: tuple[Moment, ...] = ()
    failure: Reason | None = None
    given_up: bool = False
    capacity: str = ""

    def time_of(self, step: Step) -> float | None:
        """Return when it took a step; None where it has not."""
        return next((moment.time_s for moment in self.steps if moment.step is step), None)

    @property
    def asked_s(self) -> float | None:
        """When it was asked for; None where only its first sight is known."""
        return self.time_of(Step.ASKED)

    @property
    def joined(self) -> bool:
        """True once it has joined the cluster."""
        return self.time_of(Step.JOINED) is not None

    @property
    def ended(self) -> bool:
        """True once it has ended."""
        return self.time_of(Step.ENDED) is not None

    @property
    def finished(self) -> bool:
        """True where nothing is left to find out about its boot."""
        return self.joined or self.ended

    @property
    def end_reason(self) -> str:
        """Return why it ended; empty where it has not."""
        return next((moment.reason for moment in self.steps if moment.step is Step.ENDED), "")

    def with_step(self, step: Step, now_s: float, reason: str = "") -> Machine:
        """Return it with a step; each is taken once, and a step after the end is none."""
        if self.ended or self.time_of(step) is not None:
            return self
        return replace(self, steps=(*self.steps, Moment(step, now_s, reason)))

    def with_request(self, place: str, asked_s: float) -> Machine:
        """Return it with where and when it was asked for, where its first step was seen before its launch returned."""
        if self.asked_s is not None:
            return self
        return replace(
            self,
            zone=self.zone or zone_in(place),
            capacity=capacity_in(place),
            steps=(Moment(Step.ASKED, asked_s), *self.steps),
        )

    def with_failure(self, failure: Reason, *, given_up: bool = False) -> Machine:
        """Return it with what is wrong with it; of a machine that is given up, the first reason stays."""
        if self.given_up or self.ended:
            return self
        return replace(self, failure=failure, given_up=given_up)


def bounded(machines: Mapping[str, Machine]) -> dict[str, Machine]:
    """Return all machines whose boot is under way, and the last of those whose boot is over, oldest first."""
    finished = [name for name, machine in machines.items() if machine.finished and not _is_ending(machine)]
    dropped = set(finished[: -timeouts.FINISHED_MACHINES_REMEMBERED])
    kept = {name: machine for name, machine in machines.items() if name not in dropped}
    # What never finished, because nobody saw its end: the oldest is dropped.
    return dict(list(kept.items())[-timeouts.MACHINES_REMEMBERED :])


def _is_ending(machine: Machine) -> bool:
    return machine.given_up and not machine.ended


def ended_before_joined(machines: Mapping[str, Machine]) -> dict[str, Machine]:
    """Return the machines that ended, or are given up, before they joined; newest last."""
    return {
        name: machine
        for name, machine in machines.items()
        if not machine.joined and (machine.ended or machine.given_up)
    }
