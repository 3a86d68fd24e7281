"""The states of a set-up as tags: which of them EC2 is told, and that none comes after the last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from accel_scaling import _ray
from accel_scaling.providers.aws.passing_states import PassingStates

SSH, FILES = {"ray-node-status": "waiting-for-ssh"}, {"ray-node-status": "syncing-files"}


class EC2:
    def __init__(self) -> None:
        self.now_s = 0.0
        self.calls: list[tuple[list[str], dict[str, str]]] = []
        self.refuses = False

    def write(self, node_ids: Sequence[str], tags: Mapping[str, str]) -> None:
        self.calls.append((list(node_ids), dict(tags)))
        if self.refuses:
            raise RuntimeError("InvalidInstanceID.NotFound")


@pytest.fixture(name="ec2")
def ec2_fixture() -> EC2:
    return EC2()


@pytest.fixture(name="states")
def states_fixture(ec2: EC2, monkeypatch: Any) -> PassingStates:
    # The thread that writes behind is left out: what it does is called by hand.
    monkeypatch.setattr(PassingStates, "_write_behind", lambda _: None)
    return PassingStates(ec2.write, 5, lambda: ec2.now_s)


def test_a_state_is_known_at_once_and_not_written_while_it_is_new(states, ec2) -> None:
    states.set("i-1", SSH)
    assert states.of("i-1") == SSH
    assert states.of("i-2") == {}
    states.write_old()
    assert ec2.calls == []


def test_a_state_that_lasts_is_written_once_and_with_those_of_other_machines(states, ec2) -> None:
    states.set("i-1", SSH)
    states.set("i-2", SSH)
    states.set("i-3", FILES)
    ec2.now_s = 5
    states.write_old()
    states.write_old()
    assert ec2.calls == [(["i-1", "i-2"], SSH), (["i-3"], FILES)]
    assert states.of("i-1") == SSH


def test_a_state_that_is_overwritten_in_time_is_never_written(states, ec2) -> None:
    states.set("i-1", SSH)
    ec2.now_s = 4
    states.set("i-1", FILES)
    ec2.now_s = 6
    states.write_old()
    assert ec2.calls == []


def test_after_the_end_of_a_set_up_no_state_of_it_is_written(states, ec2) -> None:
    states.set("i-1", SSH)
    states.forget("i-1")
    ec2.now_s = 9
    states.write_old()
    assert ec2.calls == []
    assert states.of("i-1") == {}


def test_what_ec2_refuses_stops_no_other_state(states, ec2) -> None:
    ec2.refuses = True
    states.set("i-1", SSH)
    states.set("i-2", FILES)
    ec2.now_s = 5
    states.write_old()
    assert len(ec2.calls) == 2


def test_only_a_state_of_a_set_up_that_continues_is_passing() -> None:
    assert _ray.is_passing(SSH)
    assert not _ray.is_passing({"ray-node-status": "up-to-date"})
    assert not _ray.is_passing({"ray-node-status": "update-failed"})
    assert not _ray.is_passing({**SSH, "ray-runtime-config": "x"})
