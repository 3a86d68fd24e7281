"""`provider.confirmation`, also for single node types: every door reads it, and a wrong name is one sentence."""

from __future__ import annotations

from typing import Any

import pytest

from accel_scaling.cluster.cluster import read_config
from accel_scaling.cluster.policies import ConfirmationPolicy, OnEvent, OnMismatch, confirmation_policy, watcher_policy
from accel_scaling.cluster.start_commands import check_start_commands
from accel_scaling.errors import ClusterConfigError
from accel_scaling.fill.fill import fill_cluster
from accel_scaling.plan.model import PendingCause
from tests.support.cluster import config_of, gcp_config_of
from tests.support.doors import of_fill, of_plan, of_ray_up
from tests.support.plan import plan

ODD, WORDS = "provider.watcher.node_types.odd", "interruption, rebalance, maintenance, sick, drain_s, driver_events"
NEEDED_BY_RAY = {"setup_commands": [], "head_setup_commands": [], "worker_setup_commands": [], "max_workers": 4}


def with_policy(config: dict[str, Any], **node_types: Any) -> dict[str, Any]:
    config["provider"]["confirmation"] = {"node_types": node_types}
    return {**config, **NEEDED_BY_RAY}


def of_cloud(cloud: str) -> dict[str, Any]:
    machines = {"odd": "g4dn.xlarge"} if cloud == "aws" else {"odd": "g2-standard-4"}
    return config_of(machines) if cloud == "aws" else gcp_config_of(machines)


def test_a_node_type_that_is_not_named_has_the_word_of_all() -> None:
    policy = confirmation_policy({"confirmation": {"on_mismatch": "join", "node_types": {"odd": "skip"}}})
    assert policy == ConfirmationPolicy(OnMismatch.JOIN, False, {"odd": OnMismatch.SKIP})
    assert (policy.of("odd"), policy.of("other")) == (OnMismatch.SKIP, OnMismatch.JOIN)


@pytest.mark.parametrize("cloud", ["aws", "gcp"])
@pytest.mark.parametrize("word", ["refuse", "join", "report", "skip"])
def test_every_door_takes_each_word(cloud: str, word: str) -> None:
    config = with_policy(of_cloud(cloud), odd=word, head=word)
    assert (of_fill(config), of_plan(config), of_ray_up(config)) == (None, None, None)


@pytest.mark.parametrize("cloud", ["aws", "gcp"])
@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"od": "skip"},
            "provider.confirmation.node_types names 'od', which available_node_types does not have; nearest: odd",
        ),
        (
            {"zzz": "skip"},
            "provider.confirmation.node_types names 'zzz', which available_node_types does not have: it has head, odd",
        ),
        ({"odd": "none"}, "provider.confirmation.node_types.odd is 'none': write refuse, join, report or skip"),
        ({"odd": False}, "provider.confirmation.node_types.odd is False: write refuse, join, report or skip"),
        ({"odd": {}}, "provider.confirmation.node_types.odd is {}: write refuse, join, report or skip"),
    ],
)
def test_every_door_refuses_a_wrong_name_or_word_in_one_sentence(cloud: str, given: Any, sentence: str) -> None:
    config = with_policy(of_cloud(cloud), **given)
    assert {of_fill(config), of_plan(config), of_ray_up(config)} == {sentence}


def test_what_is_no_mapping_is_refused() -> None:
    with pytest.raises(ClusterConfigError, match=r"node_types is \[.*\]: write a mapping, such as"):
        confirmation_policy({"confirmation": {"node_types": ["odd"]}})


@pytest.mark.parametrize("word", ["report", "skip"])
def test_the_fill_notes_who_joins_with_what_it_does_not_have(word: str) -> None:
    config = with_policy(config_of({"odd": "g4dn.xlarge", "other": "g5.xlarge"}), odd=word, head=word)
    (note,) = [note for note in fill_cluster(read_config(config))[1] if note.startswith("provider.confirmation")]
    assert note.startswith(f"provider.confirmation: machines of odd ({word}) join with their whole promise")
    config["provider"]["confirmation"] = {}
    assert not [note for note in fill_cluster(read_config(config))[1] if note.startswith("provider.confirmation")]


def test_a_plan_counts_on_nodes_that_join_whatever_they_have() -> None:
    config = with_policy(config_of({"odd": "g5.xlarge"}))
    config["available_node_types"]["odd"]["resources"] = {"GPU": 2}
    assert plan(config, "GPU:2").pending[0].cause is PendingCause.PROMISE_NOT_HELD
    assert plan(with_policy(config, odd="report"), "GPU:2").launch == {"odd": 1}


def test_a_start_without_the_check_is_refused_unless_all_that_use_it_join_anyway() -> None:
    config = with_policy(config_of({"odd": "g4dn.xlarge", "other": "g5.xlarge"}), odd="skip")
    config["worker_start_ray_commands"] = ["sudo ray start --address=x"]
    with pytest.raises(ClusterConfigError, match="does not reach"):
        check_start_commands(config)
    assert check_start_commands(with_policy(config, odd="skip", other="report"))
    with pytest.raises(ClusterConfigError, match="does not reach"):
        check_start_commands({**config, "head_start_ray_commands": ["sudo ray start --head"]})


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"sick": "kill"}, "provider.watcher.sick is 'kill': write act, report or ignore"),
        ({"drain_s": -1}, "provider.watcher.drain_s is -1: write seconds, from 0 to 604800"),
        ({"drain_s": True}, "provider.watcher.drain_s is True: write seconds, from 0 to 604800"),
        ({"drain_s": float("nan")}, "provider.watcher.drain_s is nan: write seconds, from 0 to 604800"),
        ({"driver_events": "no"}, "provider.watcher.driver_events is 'no': write true or false"),
        (
            {"node_types": ["odd"]},
            "provider.watcher.node_types is ['odd']: write a mapping, such as {my_type: {sick: report}}",
        ),
        (
            {"node_types": {"od": {}}},
            "provider.watcher.node_types names 'od', which available_node_types does not have; nearest: odd",
        ),
        ({"node_types": {"odd": {"sick": 1}}}, f"{ODD}.sick is 1: write act, report or ignore"),
        ({"node_types": {"odd": "report"}}, f"{ODD} is 'report': write a mapping with {WORDS}"),
        (
            {"node_types": {"odd": {"node_types": {}}}},
            f"{ODD}.node_types is a key that nothing reads; the keys there are {WORDS}",
        ),
    ],
)
def test_a_wrong_word_for_the_watcher_is_refused_in_one_sentence(given: dict[str, Any], sentence: str) -> None:
    config = {**of_cloud("aws"), **NEEDED_BY_RAY}
    config["provider"]["watcher"] = given
    assert {of_fill(config), of_plan(config), of_ray_up(config)} == {sentence}


def test_a_node_type_has_the_watchers_words_of_all_but_for_its_own() -> None:
    policy = watcher_policy({"watcher": {"sick": "report", "drain_s": 60, "node_types": {"odd": {"drain_s": 9}}}})
    assert (policy.of("odd").sick, policy.of("odd").drain_s) == (OnEvent.REPORT, 9.0)
    assert (policy.of("other").sick, policy.of("other").drain_s) == (OnEvent.REPORT, 60.0)
