"""Launches on Google Cloud beside stopped nodes and spoilt answers: nothing is bought twice, every answer is read."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from accel_scaling import _ray
from accel_scaling.providers.gcp.answers import UnexpectedAnswerError
from accel_scaling.providers.gcp.calls import ListingFailedError
from accel_scaling.quarantine.gate import Gate
from tests.support.gcp_answers import KINDS, Spoilt, spoilt_answers
from tests.support.gcp_provider import ZONES, Google, ours, quick_google_fixture, tags, wait_until

__all__ = ["quick_google_fixture"]

TWO = ",".join(ZONES[:2])
PAID = ("PROVISIONING", "STAGING", "RUNNING", "CREATING", "READY")


@pytest.fixture
def spoilt() -> Iterator[Spoilt]:
    with spoilt_answers() as answers:
        yield answers


def paid(gce: Google) -> list[str]:
    found = {**gce.machines(), **gce.slices()}
    return [name for name, one in found.items() if (one.get("status") or one.get("state")) in PAID]


def stop(gce: Google, provider: Any, *nodes: str) -> None:
    provider.non_terminated_nodes({})
    provider.terminate_nodes(list(nodes))
    wait_until("the stop", lambda: all(gce.machines()[name]["status"] == "TERMINATED" for name in nodes))


# Stopped nodes.


def test_a_stopped_machine_in_a_sold_out_zone_is_replaced_by_a_new_one_in_another(gce: Google) -> None:
    provider, configs = ours(gce, cache_stopped_nodes=True, availability_zone=TWO)
    (old,) = provider.create_node(configs["cpu"], tags(), 1)
    stop(gce, provider, old)
    gce.injection.dry_zones[ZONES[0]] = ["*"]
    gce.fault("compute.instances.start", kind="operation", code="ZONE_RESOURCE_POOL_EXHAUSTED")
    gce.fault("compute.instances.start", status=503, times=9)
    (new,) = provider.create_node(configs["cpu"], tags(), 1)
    assert paid(gce) == [new]
    assert gce.machines()[new]["zone"].endswith(ZONES[1])


def test_a_stopped_machine_in_a_zone_in_quarantine_is_left_and_one_that_starts_opens_no_zone(
    gce: Google, tmp_path: Path
) -> None:
    provider, configs = ours(gce, cache_stopped_nodes=True, availability_zone=TWO)
    (old,) = provider.create_node(configs["cpu"], tags(), 1)
    stop(gce, provider, old)
    path = tmp_path / "ray_bootstrap_config.yaml"
    node_types = {"cpu": {"max_workers": 9, "node_config": {}}}
    path.write_text(yaml.safe_dump({"max_workers": 9, "provider": {}, "available_node_types": node_types}))
    provider.gate = gate = Gate({}, path, tmp_path / "quarantine.json")
    gate.check("cpu", list(ZONES[:2]))
    gate.failed("cpu", ZONES[0], "ZONE_RESOURCE_POOL_EXHAUSTED", "none", sold_out=True)
    (new,) = provider.create_node(configs["cpu"], tags(), 1)
    assert new != old
    assert gce.machines()[new]["zone"].endswith(ZONES[1])
    assert gate.check("cpu", list(ZONES[:2])) == [ZONES[1]]


@pytest.mark.parametrize("kind", ["broken_connection", "error"])
def test_a_start_whose_answers_are_lost_counts_once(gce: Google, kind: Any) -> None:
    provider, configs = ours(gce, cache_stopped_nodes=True)
    old = provider.create_node(configs["cpu"], tags(), 2)
    stop(gce, provider, *old)
    gce.fault("compute.instances.start", kind=kind, times=99)
    made = provider.create_node(configs["cpu"], tags(), 2)
    assert sorted(made) == sorted(paid(gce))
    assert len(made) == 2


def test_no_machine_is_created_in_the_place_of_one_of_which_nobody_knows_whether_it_starts(gce: Google) -> None:
    provider, configs = ours(gce, cache_stopped_nodes=True)
    (old,) = provider.create_node(configs["cpu"], tags(), 1)
    stop(gce, provider, old)
    gce.fault("compute.instances.start", kind="broken_connection", times=99)
    gce.fault("compute.instances.get", kind="lost_request", times=99)
    with pytest.raises(_ray.node_launch_exception(), match="not known yet"):
        provider.create_node(configs["cpu"], tags(), 1)
    assert paid(gce) == [old]


# Launches without an answer.


@pytest.mark.parametrize("count", [1, 3])
def test_machines_of_which_google_said_nothing_are_found_by_the_next_launch_and_not_created_again(
    gce: Google, count: int
) -> None:
    provider, configs = ours(gce)
    gce.fault("compute.instances.bulkInsert", kind="broken_connection", times=99)
    gce.fault("compute.instances.insert", kind="broken_connection", times=99)
    gce.fault("compute.instances.list", kind="lost_request", times=99)
    with pytest.raises(_ray.node_launch_exception()):
        provider.create_node(configs["cpu"], tags(), count)
    assert len(paid(gce)) == count
    gce.injection.call_faults.clear()
    # Ray has not listed them yet: it asks for as many again, and for one more.
    made = provider.create_node(configs["cpu"], tags(), count + 1)
    assert sorted(made) == sorted(paid(gce))
    assert len(made) == count + 1


def test_two_launches_at_once_do_not_both_count_on_what_an_earlier_one_has_brought(gce: Google) -> None:
    provider, configs = ours(gce)
    gce.fault("compute.instances.bulkInsert", kind="broken_connection", times=99)
    gce.fault("compute.instances.list", kind="lost_request", times=99)
    with pytest.raises(_ray.node_launch_exception()):
        provider.create_node(configs["cpu"], tags(), 2)
    gce.injection.call_faults.clear()
    gce.injection.call_latency_s = 0.05
    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(lambda _: provider.create_node(configs["cpu"], tags(), 2), range(2))
    assert not set(first) & set(second)
    assert sorted({*first, *second}) == sorted(paid(gce))
    assert len(paid(gce)) == 4


def test_slices_of_which_google_said_nothing_are_found_by_the_next_launch_and_not_created_again(gce: Google) -> None:
    provider, configs = ours(gce, slices=True)
    gce.fault("tpu.projects.locations.nodes.create", kind="broken_connection")
    gce.fault("tpu.projects.locations.nodes.create", kind="lost_request", times=99)
    gce.fault("tpu.projects.locations.nodes.get", kind="lost_request", times=99)
    gce.fault("tpu.projects.locations.nodes.delete", kind="lost_request", times=99)
    with pytest.raises(_ray.node_launch_exception()):
        provider.create_node(configs["v4"], tags("v4"), 1)
    assert len(paid(gce)) == 1
    gce.injection.call_faults.clear()
    made = provider.create_node(configs["v4"], tags("v4"), 1)
    assert sorted(made) == sorted(paid(gce))
    assert len(made) == 1


def test_what_a_killed_autoscaler_has_launched_is_listed_by_the_next_one_and_ends_with_the_cluster(gce: Google) -> None:
    provider, configs = ours(gce, slices=True)
    for node_type, method, count in (
        ("cpu", "compute.instances.bulkInsert", 3),
        ("t4", "compute.instances.insert", 1),
        ("v4", "tpu.projects.locations.nodes.create", 1),
    ):
        # Killed after the first answer that is lost: nobody has heard of what came.
        gce.fault(method, kind="broken_connection")
        gce.fault("*", kind="lost_request", times=99)
        with pytest.raises(_ray.node_launch_exception()):
            provider.create_node(configs[node_type], tags(node_type), count)
        gce.injection.call_faults.clear()
    there = paid(gce)
    assert len(there) == 5
    fresh, _ = ours(gce, slices=True)
    assert sorted(fresh.non_terminated_nodes({})) == sorted(there)
    fresh.terminate_nodes(fresh.nodes_for_teardown({}))
    wait_until("the end of the cluster", lambda: paid(gce) == [])


# Answers that are none of Google's.


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"mutated"}))
@pytest.mark.parametrize("node_type", ["cpu", "v4"])
def test_a_spoilt_answer_is_asked_for_again_and_a_creation_is_carried_out_once(
    gce: Google, spoilt: Spoilt, node_type: str, kind: str
) -> None:
    provider, configs = ours(gce, slices=True)
    spoilt.todo += [("slice" if node_type == "v4" else "bulkInsert", kind), ("wait", kind)]
    try:
        made = provider.create_node(configs[node_type], tags(node_type), 2)
    except _ray.node_launch_exception():
        made = {}  # such as no permission; what came is listed
    assert len(paid(gce)) <= 2
    assert set(made) <= set(paid(gce))
    assert set(provider.non_terminated_nodes({})) == set(paid(gce))


WRONG: list[Any] = [
    "x",
    7,
    [],
    {"name": 7},
    {"name": ""},
    {"labels": {"a": "b"}},
    {"name": "n", "labels": []},
    {"name": "n", "labels": {"a": 1}},
    {"name": "n", "status": []},
    {"name": "n", "state": {}},
    {"name": "n", "networkInterfaces": "x"},
    {"name": "n", "networkInterfaces": [7]},
    {"name": "n", "networkInterfaces": [{"accessConfigs": -1}]},
    {"name": "n", "networkInterfaces": [{"accessConfigs": ["x"]}]},
    {"name": "n", "networkEndpoints": [None]},
    {"name": "n", "scheduling": 0.5},
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_a_node_that_is_described_wrongly_is_one_sentence_for_whoever_asks(
    gce: Google, monkeypatch: pytest.MonkeyPatch, wrong: Any
) -> None:
    provider, configs = ours(gce, slices=True)
    nodes = [*provider.create_node(configs["cpu"], tags(), 1), *provider.create_node(configs["v4"], tags("v4"), 1)]
    compute, tpu = provider._resource("compute"), provider._resource("tpu")
    fresh, _ = ours(gce, slices=True)
    for resource in (fresh._resource("compute"), fresh._resource("tpu")):
        monkeypatch.setattr(type(resource), "get_instance", _describing(wrong))
    for node in nodes:
        for ask in (fresh.node_tags, fresh.internal_ip, fresh.external_ip):
            with pytest.raises(UnexpectedAnswerError, match="not what Google's API describes"):
                ask(node)
    assert compute.KIND != tpu.KIND


def _describing(wrong: Any) -> Any:
    def get_instance(self: Any, node_id: str) -> Any:
        del node_id
        return self._machine(wrong, ZONES[0]) if self.KIND == "compute" else self._node(wrong)

    return get_instance


@pytest.mark.parametrize("wrong", [*WRONG, None], ids=str)
def test_a_list_with_a_node_that_is_described_wrongly_is_no_list(
    gce: Google, monkeypatch: pytest.MonkeyPatch, wrong: Any
) -> None:
    provider, _ = ours(gce)
    resource = provider._resource("compute")
    monkeypatch.setattr(type(resource), "_list_zone", lambda self, zone: [self._machine(wrong, zone)])
    with pytest.raises((ListingFailedError, Exception), match="not what Google's API describes"):
        provider.non_terminated_nodes({})


@pytest.mark.parametrize("node_type", ["cpu", "v4"])
def test_an_answer_that_lacks_labels_of_the_cluster_is_not_written_back(gce: Google, node_type: str) -> None:
    provider, configs = ours(gce, slices=True)
    (node,) = provider.create_node(configs[node_type], tags(node_type), 1)
    resource = provider._resource("tpu" if node_type == "v4" else "compute")
    spoilt = {"name": node, "labels": {"a": "b"}, "labelFingerprint": "x"}
    resource._labels = lambda _: {"a": "b"}
    resource.get_instance = lambda _: resource._machine(spoilt, ZONES[0])
    with pytest.raises(UnexpectedAnswerError, match="has no label ray-"):
        resource.write_labels(node, {"c": "d"})
    found = {**gce.machines(), **gce.slices()}[node]["labels"]
    assert found["ray-user-node-type"] == node_type
    assert "c" not in found
