"""Sick nodes: the head drains them, and not all at once where they are sick for the same reason; under v2 and v1."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from accel_scaling import timeouts
from accel_scaling.boot.node_event import EventKind
from accel_scaling.quarantine.drain_record import DrainRecord
from tests.support.told_events import Told
from tests.support.watched_cloud import Cluster


def nodes_of(told: Told, count: int, *, sure: bool, node_type: str = "p4d") -> list[str]:
    """So many nodes at once, all of them sick, with the driver gone."""
    nodes = [told.running(node_type) for _ in range(count)]
    for node in nodes:
        told.tell(node, EventKind.SICK, "DriverMissing", sure=sure)
    told.cluster.round()
    return nodes


def drains(told: Told) -> dict[str, DrainRecord]:
    return dict(told.cluster.gate.drains.all())


def test_a_sick_node_is_drained_by_the_head_with_its_reason_and_deadline(told: Told) -> None:
    (node,) = nodes_of(told, 1, sure=True)
    now_s = told.cluster.head.now_s
    message, deadline_s = told.drained[f"ray-{node}"]
    assert message == "accel_scaling: sick: DriverMissing: device 0 is lost"
    assert deadline_s == pytest.approx(now_s + 95)
    record = drains(told)[node]
    assert (record.node_type, record.kind, record.code, record.until_s) == ("p4d", "sick", "DriverMissing", deadline_s)
    told.leaves(node)
    told.cluster.round()
    assert drains(told)[node].ended_s == told.cluster.head.now_s


@pytest.mark.parametrize("off_s", [-86_400.0, 86_400.0, 0.0])
def test_a_node_whose_clock_is_wrong_has_the_time_that_its_cloud_leaves(off_s: float, told: Told) -> None:
    node, cluster = told.running(), told.cluster
    told.tell(node, EventKind.INTERRUPTION, within_s=100 + off_s, told_s=cluster.head.now_s + off_s)
    cluster.round()
    assert drains(told)[node].until_s == cluster.head.now_s + 100
    cluster.round(90)
    cluster.restart()
    told.head_reads()
    cluster.round(5)
    assert cluster.state(node) == "running"
    cluster.round(5)
    assert cluster.state(node) == "terminated"


def test_the_node_of_a_notice_drains_itself_and_waits_for_no_other(told: Told) -> None:
    nodes = [told.running() for _ in range(3)]
    for node in nodes:
        told.tell(node, EventKind.INTERRUPTION)
    told.cluster.round()
    assert told.drained == {}
    assert [drains(told)[node].since_s for node in nodes] == [told.cluster.head.now_s] * 3


@pytest.mark.parametrize("sure", [True, False])
def test_of_nodes_that_are_sick_for_the_same_reason_one_is_drained_at_a_time(sure: bool, told: Told) -> None:
    first, second, third = nodes_of(told, 3, sure=sure)
    cluster = told.cluster
    assert list(told.drained) == [f"ray-{first}"]
    assert cluster.strikes() == {first: "DriverMissing"}
    cluster.round(60)
    assert [drains(told)[node].since_s for node in (second, third)] == [None, None]
    told.leaves(first)
    cluster.round()
    assert cluster.state(first) == "terminated"
    cluster.round()
    # A driver that fails as a whole may be a person's work on all machines: time must pass.
    assert (f"ray-{second}" in told.drained) == sure
    cluster.round(0 if sure else timeouts.UNSURE_DRAINS_APART_S)
    assert told.drained[f"ray-{second}"][1] > cluster.head.now_s, "a whole drain from now on"
    assert f"ray-{third}" not in told.drained


def test_a_large_cluster_drains_a_tenth_of_its_workers_at_once(told: Told) -> None:
    for _ in range(17):
        told.running()
    nodes_of(told, 6, sure=False)
    assert len(told.drained) == 2


def test_ray_is_asked_once_a_round_who_has_joined_however_many_wait(told: Told) -> None:
    nodes_of(told, 8, sure=False)
    before = told.cluster.provider.questions
    told.cluster.round()
    assert told.cluster.provider.questions - before <= 2, "the drains once, and the watch over the boots"


def test_other_reasons_do_not_wait_for_each_other(told: Told) -> None:
    first, second = told.running(), told.running()
    told.tell(first, EventKind.SICK, "DriverMissing")
    told.tell(second, EventKind.SICK, "XID 79")
    told.cluster.round()
    assert set(told.drained) == {f"ray-{first}", f"ray-{second}"}


def test_a_node_that_is_well_again_before_its_turn_is_not_drained(told: Told) -> None:
    first, second = nodes_of(told, 2, sure=False)
    told.tell(second, EventKind.SICK, "Unknown", acts=False)
    told.cluster.round()
    assert second in drains(told), "its devices are as they were found before"
    told.tell(second, EventKind.SICK, "Confirmed", acts=False)
    told.cluster.round()
    assert second not in drains(told)
    told.leaves(first)
    told.cluster.round(2 * timeouts.UNSURE_DRAINS_APART_S)
    assert list(told.drained) == [f"ray-{first}"]
    assert told.cluster.state(second) == "running"


def test_a_notice_for_a_node_that_waits_is_acted_on_at_once(told: Told) -> None:
    _, second = nodes_of(told, 2, sure=False)
    told.tell(second, EventKind.INTERRUPTION, within_s=20)
    told.cluster.round()
    assert drains(told)[second].kind == "interruption"
    told.cluster.round(20)
    assert told.cluster.state(second) == "terminated"
    assert second not in told.cluster.strikes()


@pytest.mark.parametrize("refuses", [RuntimeError("no GCS"), "it is busy"])
def test_a_drain_that_ray_does_not_accept_is_asked_for_again(refuses: Exception | str, told: Told) -> None:
    told.refuses = refuses
    (node,) = nodes_of(told, 1, sure=True)
    assert told.drained == {}
    told.refuses = ""
    told.cluster.round()
    assert list(told.drained) == [f"ray-{node}"]


def test_an_autoscaler_that_starts_again_drains_no_more_at_once(told: Told) -> None:
    first, second = nodes_of(told, 2, sure=False)
    before = drains(told)[first]
    told.events = dict(reversed(told.events.items()))
    told.cluster.restart()
    told.head_reads()
    told.cluster.round()
    assert drains(told)[first] == before
    assert drains(told)[second].since_s is None
    assert list(told.drained) == [f"ray-{first}"]


def test_prometheus_counts_each_drain_once_with_its_reason(told: Told) -> None:
    node = told.running()
    told.tell(node, EventKind.INTERRUPTION)
    told.cluster.round()
    told.cluster.round()
    labels = {"node_type": "p4d", "kind": "interruption", "reason": "Unhealthy"}
    assert told.cluster.head.value("accel_scaling_drains_total", **labels) == 1


@pytest.mark.usefixtures("forgotten")
def test_a_node_type_has_a_drain_of_its_own_length(make: Callable[..., Cluster]) -> None:
    told = Told(make(watcher={"node_types": {"p4d": {"drain_s": 30}}}))
    told.cluster.provider.provider_config["module"] = "accel_scaling.providers.aws.AWSAcceleratorNodeProvider"
    node = told.running()
    assert '"drain_s": 30' in "".join(told.cluster.provider.script.commands), "which its watcher is told"
    told.tell(node, EventKind.SICK, within_s=3000)
    told.cluster.round()
    told.cluster.round(30)
    assert told.cluster.state(node) == "terminated"
