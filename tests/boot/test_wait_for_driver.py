"""A driver that is still coming up is waited for, with a deadline; every other verdict is final at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from accel_scaling import timeouts
from accel_scaling.boot.verdicts import Verdict, VerdictWord
from accel_scaling.boot.wait_for_driver import wait_for_verdict
from accel_scaling.families.inventory import uptime_s


class Clock:
    """Time that passes by sleeping only."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


LONG_S = 86400.0


def settle(*words: VerdictWord, up_s: float | None = LONG_S, **how: float) -> tuple[VerdictWord, float]:
    """The verdict and how long it took, when the machine says these words in turn and stays at the last."""
    left, clock = list(words), Clock()

    def judge() -> Verdict:
        return Verdict(left.pop(0) if len(left) > 1 else left[0], "")

    def up() -> float | None:
        return None if up_s is None else up_s + clock.now_s

    verdict = wait_for_verdict(judge, clock, clock.sleep, up_s=up, **how)
    return verdict.word, clock.now_s


def test_a_driver_that_comes_up_in_time_is_confirmed() -> None:
    word, took_s = settle(VerdictWord.NOT_YET, VerdictWord.NOT_YET, VerdictWord.CONFIRMED)
    assert word is VerdictWord.CONFIRMED
    assert took_s == 2 * timeouts.DRIVER_READY_POLL_S


def test_a_driver_that_never_answers_is_given_up_at_the_deadline() -> None:
    word, took_s = settle(VerdictWord.NOT_YET)
    assert word is VerdictWord.NOT_YET
    assert timeouts.DRIVER_READY_S <= took_s < timeouts.DRIVER_READY_S + timeouts.DRIVER_READY_POLL_S


def test_the_deadline_is_the_callers_and_none_is_one_look() -> None:
    assert settle(VerdictWord.NOT_YET, VerdictWord.CONFIRMED, wait_s=0) == (VerdictWord.NOT_YET, 0.0)
    assert settle(VerdictWord.NOT_YET, wait_s=4) == (VerdictWord.NOT_YET, 4.0)


@pytest.mark.parametrize("word", [word for word in VerdictWord if word is not VerdictWord.NOT_YET])
def test_every_other_verdict_is_final_at_once(word: VerdictWord) -> None:
    assert settle(word, VerdictWord.CONFIRMED) == (word, 0.0)


def test_a_driver_that_is_missing_may_still_load_on_a_machine_that_has_just_booted() -> None:
    word, took_s = settle(VerdictWord.DRIVER_MISSING, VerdictWord.DRIVER_MISSING, VerdictWord.CONFIRMED, up_s=40)
    assert (word, took_s) == (VerdictWord.CONFIRMED, 2 * timeouts.DRIVER_READY_POLL_S)


def test_it_is_missing_once_the_machine_is_up_for_long_enough() -> None:
    word, took_s = settle(VerdictWord.DRIVER_MISSING, VerdictWord.CONFIRMED, up_s=timeouts.DRIVER_LOADS_S)
    assert (word, took_s) == (VerdictWord.DRIVER_MISSING, 0.0)
    word, took_s = settle(VerdictWord.DRIVER_MISSING, up_s=timeouts.DRIVER_LOADS_S - 5)
    assert word is VerdictWord.DRIVER_MISSING
    assert took_s == pytest.approx(6.0)


def test_it_is_missing_where_nobody_says_when_the_machine_booted() -> None:
    assert settle(VerdictWord.DRIVER_MISSING, VerdictWord.CONFIRMED, up_s=None) == (VerdictWord.DRIVER_MISSING, 0.0)


def test_the_kernel_says_for_how_long_a_machine_is_up(tmp_path: Path) -> None:
    assert uptime_s(tmp_path) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/uptime").write_text("53.21 400.02\n", encoding="ascii")
    assert uptime_s(tmp_path) == 53.21
    (tmp_path / "proc/uptime").write_text("soon\n", encoding="ascii")
    assert uptime_s(tmp_path) is None
