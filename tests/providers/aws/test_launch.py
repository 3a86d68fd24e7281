"""Launches on EC2 beside faults of it: nothing is bought twice, and stopped machines count."""

from __future__ import annotations

import contextlib
from typing import Any, Literal

import click
import pytest
from botocore.exceptions import ClientError

from accel_scaling import _ray, timeouts
from tests.support.aws_provider import EC2, A, B, node_config, provider_of, tags

LOST = ("internal", "unavailable", "unknown 5xx", "closed", "silent", "garbled")


def launched(region: EC2, provider: Any, count: int, **how: Any) -> dict[str, Any]:
    made: dict[str, Any] = provider.create_node(
        how.get("config") or node_config(region), how.get("tags") or tags(), count
    )
    return made


@pytest.mark.parametrize("what", LOST)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_launch_whose_answer_is_lost_is_carried_out_once(
    region: EC2, when: Literal["before", "after"], what: str
) -> None:
    region.fault("RunInstances", when, what)
    made = launched(region, provider_of(), 2)
    assert sorted(made) == sorted(region.alive())
    assert len(made) == 2


@pytest.mark.parametrize("what", LOST)
def test_all_answers_of_a_launch_may_be_lost_and_its_machines_are_found_by_its_token(region: EC2, what: str) -> None:
    region.fault("RunInstances", "after", what, times=9)
    made = launched(region, provider_of(), 2)
    assert sorted(made) == sorted(region.alive())
    assert len(made) == 2


def test_a_head_whose_answer_is_lost_is_launched_once(region: EC2) -> None:
    region.fault("RunInstances", "after", "internal")
    made = launched(region, provider_of(), 1, tags=tags("head", "head"))
    assert list(made) == region.alive()
    assert len(made) == 1


def test_a_launch_without_any_answer_is_not_bought_again_by_the_next_one(region: EC2) -> None:
    provider = provider_of()
    region.fault("RunInstances", "after", "closed", times=9)
    region.fault("DescribeInstances", "before", "closed", times=9)
    with pytest.raises(_ray.node_launch_exception(), match="may still start"):
        launched(region, provider, 2)
    assert len(region.alive()) == 2, "EC2 has launched them"
    region.faults.clear()
    # Ray has not listed them yet: it asks again.
    assert sorted(launched(region, provider, 2)) == sorted(region.alive())
    assert len(region.alive()) == 2


def test_machines_of_a_launch_without_an_answer_that_ray_has_listed_do_not_count_for_the_next_one(region: EC2) -> None:
    provider = provider_of()
    region.fault("RunInstances", "after", "closed", times=9)
    region.fault("DescribeInstances", "before", "closed", times=5)
    with pytest.raises(_ray.node_launch_exception()):
        launched(region, provider, 2)
    region.faults.clear()
    assert len(provider.non_terminated_nodes({})) == 2
    # Ray knows them, and wants one more.
    assert len(launched(region, provider, 1)) == 1
    assert len(region.alive()) == 3


def test_a_launch_without_an_answer_is_repeated_when_as_many_are_wanted_and_no_new_one_begins_before(
    region: EC2,
) -> None:
    provider = provider_of()
    region.fault("RunInstances", "before", "closed", times=5)  # EC2 knows nothing of it
    with pytest.raises(_ray.node_launch_exception()):
        launched(region, provider, 3)
    with pytest.raises(_ray.node_launch_exception(), match="has not yet reported"):
        launched(region, provider, 1)
    assert region.alive() == [], "three may still come, and one is wanted"
    assert len(launched(region, provider, 3)) == 3
    assert len(region.alive()) == 3


