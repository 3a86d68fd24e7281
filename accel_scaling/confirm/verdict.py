"""The verdict on a node: one searchable word, one sentence, and what it was made from."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class VerdictWord(Enum):
    """The words that a user can search for."""

    CONFIRMED = "Confirmed"
    NO_DEVICE = "NoDevice"  # neither the bus nor a driver shows any
    DRIVER_MISSING = "DriverMissing"  # on the bus, but the driver is not installed or not loaded
    FEWER_THAN_PROMISED = "FewerThanPromised"
    OTHER_TYPE = "OtherType"
    UNHEALTHY = "Unhealthy"  # the driver is there and answers with errors
    NOT_YET = "NotYet"  # the driver did not answer in time


@dataclass(frozen=True)
class Verdict:
    """What came of comparing a promise with a machine.

    Attributes:
        word: the verdict.
        message: one sentence: what was promised, what is there, what to do.
        promised: the Ray resources that the node was to announce.
        detected: the accelerators that are there, as ``detect --json`` prints them.
    """

    word: VerdictWord
    message: str
    promised: dict[str, float] = field(default_factory=dict)
    detected: list[dict[str, Any]] = field(default_factory=list)

    @property
    def confirmed(self) -> bool:
        """Whether the node may join."""
        return self.word is VerdictWord.CONFIRMED

    def to_json(self) -> dict[str, Any]:
        """Return the documented form of ``confirm --json``."""
        return {
            "verdict": self.word.value,
            "message": self.message,
            "promised": self.promised,
            "detected": self.detected,
        }
