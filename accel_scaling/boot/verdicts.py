"""The verdicts: a closed set of words, each with what it means, what to do, and how `accel-scaling confirm` ends."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

PAGE = "docs/verdicts.md"
_OPTIONS = "{options}"  # of `docker run`, in an advice
EXIT_CONFIRMED = 0
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
    NOT_YET = "NotYet"
    NOT_VISIBLE_IN_CONTAINER = "NotVisibleInContainer"


@dataclass(frozen=True)
class Meaning:
    """What a verdict says.

    Attributes:
        meaning: of the machine, in one sentence.
        advice: what to do, as the end of a sentence; empty where there is nothing to do.
        exit_code: of `accel-scaling confirm`. 0: the node may join.
    """

    meaning: str
    advice: str
    exit_code: int = EXIT_NOT_CONFIRMED


WORDS = {
    VerdictWord.CONFIRMED: Meaning("What is promised is there.", "", EXIT_CONFIRMED),
    VerdictWord.MORE_THAN_PROMISED: Meaning(
        "What is promised is there, and more devices of the kind, which Ray will not use.",
        "to use them all, promise them in the node type's resources",
        EXIT_CONFIRMED,
    ),
    VerdictWord.NO_DEVICE: Meaning(
        "Neither the PCI bus nor a driver shows a device of the kind.", "check the node type's instance type"
    ),
    VerdictWord.DRIVER_MISSING: Meaning(
        "The devices are on the PCI bus, but their driver is not installed or not loaded.",
        "use an image that has it, or load it before Ray starts",
    ),
    VerdictWord.FEWER_THAN_PROMISED: Meaning(
        "The driver answers for fewer devices than are promised.",
        "replace this machine, or promise fewer in the node type's resources",
    ),
    VerdictWord.OTHER_TYPE: Meaning(
        "The devices are of another type than is promised, or in slices where whole ones are promised.",
        "correct the node type's resources or its instance type",
    ),
    VerdictWord.UNHEALTHY: Meaning(
        "The driver is there and answers with errors, or says that a device cannot be used.",
        "replace this machine; if every machine of the type says so, check its image",
    ),
    VerdictWord.NOT_YET: Meaning(
        "The driver did not answer in time: it may still be starting.",
        "wait until the driver is up and confirm again, or replace this machine",
    ),
    VerdictWord.NOT_VISIBLE_IN_CONTAINER: Meaning(
        "The machine has the devices, and this container was given fewer of them than are promised.",
        f"start the container with {_OPTIONS}",
    ),
}

# Where the catalog knows no container options of a family.
_ANY_OPTIONS = "--device for each of its device nodes, or --privileged"


def advice_of(word: VerdictWord, family: str = "", devices: int = 0) -> str:
    """Return what to do.

    Args:
        word: the verdict.
        family: whose devices, where that makes a difference.
        devices: how many of them the machine has.
    """
    advice = WORDS[word].advice
    return advice.format(options=_container_options(family, devices)) if _OPTIONS in advice else advice


def page_of(word: VerdictWord) -> str:
    """Return where the documents explain it."""
    return f"{PAGE}#{word.value.lower()}"


def _container_options(family: str, devices: int) -> str:
    from accel_scaling.cluster.node_needs import needs_of  # here: rarely needed, and every confirm would wait for it

    needs = needs_of(family) if family else None
    if needs is None or not needs.known:
        return _ANY_OPTIONS
    options = list(needs.run_options)
    if needs.each_device:
        first, last = (needs.each_device.replace("{n}", str(number)) for number in (0, max(devices - 1, 0)))
        options += [first] if devices <= 1 else [first, "...", last]
    return " ".join(options)