def test_a_launch_that_has_not_come_after_a_while_is_forgotten(region: EC2, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = provider_of()
    region.fault("RunInstances", "before", "closed", times=5)
    with pytest.raises(_ray.node_launch_exception()):
        launched(region, provider, 3)
    monkeypatch.setattr(timeouts, "AWS_VISIBLE_AFTER_S", -1.0)
    assert len(launched(region, provider, 1)) == 1
    assert len(region.alive()) == 1


def test_a_throttled_launch_is_asked_for_again_and_one_that_is_refused_is_not(region: EC2) -> None:
    region.fault("RunInstances", "before", "throttled", times=2)
    assert len(launched(region, provider_of(), 2)) == 2
    asked = region.count("RunInstances")
    region.fault("RunInstances", "before", "no permission")
    with pytest.raises(_ray.node_launch_exception()):
        launched(region, provider_of(), 1)
    assert (asked, region.count("RunInstances")) == (3, 4)


def test_a_client_token_in_the_cluster_file_does_not_make_all_launches_one(region: EC2) -> None:
    provider = provider_of()
    for _ in range(2):
        launched(region, provider, 1, config={**node_config(region), "ClientToken": "mine"})
    assert len(region.alive()) == 2


# Stopped machines.


def stop(region: EC2, provider: Any, *nodes: str) -> None:
    provider.non_terminated_nodes({})
    provider.terminate_nodes(list(nodes))
    assert set(nodes) <= set(region.in_state(("stopped",)))


@pytest.mark.parametrize("what", ["throttled", "no capacity", "internal", "closed"])
def test_a_stopped_machine_that_was_started_counts_when_the_rest_is_asked_for_again(region: EC2, what: str) -> None:
    provider = provider_of(cache_stopped_nodes=True)
    (old,) = launched(region, provider, 1)
    stop(region, provider, old)
    region.launches.clear()
    region.fault("RunInstances", "before", what)
    made = launched(region, provider, 2)
    assert old in made
    assert sorted(made) == sorted(region.alive())
    assert len(made) == 2
    assert [one.count for one in region.launches if one.granted] == [1]


def test_a_stopped_machine_in_a_sold_out_zone_is_replaced_by_a_new_one_in_another(region: EC2) -> None:
    provider = provider_of(cache_stopped_nodes=True)
    (old,) = launched(region, provider, 1)
    stop(region, provider, old)
    region.sold_out(f"g5.xlarge@{A}")
    (new,) = launched(region, provider, 1)
    assert (region.zones([old]), region.zones([new])) == ([A], [B])
    assert region.alive() == [new]


def test_a_launch_that_fails_names_the_zones_that_were_asked(region: EC2) -> None:
    provider = provider_of(cache_stopped_nodes=True)
    (old,) = launched(region, provider, 1)
    stop(region, provider, old)
    region.sold_out("g5.xlarge")
    with pytest.raises(_ray.node_launch_exception(), match=rf"tried in {A}, {B}\)"):
        launched(region, provider, 1)
    assert region.count("RunInstances") == 3


def test_a_stopped_machine_of_several_that_cannot_be_started_does_not_keep_the_others(region: EC2) -> None:
    provider = provider_of(cache_stopped_nodes=True)
    old = launched(region, provider, 3)
    stop(region, provider, *old)
    region.fault("StartInstances", "before", "no capacity", times=2)  # all of them together, then the first alone
    made = launched(region, provider, 3)
    assert len(made) == len(region.alive()) == 3
    assert len(set(made) & set(old)) == 2


@pytest.mark.parametrize("what", ["internal", "closed", "garbled"])
def test_a_start_whose_answers_are_lost_counts_once(region: EC2, what: str) -> None:
    provider = provider_of(cache_stopped_nodes=True)
    old = launched(region, provider, 2)
    stop(region, provider, *old)
    region.fault("StartInstances", "after", what, times=9)
    assert sorted(launched(region, provider, 2)) == sorted(old) == sorted(region.alive())


def test_no_machine_is_launched_in_the_place_of_one_of_which_nobody_knows_whether_it_starts(region: EC2) -> None:
    provider = provider_of(cache_stopped_nodes=True)
    (old,) = launched(region, provider, 1)
    stop(region, provider, old)
    region.fault("StartInstances", "after", "closed", times=5)
    asked = region.count("DescribeInstances")
    original = region.call

    def deaf_after_the_start(*call: Any) -> Any:
        if region.count("StartInstances") and call[2].name == "DescribeInstances":
            region.fault("DescribeInstances", "before", "closed")
        return original(*call)

    region.call = deaf_after_the_start  # type: ignore[method-assign]
    with pytest.raises(_ray.node_launch_exception()):
        launched(region, provider, 1)
    assert region.alive() == [old]
    assert region.count("DescribeInstances") > asked


def test_a_machine_that_is_started_again_runs_with_the_tags_of_its_new_life(region: EC2) -> None:
    provider = provider_of(cache_stopped_nodes=True)
    (old,) = launched(region, provider, 1)
    provider.non_terminated_nodes({})
    provider.set_node_tags(old, {"ray-node-status": "up-to-date"})
    stop(region, provider, old)
    seen: list[str] = []
    original = region.call

    def watch(*call: Any) -> Any:
        if call[2].name == "StartInstances":
            seen.extend(tag["value"] for tag in region.machines()[old].get_tags() if tag["key"] == "ray-node-status")
        return original(*call)

    region.call = watch  # type: ignore[method-assign]
    assert list(launched(region, provider, 1)) == [old]
    assert seen == ["uninitialized"], "killed after the start, the autoscaler would take it for set up"
    assert provider.node_tags(old)["ray-node-status"] == "uninitialized"
    assert provider.node_tags(old)["ray-node-name"] == "ray-mine-worker"


def test_a_machine_that_is_stopping_is_waited_for_and_left_when_it_takes_too_long(region: EC2) -> None:
    provider = provider_of(cache_stopped_nodes=True)
    (old,) = launched(region, provider, 1)
    stop(region, provider, old)
    state = region.machines()[old]._state
    state.name, state.code = "stopping", 64
    looks: list[int] = []

    def stops_at_the_third_look(_seconds: float) -> None:
        looks.append(1)
        if len(looks) == 3:
            state.name, state.code = "stopped", 80

    provider._stopped._sleep = stops_at_the_third_look
    provider._stopped._clock = lambda: 0.0
    assert list(launched(region, provider, 1)) == [old]
    stop(region, provider, old)
    state.name, state.code = "stopping", 64
    ticks = iter(range(100))
    provider._stopped._clock = lambda: float(next(ticks))
    (new,) = launched(region, provider, 1)
    assert new != old


def test_two_launches_at_once_do_not_count_on_the_same_stopped_machine(region: EC2) -> None:
    from concurrent.futures import ThreadPoolExecutor

    provider = provider_of(cache_stopped_nodes=True)
    (old,) = launched(region, provider, 1)
    stop(region, provider, old)
    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(lambda _: launched(region, provider, 1), range(2))
    assert len({*first, *second}) == 2
    assert len(region.alive()) == 2


def test_the_head_that_was_stopped_is_started_again_and_a_lost_answer_of_it_makes_no_second(region: EC2) -> None:
    provider = provider_of(cache_stopped_nodes=True)
    head = tags("head", "head")
    (old,) = launched(region, provider, 1, tags=head)
    stop(region, provider, old)
    region.fault("StartInstances", "after", "internal")
    assert list(launched(region, provider, 1, tags=head)) == [old] == region.alive()


def test_a_head_that_gets_no_answer_at_all_is_one_sentence_which_says_that_it_may_come(region: EC2) -> None:
    region.fault("RunInstances", "after", "closed", times=9)
    region.fault("DescribeInstances", "before", "closed", times=9)
    with pytest.raises(click.ClickException, match="it may still start: `ray up` then finds it"):
        launched(region, provider_of(), 1, tags=tags("head", "head"))


# The autoscaler's process ends, or EC2 refuses in the middle.


@pytest.mark.parametrize("after", range(1, 6))
def test_what_a_killed_autoscaler_has_launched_is_listed_by_the_next_one_and_ends_with_the_cluster(
    region: EC2, after: int
) -> None:
    provider = provider_of(cache_stopped_nodes=True)
    (old,) = launched(region, provider, 1)
    stop(region, provider, old)
    original, calls = region.call, iter(range(100))

    def killed(*call: Any) -> Any:
        if next(calls) >= after:
            raise KeyboardInterrupt  # as a kill, it passes every `except Exception`
        return original(*call)

    region.call = killed  # type: ignore[method-assign]
    with contextlib.suppress(KeyboardInterrupt):
        launched(region, provider, 3)
    region.call = original  # type: ignore[method-assign]
    fresh = provider_of(cache_stopped_nodes=True)
    assert sorted(fresh.non_terminated_nodes({})) == sorted(region.alive())
    assert {fresh.node_tags(node)["ray-node-status"] for node in region.alive()} <= {"uninitialized"}
    # The next one gets what is missing, and no more.
    launched(region, fresh, 3 - len(region.alive()))
    assert len(region.alive()) == 3
    fresh.terminate_nodes(fresh.non_terminated_nodes({}))
    assert region.alive() == []


def test_tags_that_ec2_refuses_do_not_keep_later_ones_waiting(region: EC2, monkeypatch: pytest.MonkeyPatch) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from ray.autoscaler._private.aws import node_provider

    monkeypatch.setattr(node_provider, "TAG_BATCH_DELAY", 0.0)
    provider = provider_of()
    (node,) = launched(region, provider, 1)
    provider.non_terminated_nodes({})
    region.fault("CreateTags", "before", "no permission")
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        provider.set_node_tags(node, {"a": "1"})
    with ThreadPoolExecutor(1) as threads:
        threads.submit(provider.set_node_tags, node, {"a": "2"}).result(timeout=10)
    assert provider.node_tags(node)["a"] == "2"
