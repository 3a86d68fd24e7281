"""When the next round of autoscaler v2 comes, in a time that only waiting moves on."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import pytest

from accel_scaling import timeouts
from accel_scaling.providers.base.early_rounds import EarlyRounds

RAYS_S = 5.0


class Head(threading.Event):
    """What happens on a head, at which second; an event whose waits move the time on."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.demands: dict[float, dict[bytes, int]] = {}
        self.launches: list[float] = []
        self.looks: list[float] = []
        self.look_takes_s = 0.0

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        until_s = self.now_s + timeout
        if self.launches and self.launches[0] <= until_s:
            self.now_s = max(self.now_s, self.launches.pop(0))
            self.set()
        elif not self.is_set():
            self.now_s = until_s
        return self.is_set()

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        if self.launches and self.launches[0] <= self.now_s:
            self.launches.pop(0)
            self.set()

    def demand(self) -> Mapping[bytes, int]:
        self.looks.append(self.now_s)
        self.now_s += self.look_takes_s
        since = [second for second in self.demands if second <= self.now_s]
        return self.demands[max(since)] if since else {}

    def round(self, rounds: EarlyRounds, takes_s: float = 0.0) -> tuple[float, bool]:
        """A round, and the pause after it: when the next begins, and whether that is early."""
        self.now_s += takes_s
        rounds.pause(RAYS_S)
        return round(self.now_s, 2), rounds.is_early


@pytest.fixture(name="head")
def head_fixture() -> Head:
    return Head()


@pytest.fixture(name="rounds")
def rounds_fixture(head: Head) -> EarlyRounds:
    return EarlyRounds(head.demand, lambda: head.now_s, head.sleep, head)


def test_where_nothing_waits_a_round_comes_every_five_seconds(head, rounds) -> None:
    assert [head.round(rounds) for _ in range(3)] == [(5, False), (10, False), (15, False)]


def test_a_task_that_waits_is_answered_within_a_second(head, rounds) -> None:
    head.demands[1.6] = {b"T4": 1}
    second, early = head.round(rounds)
    assert early
    assert second - 1.6 <= 3 * timeouts.DEMAND_LOOK_S


def test_a_regular_round_comes_when_it_would_have_come_without_the_early_one(head, rounds) -> None:
    head.demands[1.6] = {b"T4": 1}
    assert head.round(rounds)[1]
    assert head.round(rounds) == (5, False)


def test_a_task_that_continues_waiting_causes_no_further_round(head, rounds) -> None:
    head.demands[1.6] = {b"T4": 1}
    begun = [head.round(rounds) for _ in range(4)]
    assert [early for _, early in begun] == [True, False, False, False]


def test_a_task_that_waits_again_is_new(head, rounds) -> None:
    head.demands |= {1: {b"T4": 1}, 6: {}, 7: {b"T4": 1}}
    begun = [head.round(rounds) for _ in range(4)]
    assert [early for _, early in begun] == [True, False, True, False]


def test_a_burst_of_tasks_is_seen_whole(head, rounds) -> None:
    head.demands |= {1 + number / 20: {b"T4": number + 1} for number in range(40)}
    second, early = head.round(rounds)
    assert early
    assert second > 1 + 39 / 20
    assert head.round(rounds) == (5, False)


def test_a_burst_without_an_end_waits_for_the_regular_round(head, rounds) -> None:
    head.demands |= {number / 20: {b"T4": number + 1} for number in range(200)}
    assert head.round(rounds) == (5, False)


def test_a_machine_that_was_launched_brings_the_round_that_sets_it_up(head, rounds) -> None:
    head.launches.append(2.1)
    assert head.round(rounds) == (2.1, True)
    assert head.round(rounds) == (5, False)


def test_rounds_that_take_long_leave_four_fifths_of_the_time_to_others(head, rounds) -> None:
    head.launches += [1.1, 1.5]
    assert head.round(rounds, takes_s=0.5) == (2.5, True), "0.5 s of work, 2 s of rest, whatever was launched meanwhile"
    head.launches.append(2.6)
    assert head.round(rounds, takes_s=1) == (5.5, False), "4 s of rest would be more than Ray's"


def test_a_look_that_takes_long_is_repeated_less_often(head, rounds) -> None:
    head.look_takes_s = 0.1
    head.round(rounds)
    assert len(head.looks) <= 5


def test_a_question_that_fails_changes_nothing(head, rounds, monkeypatch) -> None:
    def fail() -> Mapping[bytes, int]:
        raise RuntimeError("GCS")

    monkeypatch.setattr(rounds, "_demand", fail)
    assert head.round(rounds) == (5, False)


def test_another_thread_is_in_no_early_round(head, rounds) -> None:
    head.launches.append(2.1)
    assert head.round(rounds)[1]
    seen: list[bool] = []
    other = threading.Thread(target=lambda: seen.append(rounds.is_early))
    other.start()
    other.join()
    assert seen == [False]
