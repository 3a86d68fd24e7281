"""The verdict on a node: one searchable word, one sentence, and what it was made from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from accel_scaling.boot.verdicts import EXIT_CONFIRMED, WORDS, VerdictWord, page_of

__all__ = ["Verdict", "VerdictWord"]


@dataclass(frozen=True)
class Verdict:
    """What came of comparing a promise with a machine.

    Attributes:
        word: the verdict.
        message: one sentence: what was promised, what is there, what to do.
        promised: the Ray resources that the node was to announce.
        detected: the accelerators that are there, as ``detect --json`` prints them.
        advice: what to do, the end of the message; empty where there is nothing to do.
        others: the words of the other promised kinds of accelerator that are not there as promised.
        here: the units that are there of each promised resource, of the devices that the verdict is about.
    """

    word: VerdictWord
    message: str
    promised: dict[str, float] = field(default_factory=dict)
    detected: list[dict[str, Any]] = field(default_factory=list)
    advice: str = ""
    others: tuple[VerdictWord, ...] = ()
    here: dict[str, float] = field(default_factory=dict)

    @property
    def confirmed(self) -> bool:
        """Whether the node may join."""
        return WORDS[self.word].exit_code == EXIT_CONFIRMED

    def to_json(self) -> dict[str, Any]:
        """Return the documented form of ``confirm --json``."""
        return {
            "verdict": self.word.value,
            "message": self.message,
            "promised": self.promised,
            "detected": self.detected,
            "advice": self.advice,
            "page": page_of(self.word),
        }
