"""A driver that is still coming up is waited for, with a deadline; every other verdict stands at once."""

from __future__ import annotations

import pytest

from accel_scaling import timings
from accel_scaling.confirm.settle import settled_verdict
from accel_scaling.confirm.verdict import Verdict, VerdictWord


class Clock:
    """Time that passes by sleeping only."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def settle(*words: VerdictWord, **how: float) -> tuple[VerdictWord, float]:
    """The verdict and how long it took, when the machine says these words in turn and stays at the last."""
    left, clock = list(words), Clock()
    verdict = settled_verdict(lambda: Verdict(left.pop(0) if len(left) > 1 else left[0], ""), clock, clock.sleep, **how)
    return verdict.word, clock.now_s


def test_a_driver_that_comes_up_in_time_is_confirmed() -> None:
    word, took_s = settle(VerdictWord.NOT_YET, VerdictWord.NOT_YET, VerdictWord.CONFIRMED)
    assert word is VerdictWord.CONFIRMED
    assert took_s == 2 * timings.DRIVER_READY_POLL_S


def test_a_driver_that_never_answers_is_given_up_at_the_deadline() -> None:
    word, took_s = settle(VerdictWord.NOT_YET)
    assert word is VerdictWord.NOT_YET
    assert timings.DRIVER_READY_S <= took_s < timings.DRIVER_READY_S + timings.DRIVER_READY_POLL_S


def test_the_deadline_is_the_callers_and_none_is_one_look() -> None:
    assert settle(VerdictWord.NOT_YET, VerdictWord.CONFIRMED, wait_s=0) == (VerdictWord.NOT_YET, 0.0)
    assert settle(VerdictWord.NOT_YET, wait_s=4) == (VerdictWord.NOT_YET, 4.0)


@pytest.mark.parametrize("word", [word for word in VerdictWord if word is not VerdictWord.NOT_YET])
def test_every_other_verdict_stands_at_once(word: VerdictWord) -> None:
    assert settle(word, VerdictWord.CONFIRMED) == (word, 0.0)
