"""What the autoscaler is told of nodes between two lists of the cloud, and where a list lags behind a launch."""

from __future__ import annotations

import pytest

from accel_scaling import timeouts
from accel_scaling.providers.base.known_nodes import KnownNodes


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(name="clock")
def clock_fixture() -> Clock:
    return Clock()


@pytest.fixture(name="known")
def known_fixture(clock: Clock) -> KnownNodes:
    return KnownNodes(clock)


def test_a_node_that_was_launched_is_known_before_it_is_listed(known) -> None:
    assert known.listed(["a"]) == []
    known.launched(["b"])
    assert known.all() == ["a", "b"]
    assert known.listed(["a", "b"]) == []
    assert known.all() == ["a", "b"]


def test_a_list_that_lags_behind_does_not_take_a_node_from_the_autoscaler(known) -> None:
    known.launched(["b"])
    known.all()
    assert known.listed([]) == ["b"]
    assert known.listed([]) == ["b"]


def test_a_node_that_the_autoscaler_was_not_told_of_is_left_to_the_list(known) -> None:
    known.launched(["b"])
    assert known.listed([]) == []


def test_a_node_that_is_not_listed_for_a_minute_is_gone(known, clock) -> None:
    known.launched(["b"])
    known.all()
    clock.now_s = timeouts.LISTED_AFTER_S + 1
    assert known.listed([]) == []
    assert known.all() == []


def test_a_node_whose_end_was_asked_for_is_not_kept_beside_the_list(known) -> None:
    known.launched(["b"])
    known.all()
    known.ended(["b"])
    assert known.listed([]) == []


def test_a_node_that_ends_stays_until_the_next_list(known) -> None:
    known.listed(["a"])
    known.ended(["a"])
    assert known.all() == ["a"]
    assert known.listed([]) == []
    assert known.all() == []
