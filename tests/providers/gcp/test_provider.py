"""The GCP provider's machines, against a local Compute Engine: launches, what is known of them, and their end."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import click
import pytest
from ray.autoscaler.node_launch_exception import NodeLaunchException

from accel_scaling import timeouts
from tests.support.gcp_provider import CLUSTER, ZONES, Google, config_of, google, ours, tags, wait_until
from tests.support.resolved import resolved

ROOT = Path(__file__).resolve().parents[3]
ALL = ",".join(ZONES)


@pytest.fixture
def gce() -> Iterator[Google]:
    with google() as at:
        yield at


def zones_of(gce: Google) -> list[str]:
    return sorted(one["zone"].rsplit("/", 1)[-1][-1] for one in gce.machines().values())


# --- launches ---


def test_a_machine_is_created_as_its_node_type_says(gce: Google) -> None:
    provider, configs = ours(gce)
    (node_id,) = provider.create_node({**configs["t4"], "labels": {"team": "vision"}}, tags("t4"), 1)
    machine = gce.machines()[node_id]
    assert machine["machineType"].endswith("/n1-standard-4")
    assert machine["guestAccelerators"][0]["acceleratorCount"] == 1
    assert machine["labels"].items() >= {**tags("t4"), "ray-cluster-name": CLUSTER, "team": "vision"}.items()
    assert machine["networkInterfaces"]


def test_machines_stay_in_the_first_zone_that_has_them(gce: Google) -> None:
    provider, configs = ours(gce, availability_zone=ALL)
    provider.create_node(configs["cpu"], tags(), 3)
    assert zones_of(gce) == ["a", "a", "a"]
    gce.injection.dry_zones = {ZONES[0]: ["*"], ZONES[1]: ["*"]}
    provider.create_node(configs["cpu"], tags(), 2)
    assert zones_of(gce) == ["a", "a", "a", "c", "c"]
    # What was sold out a moment ago is not asked first again.
    before = gce.count("compute.instances.bulkInsert")
    provider.create_node(configs["cpu"], tags(), 2)
    assert gce.count("compute.instances.bulkInsert") == before + 1
    assert len(provider.non_terminated_nodes({})) == 7


@pytest.mark.parametrize("bulk", [True, False])
def test_a_short_launch_keeps_what_came_and_says_how_many_and_why(gce: Google, bulk: bool) -> None:
    provider, configs = ours(gce, availability_zone=f"{ZONES[0]},{ZONES[1]}")
    config = configs["cpu"] if bulk else {**configs["cpu"], "deletionProtection": False}
    gce.injection.capacity = {"n1-standard-4": 2}
    with pytest.raises(NodeLaunchException) as error:
        provider.create_node(config, tags(), 5)
    assert error.value.category == "capacity"
    assert "2 of 5 x n1-standard-4 created and kept; for the rest Google says: ZONE_RES" in error.value.description
    assert f"tried in {ZONES[0]}, {ZONES[1]}" in error.value.description
    assert len(provider.non_terminated_nodes({})) == 2 == len(gce.machines())
    assert gce.count("compute.instances.bulkInsert") == (2 if bulk else 0)


@pytest.mark.parametrize(
    ("fault", "category", "says"),
    [
        ({"status": 403, "reason": "quotaExceeded", "message": "Quota 'CPUS' exceeded."}, "quota", "Quota 'CPUS'"),
        ({"status": 400, "reason": "invalid", "message": "Invalid value"}, "bad request", "Invalid value"),
        ({"status": 403, "reason": "forbidden", "message": "Required permission"}, "permission", "Required perm"),
        ({"kind": "operation", "code": "QUOTA_EXCEEDED", "message": "Quota 'GPUS'"}, "quota", "QUOTA_EXCEEDED"),
        ({"status": 503, "times": 99}, "unavailable", "backendError"),
    ],
)
def test_a_failed_launch_has_a_kind_and_googles_reason(
    gce: Google, monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any], category: str, says: str
) -> None:
    monkeypatch.setattr(timeouts, "GCP_RETRY_WAITS_S", (0.01,))
    provider, configs = ours(gce, availability_zone=ALL)
    gce.fault("compute.instances.bulkInsert", **fault)
    with pytest.raises(NodeLaunchException, match=says) as error:
        provider.create_node(configs["cpu"], tags(), 2)
    assert error.value.category == category
    assert gce.machines() == {}


def test_a_head_that_cannot_be_launched_is_one_sentence(gce: Google) -> None:
    provider, configs = ours(gce)
    gce.injection.dry_zones = {"*": ["n2-standard-2"]}
    with pytest.raises(click.ClickException) as error:
        provider.create_node(configs["head"], tags("head", "head"), 1)
    assert error.value.message.startswith(
        f"the head node (n2-standard-2) could not be launched in {ZONES[0]}: capacity: Google says: ZONE_RESOURCE_POOL"
    )


def test_v1_and_v2_are_told_what_is_missing_and_find_what_came(gce: Google) -> None:
    from ray.autoscaler._private.event_summarizer import EventSummarizer
    from ray.autoscaler._private.node_launcher import BaseNodeLauncher
    from ray.autoscaler._private.node_provider_availability_tracker import NodeProviderAvailabilityTracker
    from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
    from ray.autoscaler.v2.instance_manager.node_provider import NodeProviderAdapter

    provider, _ = ours(gce)
    config = resolved(config_of(gce.url))
    config.pop("head_node")
    config["auth"]["ssh_private_key"], config["file_mounts"] = "/dev/null", {}
    gce.injection.capacity = {"n1-standard-4": 3}
    tracker, events = NodeProviderAvailabilityTracker(), EventSummarizer()
    types = config["available_node_types"]
    v1 = BaseNodeLauncher(provider, mock.Mock(), events, tracker, prom_metrics=mock.Mock(), node_types=types)
    v1.launch_node(config, 2, "cpu")
    v1.launch_node(config, 2, "cpu")
    (failed,) = (one for one in tracker.summary().node_availabilities.values())
    assert failed.unavailable_node_information.category == "capacity"

    reader = SimpleNamespace(get_cached_autoscaling_config=lambda: AutoscalingConfig(config, skip_content_hash=True))
    v2 = NodeProviderAdapter(provider, reader)  # type: ignore[arg-type]
    gce.injection.capacity = {"n1-standard-4": 5}
    v2.launch({"cpu": 4}, "request-7")
    errors: list[Any] = []
    wait_until("the error", lambda: bool(errors.extend(v2.poll_errors()) or errors))
    assert "2 of 4 x n1-standard-4 created and kept" in str(errors[0].__cause__)
    listed = v2.get_non_terminated().values()
    assert len(listed) == 5
    assert [one.request_id for one in listed].count("request-7") == 2
    assert all(one.is_running and one.node_type == "cpu" for one in listed)


def test_what_bulk_creation_cannot_do_is_done_one_by_one_and_all_at_once(gce: Google) -> None:
    provider, configs = ours(gce)
    gce.injection.call_latency_s = 0.5
    began = time.monotonic()
    made = provider.create_node({**configs["cpu"], "deletionProtection": False}, tags(), 12)
    assert time.monotonic() - began < 5.5, "one after another they take 6 s and more"
    gce.injection.call_latency_s = 0
    assert set(made) == set(gce.machines())
    assert gce.count("compute.instances.insert") == 12


def test_a_machine_that_comes_though_its_launch_is_not_answered_is_counted(
    gce: Google, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "GCP_RETRY_WAITS_S", (0.01,))
    provider, configs = ours(gce)
    for count, method in ((3, "bulkInsert"), (1, "insert")):
        gce.fault(f"compute.instances.{method}", kind="broken_connection", times=99)
        assert len(provider.create_node(configs["cpu"], tags(), count)) == count
        gce.injection.call_faults.clear()
    assert len(gce.machines()) == 4


def test_a_stopped_machine_of_the_same_kind_is_started_again(gce: Google) -> None:
    provider, configs = ours(gce, cache_stopped_nodes=True)
    (node_id,) = provider.create_node(configs["cpu"], tags(), 1)
    provider.non_terminated_nodes({})
    provider.terminate_node(node_id)
    wait_until("the stop", lambda: gce.machines()[node_id]["status"] == "TERMINATED")
    assert provider.non_terminated_nodes({}) == []
    assert provider.nodes_for_teardown({}) == []
    made = provider.create_node(configs["cpu"], {**tags(), "ray-launch-request": "new"}, 2)
    assert node_id in made
    assert len(made) == 2 == len(gce.machines())
    assert provider.node_tags(node_id)["ray-launch-request"] == "new"
    provider.create_node(configs["t4"], tags("t4"), 1)
    assert len(gce.machines()) == 3, "one of another kind is not started"


# --- what is known ---


def test_tags_filter_as_they_were_set_a_moment_ago(gce: Google) -> None:
    provider, configs = ours(gce)
    first, second = provider.create_node(configs["cpu"], tags(), 2)
    gce.injection.operation_latency_s["setLabels"] = 0.5
    provider.set_node_tags(first, {"ray-node-status": "up-to-date"})
    assert provider.non_terminated_nodes({"ray-node-status": "up-to-date"}) == [first]
    assert provider.non_terminated_nodes({"ray-node-status": "uninitialized"}) == [second]
    assert provider.flush_tags() == []
    assert ours(gce)[0].non_terminated_nodes({"ray-node-status": "up-to-date"}) == [first], "another process sees it"


def test_two_processes_that_set_tags_of_one_machine_lose_none(gce: Google) -> None:
    (one, configs), (other, _) = ours(gce), ours(gce)
    (node_id,) = one.create_node(configs["cpu"], tags(), 1)
    for number in range(20):
        one.set_node_tags(node_id, {f"one{number}": "x"})
        other.set_node_tags(node_id, {f"other{number}": "x"})
    assert [*one.flush_tags(), *other.flush_tags()] == []
    expected = {f"{who}{number}" for who in ("one", "other") for number in range(20)}
    assert expected <= set(gce.machines()[node_id]["labels"])


def test_tags_that_a_process_sets_last_outlive_it(gce: Google) -> None:
    provider, configs = ours(gce)
    (node_id,) = provider.create_node(configs["cpu"], tags(), 1)
    code = (
        "import json, sys\n"
        "from accel_scaling.providers.gcp import GCPAcceleratorNodeProvider as Provider\n"
        "provider = Provider(json.loads(sys.argv[1]), sys.argv[2])\n"
        "provider.set_node_tags(sys.argv[3], {'ray-node-status': 'up-to-date'})\n"
    )
    import json

    arguments = [json.dumps(provider.provider_config), CLUSTER, node_id]
    subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, check=True, timeout=60)
    assert gce.machines()[node_id]["labels"]["ray-node-status"] == "up-to-date"


def test_a_machine_is_found_in_any_of_its_zones_and_has_its_addresses(gce: Google) -> None:
    one, configs = ours(gce, availability_zone=ALL)
    gce.injection.dry_zones = {ZONES[0]: ["*"]}
    (node_id,) = one.create_node(configs["cpu"], tags(), 1)
    other, _ = ours(gce, availability_zone=ALL)
    assert other.node_tags(node_id)["ray-user-node-type"] == "cpu"
    assert other.is_running(node_id)
    assert other.internal_ip(node_id)
    assert other.external_ip(node_id)
    other.terminate_node(node_id)
    wait_until("the end", lambda: node_id not in gce.machines())


def test_a_machine_that_vanishes_is_terminated_and_keeps_its_last_tags(
    gce: Google, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider, configs = ours(gce)
    (node_id,) = provider.create_node(configs["cpu"], tags(), 1)
    provider.non_terminated_nodes({})
    assert not provider.is_terminated(node_id)
    ours(gce)[0].terminate_node(node_id)
    wait_until("the end", lambda: node_id not in gce.machines())
    monkeypatch.setattr(timeouts, "GCP_FRESH_S", 0.0)
    assert provider.is_terminated(node_id)
    assert not provider.is_running(node_id)
    assert provider.internal_ip(node_id) is None
    assert provider.node_tags(node_id)["ray-user-node-type"] == "cpu"
    provider.set_node_tags(node_id, {"ray-node-status": "update-failed"})
    assert provider.flush_tags() == []


def test_listing_thousands_finds_all(gce: Google) -> None:
    provider, configs = ours(gce, availability_zone=ALL)
    made = provider.create_node(configs["cpu"], tags(), 1200)
    assert set(provider.non_terminated_nodes({})) == set(made)
    assert all(provider.is_running(node_id) for node_id in made)
    assert gce.count("compute.instances.get") == 0, "what was listed is not asked for again"


def test_a_listing_continues_while_machines_are_made_and_deleted(gce: Google) -> None:
    provider, configs = ours(gce)
    gce.injection.call_latency_s = 0.05
    gce.injection.operation_latency_s |= {"insert": 1.0, "bulkInsert": 1.0, "delete": 1.0, "setLabels": 1.0}
    stop, looks = threading.Event(), [0]

    def look() -> None:
        while not stop.is_set():
            for node_id in provider.non_terminated_nodes({}):
                provider.is_running(node_id)
            looks[0] += 1

    looking = threading.Thread(target=look)
    looking.start()
    made = provider.create_node(configs["cpu"], tags(), 20)
    while_created = looks[0]
    for node_id in made:
        provider.set_node_tags(node_id, {"ray-node-status": "up-to-date"})
    provider.flush_tags()
    while_labelled = looks[0] - while_created
    provider.terminate_nodes(list(made))
    stop.set()
    looking.join()
    assert while_created > 1, "a listing waited for the launch"
    assert while_labelled > 1, "a listing waited for the labels"


# --- the end ---


def test_a_refused_machine_is_deleted_though_the_config_would_stop_it(gce: Google) -> None:
    provider, configs = ours(gce, cache_stopped_nodes=True)
    (node_id,) = provider.create_node(configs["cpu"], tags(), 1)
    provider.refuse(node_id, "DriverMissing", "DriverMissing: no driver")
    wait_until("the end", lambda: node_id not in gce.machines())


def test_a_delete_that_google_refuses_does_not_keep_the_others(gce: Google) -> None:
    provider, configs = ours(gce)
    made = list(provider.create_node(configs["cpu"], tags(), 4))
    gce.fault("compute.instances.delete", status=403, reason="forbidden")
    with pytest.raises(Exception, match="403"):
        provider.terminate_nodes(made)
    wait_until("their end", lambda: len(gce.machines()) == 1)
    provider.terminate_nodes(made)
    wait_until("its end", lambda: not gce.machines())


def test_preempted_workers_are_deleted_and_a_preempted_head_waits_for_ray_down(gce: Google) -> None:
    provider, configs = ours(gce)
    preemptible = {**configs["cpu"], "scheduling": {"preemptible": True}}
    (head,) = provider.create_node(preemptible, tags("head", "head"), 1)
    (worker,) = provider.create_node(preemptible, tags(), 1)
    (spot,) = provider.create_node(configs["l4"], tags("l4"), 1)
    for node_id in (head, worker, spot):
        gce.engine.preempt(node_id)
    assert provider.non_terminated_nodes({}) == []
    wait_until("the workers' end", lambda: set(gce.machines()) == {head})
    assert provider.nodes_for_teardown({"ray-node-type": "head"}) == [head]
    provider.terminate_nodes([head])
    wait_until("the head's end", lambda: not gce.machines())


def test_a_preempted_machine_is_kept_where_stopped_ones_are_started_again(gce: Google) -> None:
    provider, configs = ours(gce, cache_stopped_nodes=True)
    (node_id,) = provider.create_node(configs["l4"], tags("l4"), 1)
    gce.engine.preempt(node_id)
    assert provider.non_terminated_nodes({}) == []
    assert list(provider.create_node(configs["l4"], tags("l4"), 1)) == [node_id]
