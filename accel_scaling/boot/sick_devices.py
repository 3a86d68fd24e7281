"""What a later look at a node's devices says: whether they are sick, and how sure that is. Pure, but for the look."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from accel_scaling.boot.compare import compare
from accel_scaling.boot.node_event import UNKNOWN
from accel_scaling.boot.verdicts import VerdictWord, holds_promise
from accel_scaling.detect.model import DriverState
from accel_scaling.families.inventory import detect
from accel_scaling.families.registry import all_families

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from accel_scaling.boot.verdicts import Verdict
    from accel_scaling.boot.watcher_start import Watched
    from accel_scaling.detect.model import Detection


class Sick(NamedTuple):
    """What is wrong with the devices.

    Attributes:
        code: the word of a verdict, or `UNKNOWN`.
        message: its sentence.
        sure: whether the driver itself, or the bus, says it of a device. Otherwise a user may be at work on the
            node: a driver is replaced, MIG is set up, a process of ours was killed because memory ran out.
        acts: whether it can be a fault of the machine at all; a device of another type is what a user made of it.
    """

    code: str
    message: str
    sure: bool = True
    acts: bool = True


def devices_of(watched: Watched) -> Callable[[], Sick | None]:
    """Return a function that compares the devices with what the node has joined with."""

    def look() -> Sick | None:
        return sick_in(watched.promised, detect())

    return look


def sick_in(promised: Mapping[str, float], detected: Sequence[Detection]) -> Sick | None:
    """Return what is wrong with the devices of a node that has joined with these resources; None for nothing.

    A maker's package that another program has broken, as `pip install` can, is no sick device. The driver still says
    what it has, and that is compared.
    """
    broken = [one for one in detected if one.state is DriverState.TOOL_BROKEN]
    if not broken:
        return sick_of(compare(promised, detected), detected)
    rest = [replace(one, state=DriverState.OK, trouble="") if one in broken else one for one in detected]
    if found := sick_of(compare(promised, rest), rest):
        return found
    words = "; ".join(one.trouble for one in broken)
    message = f"{words}: the driver has all devices, and their health is not known until that is repaired"
    return Sick(UNKNOWN, message, sure=False, acts=False)


def sick_of(verdict: Verdict, detected: Sequence[Detection]) -> Sick | None:
    """Return what is wrong with the devices of a node that had what it promised; None for nothing.

    Args:
        verdict: of a look at it.
        detected: what that look has found.
    """
    word = verdict.word
    if holds_promise(word):
        return None
    # All are there, and something else does not answer: of a TPU host, the metadata server.
    if word is VerdictWord.NOT_YET and all(one.driver_count >= max(one.bus_count, 1) for one in detected):
        return None
    # Of these families the number is that of the nodes in /dev, whatever the driver says.
    by_nodes = {family.name for family in all_families() if family.ray_counts_nodes}
    answers = any(one.driver_count or (one.ray_units and one.family not in by_nodes) for one in detected)
    counted = word in (VerdictWord.UNHEALTHY, VerdictWord.FEWER_THAN_PROMISED) and answers
    sure = word is VerdictWord.NO_DEVICE or (counted and not any(one.divided for one in detected))
    return Sick(word.value, verdict.message, sure, acts=word is not VerdictWord.OTHER_TYPE)
