"""The verdicts: a closed set of words, each with what it means, what to do, and how `accel-scaling confirm` ends."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

PAGE = "docs/verdicts.md"
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
        "start the container with {options}",
    ),
}

# What a container must be started with to see its machine's devices, by family; `docker run`'s options.
# NVIDIA: Container Toolkit, "Specialized Configurations"; Neuron: "Getting started with Neuron DLC"; TPU: Cloud TPU,
# "Run TPU workloads in a Docker container"; AMD: ROCm, "Running ROCm Docker containers".
CONTAINER_OPTIONS = {
    "nvidia": "--gpus all",
    "neuron": "--device=/dev/neuron0 and so on, one for each device",
    "tpu": "--privileged --net=host",
    "amd": "--device=/dev/kfd --device=/dev/dri",
    "intel": "--device=/dev/dri",
}
ANY_CONTAINER_OPTIONS = "--device for each of their device nodes, or --privileged"


def advice_of(word: VerdictWord, family: str = "") -> str:
    """Return what to do.

    Args:
        word: the verdict.
        family: whose devices, where that makes a difference.
    """
    return WORDS[word].advice.format(options=CONTAINER_OPTIONS.get(family, ANY_CONTAINER_OPTIONS))


def page_of(word: VerdictWord) -> str:
    """Return where the documents explain it."""
    return f"{PAGE}#{word.value.lower()}"
