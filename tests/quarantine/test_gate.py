"""The gate of a head's autoscaler: what it lets through, what it writes into the config, what it tells."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from ray.autoscaler.node_launch_exception import NodeLaunchException

from accel_scaling.quarantine import max_workers
from accel_scaling.quarantine.gate import Gate
from tests.support.quarantine import CONFIG, A, B, Head


def test_a_type_that_lied_twice_is_limited_to_its_nodes_and_refused_without_asking_the_cloud(
    head: Head, caplog: pytest.LogCaptureFixture
) -> None:
    head.gate.launched("p4d", A, ["good"])
    with caplog.at_level(logging.INFO):
        head.lies("one")
        assert head.most("p4d") == 4
        head.lies("two")
    assert head.most("p4d") == 1, "its healthy node stays"
    assert "node type p4d is quarantined in us-west-2a for 5 min" in caplog.text
    assert ":event_summary:" in caplog.text, "the drivers hear of it"
    with pytest.raises(NodeLaunchException, match=r"quarantined \(refused: DriverMissing in us") as refusal:
        head.gate.check("p4d", [A])
    assert refusal.value.category == "quarantined"
    assert head.gate.check("p4d", [A, B]) == [B], "another zone is another matter"


def test_min_workers_follow_so_that_ray_takes_the_config(head: Head) -> None:
    head.lies("one")
    head.lies("two")
    assert yaml.safe_load(head.path.read_text())["available_node_types"]["p4d"]["min_workers"] == 0


def test_after_its_time_one_machine_is_tried_alone_and_a_confirmed_one_opens_the_type(head: Head) -> None:
    head.lies("one")
    head.lies("two")
    head.now_s += 301
    head.tick()
    assert head.most("p4d") == 1, "one, on trial"
    head.gate.check("p4d", [A])
    with head.gate.launching("p4d", 1):
        head.tick()
        assert head.most("p4d") == 1, "the one that is on its way"
        head.gate.launched("p4d", A, ["three"])
    head.tick(three="p4d")
    assert head.most("p4d") == 1, "it is not judged yet"
    head.gate.confirmed("three", "p4d", A, "Confirmed")
    assert yaml.safe_load(head.path.read_text()) == CONFIG, "the file is as the user wrote it"


def test_over_ten_minutes_a_lying_type_is_launched_a_few_times_and_a_sold_out_one_is_asked_for_a_few_times(
    head: Head,
) -> None:
    booted = asked = 0
    for _ in range(120):  # the autoscaler's rounds, 5 s each; there is always a task that wants one
        head.tick()
        if head.most("p4d") > 0:
            head.lies(f"i-{booted}")
            booted += 1
        if head.most("g5") > 0:
            head.gate.check("g5", [A])
            head.gate.failed("g5", A, "InsufficientInstanceCapacity", "none", sold_out=True)
            asked += 1
        head.now_s += 5
    assert booted == 3
    assert asked == 4  # after 0, 1, 3 and 7 minutes


def test_throttling_and_our_own_errors_quarantine_nothing(head: Head) -> None:
    for _ in range(10):
        head.gate.check("p4d", [A])
        head.gate.failed("p4d", A, "RequestLimitExceeded", "slow down", sold_out=False)
    head.tick()
    assert yaml.safe_load(head.path.read_text()) == CONFIG
    assert (
        head.value(
            "accel_scaling_launch_failures_total", node_type="p4d", zone=A, capacity="", reason="RequestLimitExceeded"
        )
        == 10
    )


def test_a_restart_of_the_autoscaler_forgets_nothing(head: Head) -> None:
    head.lies("one")
    head.restart()
    head.lies("two")
    head.restart()
    head.tick()
    assert head.most("p4d") == 0
    with pytest.raises(NodeLaunchException):
        head.gate.check("p4d", [A])


def test_a_new_cluster_file_is_not_undone_by_what_an_older_one_said(head: Head) -> None:
    head.lies("one")
    head.lies("two")
    newer = {**CONFIG, "available_node_types": {**CONFIG["available_node_types"]}}
    newer["available_node_types"]["p4d"] = {"min_workers": 0, "max_workers": 6, "resources": {"GPU": 8}}
    head.path.write_text(yaml.safe_dump(newer))  # `ray up` again
    head.restart()
    head.tick()
    assert head.most("p4d") == 0
    head.now_s += 301
    head.gate.launched("p4d", A, ["three"])
    head.gate.confirmed("three", "p4d", A, "Confirmed")
    assert head.most("p4d") == 6


def test_metrics_count_launches_verdicts_and_quarantines(head: Head) -> None:
    head.gate.launched("g5", B, ["good"])
    head.now_s += 42
    head.gate.confirmed("good", "g5", B, "Confirmed")
    head.lies("one")
    head.lies("two")
    assert head.value("accel_scaling_launches_total", node_type="p4d", zone=A, capacity="") == 2
    assert head.value("accel_scaling_confirmations_total", node_type="p4d", zone=A, verdict="DriverMissing") == 2
    assert head.value("accel_scaling_confirmations_total", node_type="g5", zone=B, verdict="Confirmed") == 1
    assert head.value("accel_scaling_quarantined", node_type="p4d", zone=A, capacity="", reason="DriverMissing") == 1
    assert head.value("accel_scaling_confirmed_seconds_sum", node_type="g5", zone=B) == 42
    head.now_s += 301
    head.tick()
    assert head.value("accel_scaling_quarantined", node_type="p4d", zone=A, capacity="", reason="DriverMissing") is None


def test_the_first_broken_machine_is_kept_where_the_file_says_so_and_is_no_part_of_the_cluster(tmp_path: Path) -> None:
    head = Head(tmp_path, confirmation={"keep_for_inspection": True})
    assert head.gate.keeps("one", "DriverMissing: ...")
    assert not head.gate.keeps("two", "DriverMissing: ...")
    head.restart()
    assert set(head.gate.hidden()) == {"one"}


def test_a_machine_that_is_started_three_times_is_one_strike_and_one_verdict_in_spite_of_a_restart(head: Head) -> None:
    head.gate.check("p4d", [A])
    head.gate.launched("p4d", A, ["one"])
    for _ in range(3):  # so often v2 installs; a machine that is kept for inspection stays up all the while
        head.gate.refused("one", "p4d", A, "DriverMissing", "promised 8; 0 seen")
        head.restart()
    assert head.most("p4d") == 4
    assert head.value("accel_scaling_confirmations_total", node_type="p4d", zone=A, verdict="DriverMissing") == 1
    head.lies("two")
    assert head.most("p4d") == 0


def test_a_machine_that_was_confirmed_and_is_refused_later_counts_once_more(head: Head) -> None:
    head.gate.check("p4d", [A])
    for node in ("one", "two"):
        head.gate.confirmed(node, "p4d", A, "Confirmed")
        head.gate.confirmed(node, "p4d", A, "Confirmed")
    assert head.value("accel_scaling_confirmations_total", node_type="p4d", zone=A, verdict="Confirmed") == 2
    for node in ("one", "two"):
        head.gate.refused(node, "p4d", A, "Unhealthy", "lost")
        head.gate.refused(node, "p4d", A, "Unhealthy", "lost")
    assert head.value("accel_scaling_confirmations_total", node_type="p4d", zone=A, verdict="Unhealthy") == 2
    assert head.most("p4d") == 0


def test_a_machine_on_trial_that_is_listed_before_its_launch_returns_is_one_machine(head: Head) -> None:
    head.lies("one")
    head.lies("two")
    head.now_s += 301
    head.tick()
    head.gate.check("p4d", [A])
    with head.gate.launching("p4d", 1):
        head.tick(three="p4d")  # as Google lists it from its first second
        assert head.most("p4d") == 1
        head.gate.launched("p4d", A, ["three"])
        head.tick(three="p4d")
        assert head.most("p4d") == 1
    head.tick(three="p4d")
    assert head.most("p4d") == 1


def test_a_launch_that_failed_leaves_none_of_its_own_machines_in_the_limit(head: Head) -> None:
    head.gate.check("p4d", [A])
    with head.gate.launching("p4d", 3):
        head.gate.failed("p4d", A, "InsufficientInstanceCapacity", "none", sold_out=True)
    assert head.most("p4d") == 0, "without waiting for the next round"


def test_a_restart_counts_the_workers_that_it_finds_before_it_limits_their_type(head: Head) -> None:
    head.restart()
    head.tick(one="p4d", two="p4d", three="p4d")
    head.gate.check("p4d", [A])
    with head.gate.launching("p4d", 1):
        head.gate.failed("p4d", A, "InsufficientInstanceCapacity", "none", sold_out=True)
    assert head.most("p4d") == 3, "Ray would end machines that work"


def test_a_listing_that_began_before_a_machine_came_does_not_lose_it(head: Head) -> None:
    head.gate.check("p4d", [A])
    head.gate.launched("p4d", A, ["new"])
    head.tick()
    head.gate.failed("p4d", A, "InsufficientInstanceCapacity", "none", sold_out=True)
    assert head.most("p4d") == 1
    head.now_s += 59
    head.tick()
    assert head.most("p4d") == 1
    head.now_s += 2
    head.gate.failed("p4d", A, "InsufficientInstanceCapacity", "none", sold_out=True)
    head.tick()
    assert head.most("p4d") == 0, "it is gone"


def test_the_seconds_to_a_confirmation_begin_when_the_machine_was_asked_for(head: Head) -> None:
    with head.gate.launching("g5", 1):
        head.now_s += 600  # a large TPU slice
        head.gate.launched("g5", B, ["slice"])
    head.now_s += 20
    head.gate.confirmed("slice", "g5", B, "Confirmed")
    assert head.value("accel_scaling_confirmed_seconds_sum", node_type="g5", zone=B) == 620


def test_outside_of_an_autoscaler_nothing_is_counted_and_nothing_stopped(tmp_path: Path) -> None:
    gate = Gate({}, None, tmp_path / "quarantine.json")
    for _ in range(5):
        gate.failed("p4d", A, "InsufficientInstanceCapacity", "none", sold_out=True)
        gate.refused("i-1", "p4d", A, "DriverMissing", "none")
    assert gate.check("p4d", [A]) == [A]
    assert not list(tmp_path.glob("quarantine*"))


@given(st.lists(st.dictionaries(st.sampled_from(["head", "p4d", "g5"]), st.integers(0, 9)), max_size=6))
def test_whatever_limits_come_and_go_the_file_is_in_the_end_as_the_user_wrote_it(rounds: list[dict[str, int]]) -> None:
    config: dict[str, Any] = CONFIG
    for given_limits in rounds:
        config = max_workers.limited(config, given_limits)
        for name, node_type in config["available_node_types"].items():
            own = CONFIG["available_node_types"][name]
            assert node_type["max_workers"] == min(own["max_workers"], given_limits.get(name, own["max_workers"]))
            assert node_type.get("min_workers", 0) <= node_type["max_workers"]
    assert max_workers.limited(config, {}) == CONFIG
