"""What the head makes of what watchers tell: drained machines are terminated, sick ones count; under v2 and v1."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accel_scaling import _ray, timeouts
from accel_scaling.boot.node_event import EventKind, NodeEvent
from accel_scaling.cli.status import as_text
from accel_scaling.quarantine.gate import Gate
from tests.support.told_events import Told
from tests.support.watched_cloud import Cluster


@pytest.mark.parametrize("kind", [EventKind.INTERRUPTION, EventKind.MAINTENANCE])
def test_a_node_with_a_notice_is_terminated_when_it_is_drained_and_is_no_strike(
    kind: EventKind, told: Told, forgotten: list[str]
) -> None:
    node, cluster = told.running(), told.cluster
    told.tell(node, kind)
    cluster.round()
    assert cluster.state(node) == "running", "its tasks continue"
    told.leaves(node)
    cluster.round()
    assert cluster.state(node) == "terminated", "not stopped: it would be started again"
    assert cluster.strikes() == {}
    cluster.round()
    assert forgotten == [f"ray-{node}"]


def test_a_node_that_is_not_drained_in_time_ends_at_the_deadline(told: Told) -> None:
    node, cluster = told.running(), told.cluster
    told.tell(node, EventKind.INTERRUPTION, within_s=30)
    cluster.round(20)
    assert cluster.state(node) == "running"
    assert told.stopped == []
    cluster.round(11)
    assert cluster.state(node) == "terminated"
    assert told.stopped == [f"ray-{node}"], "told so, Ray starts its actors elsewhere at once"


def test_a_sick_node_counts_once_like_a_refused_one_and_its_type_is_quarantined_in_the_end(told: Told) -> None:
    cluster = told.cluster
    for number in range(2):
        node = told.running()
        told.tell(node, EventKind.SICK)
        for _ in range(3):
            cluster.round()
        told.leaves(node)
        cluster.round()
        assert cluster.state(node) == "terminated"
        assert cluster.strikes()[node] == "Unhealthy"
        assert len(cluster.strikes()) == number + 1
    assert cluster.most() == 0, "quarantined: no further one is launched"


def test_what_is_only_reported_ends_nothing(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    node, cluster = told.running(), told.cluster
    told.tell(node, EventKind.SICK, acts=False, within_s=0)
    for _ in range(3):
        cluster.round()
    assert cluster.state(node) == "running"
    assert cluster.strikes() == {}
    assert caplog.text.count("device 0 is lost; nothing is done about it") == 1


def test_an_idle_node_that_ends_before_the_next_round_is_terminated_and_not_stopped(told: Told) -> None:
    node, cluster = told.running(), told.cluster
    told.tell(node, EventKind.INTERRUPTION)
    cluster.provider.terminate_nodes([node])  # the autoscaler has seen its Ray end
    assert cluster.state(node) == "terminated"


def test_one_that_the_autoscaler_no_longer_needs_is_stopped_as_ever(told: Told) -> None:
    node, cluster = told.running(), told.cluster
    cluster.provider.terminate_nodes([node])
    assert cluster.state(node) == "stopped"


@pytest.mark.usefixtures("forgotten")
def test_one_sick_machine_is_kept_where_the_file_says_so(make: Callable[..., Cluster]) -> None:
    told = Told(make(confirmation={"keep_for_inspection": True}))
    cluster = told.cluster
    first, second = told.running(), told.running()
    for node in (first, second):
        told.tell(node, EventKind.SICK)
        told.leaves(node)
    cluster.round()
    assert cluster.listed() == []
    assert sorted((cluster.state(first), cluster.state(second))) == ["running", "terminated"]
    assert told.stopped == [], "no Ray runs there any more"


@pytest.mark.usefixtures("forgotten")
@pytest.mark.parametrize("error", [None, RuntimeError("no GCS")])
def test_a_sick_machine_that_is_kept_runs_no_task_and_is_no_worker_but_said_and_ended_by_ray_down(
    error: Exception | None, make: Callable[..., Cluster], caplog: pytest.LogCaptureFixture
) -> None:
    told = Told(make(confirmation={"keep_for_inspection": True}))
    cluster, provider = told.cluster, told.cluster.provider

    def fails(_: Any) -> None:
        raise error or AssertionError

    if error:
        provider.stop_nodes = fails  # type: ignore[method-assign]
    node = told.running()
    told.tell(node, EventKind.SICK, within_s=30)
    cluster.round()
    cluster.round(31)  # a task of it hangs: Ray itself lets it
    assert cluster.state(node) == "running"
    assert told.stopped == ([] if error else [f"ray-{node}"])
    assert ("Ray still runs on node" in caplog.text) == bool(error)
    assert cluster.listed() == []
    assert node not in cluster.gate.workers()
    cluster.launch(count=4)  # as many as the type may have
    assert cluster.most() == 4
    text = as_text(cluster.gate._store.read(), cluster.head.now_s)
    assert f"{node} is kept for inspection, and paid for, until `ray down`: sick: Unhealthy" in " ".join(text.split())
    provider.machines[node].state = "stopped"  # a listing that lacks it
    cluster.round(60)
    provider.machines[node].state = "running"
    cluster.round(timeouts.KEPT_GONE_S)
    assert node not in cluster.listed()
    ended = provider.machines.pop(node)  # by a person
    for _ in range(2):
        cluster.round(timeouts.KEPT_GONE_S)
    assert "inspection" not in as_text(cluster.gate._store.read(), cluster.head.now_s)
    provider.machines[node] = ended
    provider.gate = Gate({}, None, cluster.head.path)  # of `ray down`, which is no autoscaler
    assert node in provider.non_terminated_nodes({})


def test_an_event_in_the_moment_in_which_an_earlier_one_is_removed_is_not_lost(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, cluster, keys = told.running(), told.cluster, list[str]()
    told.tell(node, EventKind.REBALANCE, acts=False)
    told.events[f"ray-{node}/1"] = told.events.pop(f"ray-{node}")

    def forget(key: str) -> None:
        keys.append(key)
        del told.events[key]
        if not keys[1:]:  # the node tells more, after the head has read and before it removes
            told.tell(node, EventKind.INTERRUPTION, within_s=0)
            told.events[f"ray-{node}/2"] = told.events.pop(f"ray-{node}")

    monkeypatch.setattr(_ray, "forget_event", forget)
    cluster.round()
    cluster.round()
    assert keys == [f"ray-{node}/1"]
    assert cluster.state(node) == "terminated"


def test_what_one_node_has_told_counts_in_the_order_in_which_it_told_it(told: Told) -> None:
    """As after a start of the autoscaler, which reads all at once."""
    first, node = told.running(), told.running()
    told.tell(first, EventKind.SICK)
    told.cluster.round()
    now_s = told.cluster.head.now_s
    told.tell(node, EventKind.SICK, "Confirmed", acts=False, told_s=now_s)
    told.events[f"ray-{node}/1"] = told.events.pop(f"ray-{node}")
    told.tell(node, EventKind.SICK, told_s=now_s - 60)
    told.events[f"ray-{node}/2"] = told.events.pop(f"ray-{node}")
    told.cluster.round()
    assert list(told.drained) == [f"ray-{first}"]
    assert node not in told.cluster.gate.drains.all()


def test_what_others_write_into_the_store_ends_nothing(told: Told) -> None:
    node, cluster = told.running(), told.cluster
    good = NodeEvent(EventKind.SICK, "x", "y", acts=True, deadline_s=0.0, instance_id="i-other", address="10.9.9.9")
    texts = [b"", b"\xff", b"[", good.to_text().encode(), json.dumps({"kind": "sick"}).encode(), b"x" * 100_000]
    for number, text in enumerate(texts):
        told.events[f"{number}"] = text
        cluster.round()
    assert cluster.state(node) == "running"
    assert cluster.strikes() == {}


def test_a_store_that_does_not_answer_is_asked_again(told: Told) -> None:
    node, cluster = told.running(), told.cluster

    def fails() -> Any:
        raise RuntimeError("no GCS")

    cluster.provider.node_events = fails  # type: ignore[method-assign]
    cluster.round()
    cluster.provider.node_events = lambda: told.events  # type: ignore[method-assign]
    told.tell(node, EventKind.INTERRUPTION, within_s=0)
    cluster.round()
    assert cluster.state(node) == "terminated"


def test_an_end_that_the_cloud_does_not_accept_is_asked_for_again(told: Told) -> None:
    node, cluster = told.running(), told.cluster
    ends = cluster.provider.end_for_good

    def fails(_: str) -> None:
        raise RuntimeError("throttled")

    told.tell(node, EventKind.INTERRUPTION, within_s=0)
    cluster.provider.end_for_good = fails  # type: ignore[method-assign]
    cluster.round()
    assert cluster.state(node) == "running"
    cluster.provider.end_for_good = ends  # type: ignore[method-assign]
    cluster.round()
    assert cluster.state(node) == "terminated"


def test_an_autoscaler_that_starts_again_ends_the_drain_and_counts_once(told: Told) -> None:
    node, cluster = told.running(), told.cluster
    told.tell(node, EventKind.SICK)
    cluster.round()
    cluster.restart()
    told.head_reads()
    cluster.round()
    assert cluster.state(node) == "running"
    assert cluster.strikes() == {node: "Unhealthy"}
    assert cluster.reasons().count("Unhealthy") == 1
    told.leaves(node)
    cluster.round()
    assert cluster.state(node) == "terminated"


@pytest.mark.parametrize("ahead_s", [86_400.0, 1e300])
def test_a_node_whose_clock_is_wrong_is_not_paid_for_longer_than_a_drain(ahead_s: float, told: Told) -> None:
    node, cluster = told.running(), told.cluster
    told.tell(node, EventKind.SICK, within_s=ahead_s)
    cluster.round()
    cluster.round(290)
    assert cluster.state(node) == "running"
    cluster.round(11)
    assert cluster.state(node) == "terminated"


def test_the_store_does_not_keep_what_is_done_with(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster, fails = told.cluster, True

    def forget(ray_id: str) -> None:
        if fails:
            raise RuntimeError("no GCS")
        del told.events[ray_id]

    monkeypatch.setattr(_ray, "forget_event", forget)
    reported, drained = told.running(), told.running()
    told.tell(reported, EventKind.REBALANCE, acts=False)
    told.tell(drained, EventKind.INTERRUPTION, within_s=0)
    told.events |= {"garbage": b"[", "gone": told.events[f"ray-{drained}"].replace(drained.encode(), b"i-gone")}
    if cluster.version == "v1":
        told.events["gone"] = told.events["gone"].replace(b"10.0.0.", b"10.9.9.")
    for _ in range(3):
        cluster.round()
    assert len(told.events) == 4
    fails = False
    cluster.round()
    assert list(told.events) == ["gone"], "its machine may be listed later"
    cluster.round(timeouts.EVENT_UNKNOWN_S)
    assert told.events == {}
    assert cluster.state(reported) == "running"


def test_an_address_that_another_machine_has_now_ends_nothing(told: Told) -> None:
    node, cluster = told.running(), told.cluster
    cluster.provider.joined = [one._replace(node_id="new") for one in cluster.provider.joined]
    event = NodeEvent(EventKind.SICK, "x", "y", True, 0.0, "", cluster.provider.internal_ip(node))
    told.events["old"] = event.to_text().encode()
    for _ in range(3):
        cluster.round()
    assert cluster.state(node) == "running"
    assert cluster.strikes() == {}
    told.events = {"new": event.to_text().encode()}
    cluster.round()
    assert cluster.state(node) == "terminated"


def test_a_listing_within_a_round_takes_no_event_twice(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    node, cluster = told.running(), told.cluster
    addresses_of = cluster.provider.addresses_of

    def addresses_and_listing(node_id: str) -> list[str]:
        cluster.provider.non_terminated_nodes({})  # as Ray's EC2 provider, for a machine that it does not know
        return addresses_of(node_id)

    told.tell(node, EventKind.SICK)
    cluster.provider.addresses_of = addresses_and_listing  # type: ignore[method-assign]
    cluster.round()
    cluster.round()
    assert caplog.text.count("device 0 is lost; it is drained") == 1


def test_a_wrong_policy_keeps_no_machine_from_its_end_by_ray_down(told: Told, tmp_path: Path) -> None:
    node, cluster = told.running(), told.cluster
    cluster.provider.provider_config["watcher"] = {"no_such_key": 1}
    cluster.provider.gate = Gate({}, None, tmp_path / "state.json")
    cluster.provider.terminate_nodes([node])
    assert cluster.state(node) == "stopped"
