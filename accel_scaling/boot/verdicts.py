"""The verdicts of the boot check: a closed set of words, each with its meaning, its advice and its exit code."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from accel_scaling import documentation

PAGE = "verdicts"
LABEL_VERDICT = "accel-scaling.io/verdict"  # of the Ray node
_OPTIONS = "{options}"  # used in an advice for the options of `docker run`
EXIT_CONFIRMED = 0
# Not 1 or 2, which a traceback and argparse's bad usage end with.
# Of `accel-scaling confirm` and of a start command that is refused; before_ray_start.sh has the same number.
EXIT_NOT_CONFIRMED = 3


class VerdictWord(Enum):
    """The words that a user can search for."""

    CONFIRMED = "Confirmed"
    MORE_THAN_PROMISED = "MoreThanPromised"
    NO_DEVICE = "NoDevice"
    DRIVER_MISSING = "DriverMissing"
    FEWER_THAN_PROMISED = "FewerThanPromised"
    OTHER_TYPE = "OtherType"
    UNHEALTHY = "Unhealthy"
    TOO_SLOW = "TooSlow"
    NOT_YET = "NotYet"
    NOT_VISIBLE_IN_CONTAINER = "NotVisibleInContainer"


class NoCheck(Enum):
    """The word of a machine whose devices nobody looked at: no verdict, and it stands where one does."""

    NOT_CHECKED = "NotChecked"


@dataclass(frozen=True)
class Meaning:
    """The meaning of a verdict.

    Attributes:
        meaning: one sentence about the machine.
        advice: what to do, as the end of a sentence; empty where there is nothing to do.
        exit_code: of `accel-scaling confirm`. 0: the node may join.
    """

    meaning: str
    advice: str
    exit_code: int = EXIT_NOT_CONFIRMED


WORDS = {
    VerdictWord.CONFIRMED: Meaning("The machine has what is promised.", "", EXIT_CONFIRMED),
    VerdictWord.MORE_THAN_PROMISED: Meaning(
        "The machine has what is promised, and more devices of that type, which Ray will not use.",
        "to use them all, promise them in the node type's resources",
        EXIT_CONFIRMED,
    ),
    VerdictWord.NO_DEVICE: Meaning(
        "Neither the PCI bus nor a driver shows such a device.", "check the node type's machine type"
    ),
    VerdictWord.DRIVER_MISSING: Meaning(
        "The devices are on the PCI bus, but their driver is not installed or not loaded.",
        "use an image that has it, or load it before Ray starts",
    ),
    VerdictWord.FEWER_THAN_PROMISED: Meaning(
        "The driver shows fewer devices than are promised, or the environment leaves fewer visible.",
        "replace this machine, or promise fewer in the node type's resources",
    ),
    VerdictWord.OTHER_TYPE: Meaning(
        "The devices are not of the promised type, or they are partitions and whole devices are promised.",
        "correct the node type's resources or its machine type",
    ),
    VerdictWord.UNHEALTHY: Meaning(
        "The driver is loaded but returns errors, or reports that a device cannot be used.",
        "replace this machine; if all machines of the node type have this verdict, check their image",
    ),
    VerdictWord.TOO_SLOW: Meaning(
        "The devices are there, and the active check of them was slower than allowed.",
        "replace this machine; if all machines of the node type have this verdict, allow more in confirmation.deep",
    ),
    VerdictWord.NOT_YET: Meaning(
        "The driver did not answer in time: it may still be loading.",
        "wait until the driver is loaded and confirm again, or replace this machine",
    ),
    VerdictWord.NOT_VISIBLE_IN_CONTAINER: Meaning(
        "The machine has the devices, but this container was given fewer of them than are promised.",
        f"start the container with {_OPTIONS}",
    ),
}


@dataclass(frozen=True)
class Verdict:
    """The result of comparing a promise with a machine.

    Attributes:
        word: the verdict, or that there is none.
        message: one sentence: what is promised, what the machine has, what to do.
        promised: the Ray resources that the node was to announce.
        detected: the accelerators of the machine, as ``detect --json`` prints them.
        advice: what to do, the end of the message; empty where there is nothing to do.
        others: the words of the other promised accelerators that the machine does not have as promised.
        here: the units that the machine has of each promised resource, of the devices that the verdict is about.
        tried: what the active check of the devices has found, where they have passed or could not be tried.
        measured: what the memory test found of each device; empty where it did not run.
    """

    word: VerdictWord | NoCheck
    message: str
    promised: dict[str, float] = field(default_factory=dict)
    detected: list[dict[str, Any]] = field(default_factory=list)
    advice: str = ""
    others: tuple[VerdictWord, ...] = ()
    here: dict[str, float] = field(default_factory=dict)
    tried: str = ""
    measured: list[dict[str, Any]] = field(default_factory=list)

    @property
    def confirmed(self) -> bool:
        """True where the node may join."""
        return holds_promise(self.word)

    def to_json(self) -> dict[str, Any]:
        """Return the documented object of ``confirm --json``."""
        return {
            "verdict": self.word.value,
            "message": self.message,
            "promised": self.promised,
            "detected": self.detected,
            "advice": self.advice,
            "page": page_of(self.word),
            **({"measured": self.measured} if self.measured else {}),
        }


def holds_promise(word: VerdictWord | NoCheck | str) -> bool:
    """Return whether a machine with this verdict has what is promised; a word of no verdict says that it has not."""
    try:
        return WORDS[VerdictWord(word)].exit_code == EXIT_CONFIRMED
    except ValueError:
        return False


# For a family without container options in the catalog.
_ANY_OPTIONS = "--device for each of its device nodes, or --privileged"


def advice_of(word: VerdictWord, family: str = "", devices: int = 0) -> str:
    """Return the advice for a verdict.

    Args:
        word: the verdict.
        family: the family of the devices, where that makes a difference.
        devices: how many of them the machine has.
    """
    advice = WORDS[word].advice
    return advice.format(options=_container_options(family, devices)) if _OPTIONS in advice else advice


def page_of(word: VerdictWord | NoCheck) -> str:
    """Return the page and heading that explain a verdict."""
    if isinstance(word, NoCheck):
        return documentation.page("confirmation", "one-node-type")
    return documentation.page(PAGE, word.value.lower())


def _container_options(family: str, devices: int) -> str:
    from accel_scaling.cluster.node_needs import (
        needs_of,  # here: rarely needed, and each boot check would wait for the import
    )

    needs = needs_of(family) if family else None
    if needs is None or not needs.known:
        return _ANY_OPTIONS
    options = list(needs.run_options)
    if needs.each_device:
        first, last = (needs.each_device.replace("{n}", str(number)) for number in (0, max(devices - 1, 0)))
        options += [first] if devices <= 1 else [first, "...", last]
    return " ".join(options)
