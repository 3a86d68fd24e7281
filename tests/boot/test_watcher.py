"""The watcher of a node: what it makes of notices and of sick devices; without a Ray cluster."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accel_scaling import timeouts
from accel_scaling.boot import watcher as module
from accel_scaling.boot.node_event import EventKind, NodeEvent, Notice, read_event
from accel_scaling.boot.sick_devices import Sick
from accel_scaling.boot.watcher_start import Watched
from accel_scaling.boot.watcher_steps import Look, Watcher
from accel_scaling.cluster.policies import OnEvent

T4 = {"GPU": 1.0, "accelerator_type:T4": 1.0}


class Node:
    """A watcher whose clock is moved by hand, and what it has told."""

    def __init__(self, **policy: Any) -> None:
        self.now_s, self.notices, self.sick, self.told = 1_000_000.0, [], None, list[NodeEvent]()
        self.error: Exception = OSError("it does not answer")
        self.silent, self.questions, self.accepts, self.logged = False, 0, True, list[str]()
        self.answers = False  # the server's answer is there, and not taken
        words = {kind: OnEvent(policy.get(kind.value, "act")) for kind in EventKind}
        watched = Watched("aws", words, policy.get("drain_s", 300.0), T4)
        self.jump_s, self.looks, self.look_cpu_s, self.cpu_s = 0.0, 0, 0.0, 0.0
        self.watcher = Watcher(
            watched,
            self,
            self.look,
            self.tell,
            lambda: self.now_s + self.jump_s,
            self.logged.append,
            "10.0.0.5",
            ticks=lambda: self.now_s,
            cpu_s=lambda: self.cpu_s,
        )

    notices: list[Notice]
    sick: Sick | Exception | None

    def look(self) -> Sick | None:
        self.looks += 1
        self.cpu_s += self.look_cpu_s
        if isinstance(self.sick, Exception):
            raise self.sick
        return self.sick

    def urgent(self) -> list[Notice]:
        self.questions, self.answers = self.questions + 1, False
        if self.silent:
            raise self.error
        return self.notices

    def slow(self) -> list[Notice]:
        if self.silent:
            raise self.error
        return []

    def pause(self, seconds: float) -> bool:
        self.now_s += 0.0 if self.answers else seconds
        return self.answers

    def tell(self, event: NodeEvent) -> bool:
        self.told.append(event)
        return self.accepts

    def goes_on(self, seconds: float) -> list[NodeEvent]:
        for _ in range(int(seconds)):
            self.now_s += 1
            self.watcher.step()
        return self.told


INTERRUPTION = Notice(EventKind.INTERRUPTION, "spot terminate", "EC2 will terminate it", 1_000_122.0)


def test_a_notice_drains_the_node_within_a_second_until_the_cloud_takes_it() -> None:
    node = Node()
    node.goes_on(2)
    node.notices = [INTERRUPTION]
    (event,) = node.goes_on(1)
    assert (event.acts, event.deadline_s, event.address) == (True, 1_000_122.0, "10.0.0.5")
    assert len(node.goes_on(100)) == 1, "told once"


def test_an_answer_between_two_questions_is_taken_at_once_and_ends_one_wait() -> None:
    node = Node()
    node.goes_on(5)
    node.now_s += 0.4
    node.answers, before, steps = True, node.questions, 0
    until_s = node.now_s + 3
    while node.now_s < until_s:
        node.watcher.wait()
        node.watcher.step()
        steps += 1
    assert node.questions - before == steps == 4, "one for the answer, and one a second"


def test_a_node_that_drains_waits_though_an_answer_is_there() -> None:
    node = Node()
    node.notices = [INTERRUPTION]
    node.goes_on(1)
    slept: list[float] = []
    node.watcher.sleep, node.answers = slept.append, True
    node.watcher.wait()
    assert slept == [timeouts.WATCHER_NOTICES_S]


def test_what_the_head_was_not_told_is_told_again() -> None:
    node = Node()
    node.notices, node.accepts = [INTERRUPTION], False
    assert len(node.goes_on(2)) == 2
    assert len(node.goes_on(118)) < 9, "each try imports Ray"
    assert len({event.to_text() for event in node.told}) == 1, "the deadline does not move with the tries"
    node.accepts = True
    before = len(node.told)
    assert len(node.goes_on(timeouts.WATCHER_TELL_MOST_S + 60)) == before + 1


@pytest.mark.parametrize(("word", "count"), [("report", 1), ("ignore", 0)])
def test_the_cluster_files_word_decides(word: str, count: int) -> None:
    node = Node(interruption=word)
    node.notices = [INTERRUPTION]
    assert [event.acts for event in node.goes_on(50)] == [False] * count


def test_what_comes_in_days_is_told_at_once_and_drained_in_time() -> None:
    node = Node(drain_s=100)
    node.notices = [Notice(EventKind.MAINTENANCE, "instance-retirement", "it goes", node.now_s + 1000)]
    assert [event.acts for event in node.goes_on(890)] == [False]
    reported, drained = node.goes_on(20)
    assert (reported.acts, drained.acts, drained.deadline_s) == (False, True, 1_001_000.0)


def test_a_device_is_sick_when_two_looks_in_a_row_find_it_so() -> None:
    node = Node()
    node.sick = LOST
    assert node.goes_on(timeouts.WATCHER_DEVICES_S + 2) == []
    node.sick = None
    assert node.goes_on(timeouts.WATCHER_DEVICES_S) == []
    node.sick = LOST
    (event,) = node.goes_on(timeouts.WATCHER_DEVICES_S + timeouts.WATCHER_SICK_AGAIN_S + 1)
    assert (event.kind, event.code, event.acts) == (EventKind.SICK, "Unhealthy", True)
    assert event.deadline_s == pytest.approx(node.now_s + 300, abs=timeouts.WATCHER_DEVICES_S)


def test_a_sick_node_that_the_head_does_not_drain_yet_is_watched_for_notices_and_may_get_well() -> None:
    node = Node()
    node.sick = LOST
    (sick,) = node.goes_on(200)
    node.sick = OSError("a look that fails is none that finds it well")
    assert len(node.goes_on(120)) == 1
    node.sick = None
    (well,) = node.goes_on(timeouts.WATCHER_DEVICES_S + 1)[1:]
    assert (well.kind, well.acts, sick.acts) == (EventKind.SICK, False, True)
    assert len(node.goes_on(120)) == 2
    node.sick = LOST
    (again,) = node.goes_on(200)[2:]
    assert again.acts
    node.notices = [INTERRUPTION]
    (notice,) = node.goes_on(1)[3:]
    assert (notice.kind, notice.acts) == (EventKind.INTERRUPTION, True)


def test_a_driver_that_hangs_keeps_no_notice_waiting() -> None:
    node, looks = Node(), list[Look]()
    node.watcher.start_look = looks.append
    assert node.goes_on(90) == []
    node.notices = [INTERRUPTION]
    (event,) = node.goes_on(1)
    assert event.kind is EventKind.INTERRUPTION
    assert (len(looks), node.looks) == (1, 0), "one at a time, and it has not come back"


def test_a_look_in_the_background_is_judged_when_it_is_over() -> None:
    node, looks = Node(), list[Look]()
    node.watcher.start_look = looks.append
    node.sick = LOST
    for _ in range(2):
        assert node.goes_on(100) == []
        looks[-1].run()
    (event,) = node.goes_on(2)
    assert (event.kind, len(looks)) == (EventKind.SICK, 2)


LOST = Sick("Unhealthy", "device 0 is lost")
UNSURE = Sick("DriverMissing", "the NVIDIA driver is not loaded", sure=False)
PATIENCE_S = (timeouts.WATCHER_UNSURE_LOOKS + 1) * timeouts.WATCHER_DEVICES_S


def test_a_driver_that_a_user_replaces_within_some_minutes_drains_nothing() -> None:
    node = Node()
    node.sick = UNSURE
    assert node.goes_on(280) == []
    node.sick = None
    assert node.goes_on(120) == []
    node.sick = UNSURE
    assert [event.code for event in node.goes_on(PATIENCE_S)] == ["DriverMissing"]


def test_a_device_that_fails_while_the_driver_is_silent_now_and_then_is_found_soon() -> None:
    node = Node()
    node.sick = UNSURE
    node.goes_on(timeouts.WATCHER_DEVICES_S + 1)
    node.sick = LOST
    assert [event.code for event in node.goes_on(80)] == ["Unhealthy"]


def test_a_type_that_a_person_has_changed_is_only_told() -> None:
    node = Node()
    node.sick = Sick("OtherType", "8 of 8 in MIG mode", sure=False, acts=False)
    assert [event.acts for event in node.goes_on(3600)] == [False]


def test_a_look_that_fails_says_nothing_of_the_devices_and_the_watch_continues() -> None:
    node = Node()
    node.sick = OSError(12, "Cannot allocate memory")
    assert node.goes_on(3600) == []
    assert len(node.logged) == 1
    node.notices = [INTERRUPTION]
    assert len(node.goes_on(2)) == 1


def test_a_look_that_costs_seconds_is_rare() -> None:
    node = Node()
    node.look_cpu_s = 5.0
    node.goes_on(3 * 3600)
    assert node.cpu_s / (3 * 3600) < 2 * timeouts.WATCHER_DEVICES_SHARE


def test_a_sick_device_that_is_only_reported_is_looked_at_as_seldom_as_a_good_one() -> None:
    node = Node(sick="report")
    node.sick = LOST
    assert len(node.goes_on(3600)) == 1
    assert node.looks <= 62


@pytest.mark.parametrize("jump_s", [-86_400.0, 86_400.0])
def test_a_clock_that_jumps_neither_stops_the_watch_nor_makes_a_device_sick(jump_s: float) -> None:
    node = Node()
    node.goes_on(65)
    node.jump_s, node.sick = jump_s, UNSURE
    assert node.goes_on(120) == []
    node.sick, node.notices = None, [INTERRUPTION]
    (event,) = node.goes_on(1)
    now_s = node.now_s + jump_s
    assert event.acts, "minutes away, whatever the clock says"
    assert now_s <= event.deadline_s <= now_s + 300


def test_what_was_to_come_in_the_past_gets_the_time_of_a_drain() -> None:
    node = Node(drain_s=100)
    node.notices = [Notice(EventKind.MAINTENANCE, "system-reboot", "it boots", node.now_s - 5000)]
    (event,) = node.goes_on(1)
    assert (event.acts, event.deadline_s) == (True, node.now_s + 100)


@pytest.mark.parametrize("error", [ValueError("Invalid header value"), RecursionError(), KeyError("x")])
def test_no_answer_of_a_metadata_server_ends_the_watch(error: Exception) -> None:
    node = Node()
    node.silent, node.error = True, error
    assert node.goes_on(200) == []
    node.sick = LOST
    assert len(node.goes_on(80)) == 1, "its devices are watched anyway"


def test_an_event_with_a_long_text_reaches_the_head() -> None:
    node = Node()
    node.notices = [Notice(EventKind.MAINTENANCE, "\u00e9" * 900, "\u00e9\n" * 40_000)]
    (event,) = node.goes_on(1)
    assert read_event(event.to_text()) == event


def test_a_metadata_server_that_is_away_is_asked_rarely_and_spoken_of_once() -> None:
    node = Node()
    node.silent = True
    node.goes_on(timeouts.NOTICE_LOST_S)
    before = node.questions
    node.goes_on(300)
    assert node.questions - before <= 300 / timeouts.WATCHER_SLOW_NOTICES_S + 1
    assert node.logged == ["it does not answer"]
    node.silent, node.notices = False, [INTERRUPTION]
    assert len(node.goes_on(31)) == 1


def test_an_hour_of_quiet_tells_nothing_and_keeps_nothing() -> None:
    node = Node()
    assert node.goes_on(3600) == []
    assert node.watcher._told == set()
    assert len(node.watcher._due) == 3
    assert node.watcher._untold == {}


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 9000, '{"kind": "sick"}', '{"kind": "x", "deadline_s": 1}'])
def test_what_is_no_event_is_read_as_none(text: str) -> None:
    assert read_event(text) is None


def test_the_text_of_an_event_is_safe_to_print() -> None:
    event = NodeEvent(EventKind.SICK, "Un\x1b[31m", "a\nb\x07", acts=True, deadline_s=5.0, instance_id="i-1")
    read = read_event(event.to_text())
    assert read is not None
    assert not {"\x1b", "\n", "\x07"} & set(read.code + read.message)
    assert read_event(event.to_text().replace("5.0", "Infinity")) is None


def test_a_watcher_that_dies_is_started_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    marks = tmp_path / "marks"

    def watch(_: Callable[..., Any]) -> None:
        with marks.open("a") as file:
            file.write("x")
        if len(marks.read_text()) < 3:
            os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(module, "watch", watch)
    monkeypatch.setattr(timeouts, "WATCHER_AGAIN_S", 0.0)
    assert module.main() == 0
    assert marks.read_text() == "xxx"


def test_of_two_watchers_of_one_node_the_second_waits_until_the_first_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    raylet = module._ray.Raylet(os.getpid(), "ab12", "10.0.0.5", "x:1")
    monkeypatch.setattr(module, "_runs", lambda _: len(waits) < 3)
    monkeypatch.setattr(module.time, "sleep", waits.append)
    with module._alone(raylet):
        assert waits == []
        with module._alone(raylet):
            assert len(waits) == 3, "as long as the raylet ran"
        waits.clear()
        # Nodes may have their homes on one server: the watcher of another node does not wait for this one.
        with subprocess.Popen(["sleep", "60"]) as other, module._alone(raylet._replace(pid=other.pid)):
            other.kill()
            assert waits == []
    with module._alone(raylet):
        assert waits == []
