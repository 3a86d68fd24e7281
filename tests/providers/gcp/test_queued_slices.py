"""TPU slices that wait in Google's queue, against a local Cloud TPU whose clock the tests move."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from ray.autoscaler.node_launch_exception import NodeLaunchException

from accel_scaling import _ray, timeouts
from accel_scaling._ray.node_life import STATUS_TAG
from accel_scaling.providers.gcp.waiting import allowed
from tests.providers.gcp.test_machine_end import Head
from tests.support.gcp_provider import (
    CLUSTER,
    PROJECT,
    ZONES,
    Google,
    config_of,
    google,
    provider_of,
    tags,
    wait_until,
)
from tests.support.resolved import refusal, resolved

V6E = {"acceleratorType": "v6e-16", "runtimeVersion": "v2-alpha-tpuv6e"}
SPOT_6H: dict[str, Any] = {"spot": {"wait_for": "6h"}}


class Queue(Google):
    """The local Cloud TPU, with a clock of the test's."""

    now_s = 0.0

    def one(self) -> dict[str, Any]:
        """The only queued resource there is."""
        (queued,) = self.queued().values()
        return queued


@pytest.fixture(name="gce")
def gce_fixture(monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    monkeypatch.setattr(timeouts, "GCP_OPERATION_POLL_S", 0.05)
    monkeypatch.setattr(timeouts, "GCP_RETRY_WAITS_S", (0.01,))
    with google(waits_s={"v6e-16": 3600.0}) as at:
        queue = Queue(at.engine, at.url)
        at.engine.state.clock = lambda: queue.now_s
        yield queue


def config_with(gce: Google, *order: Any, **provider: Any) -> dict[str, Any]:
    config = config_of(gce.url, slices=True, capacity={"v6e": list(order)}, **provider)
    config["available_node_types"]["v6e"] = {"node_config": dict(V6E), "min_workers": 0, "max_workers": 4}
    return config


def of_order(gce: Google, *order: Any, **provider: Any) -> tuple[Any, dict[str, Any]]:
    """A provider of what `ray up` makes of the config, as far as slices need it: its steps take 0.7 s."""
    config = config_with(gce, *order, **provider)
    config["provider"][_ray.gcp_bootstrap().HAS_TPU_PROVIDER_FIELD] = True
    return provider_of(config), dict(V6E)


class QueueHead(Head):
    """The provider in a head's autoscaler, for a cluster with a node type that queues."""

    def __init__(self, gce: Google, folder: Path, monkeypatch: pytest.MonkeyPatch, *order: Any) -> None:
        provider, config = of_order(gce, *order)
        monkeypatch.setattr("tests.providers.gcp.test_machine_end.ours", lambda *_, **__: (provider, {"v6e": config}))
        super().__init__(gce, folder, monkeypatch)

    def open_places(self) -> list[str]:
        places = [f"{ZONES[0]}/spot", f"{ZONES[0]}/on-demand"]
        opened: list[str] = self.provider.gate.check("v6e", places)
        return opened


def test_a_slice_is_asked_for_by_a_queued_resource_of_its_own_name(gce: Queue) -> None:
    made = resolved(config_with(gce, SPOT_6H))
    provider, config = provider_of(made), made["available_node_types"]["v6e"]["node_config"]
    (node_id,) = provider.create_node(config, tags("v6e"), 1)
    queued = gce.one()
    assert queued["name"] == node_id.replace("/nodes/", "/queuedResources/")
    assert (queued["spot"], queued["queueingPolicy"]) == ({}, {"validUntilDuration": "21600s"})
    (spec,) = queued["tpu"]["nodeSpec"]
    assert (spec["nodeId"], spec["node"]["acceleratorType"]) == (node_id.rpartition("/")[2], "v6e-16")
    assert spec["node"]["labels"]["accel-scaling-capacity"] == "spot"
    assert gce.slices() == {}


def test_one_that_waits_counts_as_on_its_way_and_runs_when_its_slice_is_there(gce: Queue) -> None:
    provider, config = of_order(gce, SPOT_6H)
    (node_id,) = provider.create_node(config, tags("v6e"), 1)
    for gce.now_s in (0, 1800, 3599):
        assert provider.non_terminated_nodes({"ray-user-node-type": "v6e"}) == [node_id]
        assert (provider.is_running(node_id), provider.is_terminated(node_id)) == (False, False)
        assert (provider.is_waiting(node_id), provider.internal_ip(node_id)) == (True, None)
        assert provider.node_tags(node_id)["ray-cluster-name"] == CLUSTER
    gce.now_s = 3600
    assert provider.non_terminated_nodes({}) == [node_id], "neither gone nor twice there"
    assert (provider.is_running(node_id), provider.is_waiting(node_id)) == (True, False)
    assert len(provider.addresses_of(node_id)) == 4
    provider.set_node_tags(node_id, {"ray-node-status": "up-to-date"})
    assert provider.flush_tags() == []
    assert gce.slices()[node_id]["labels"]["ray-node-status"] == "up-to-date"


def test_a_head_that_starts_again_finds_what_waits_and_what_came(gce: Queue) -> None:
    provider, node_config = of_order(gce, SPOT_6H)
    (came,) = provider.create_node(node_config, tags("v6e"), 1)
    gce.now_s = 3600
    (waits,) = provider.create_node(node_config, tags("v6e"), 1)
    other, _ = of_order(gce, SPOT_6H)
    assert set(other.non_terminated_nodes({})) == {came, waits}
    assert {name: other.is_running(name) for name in (came, waits)} == {came: True, waits: False}
    other.terminate_nodes([came, waits])
    wait_until("their end", lambda: not gce.slices() and not gce.queued())


@pytest.mark.parametrize("waited_s", [0, 3600])
def test_the_end_of_a_node_is_the_end_of_its_queued_resource(gce: Queue, waited_s: int) -> None:
    provider, config = of_order(gce, SPOT_6H)
    (node_id,) = provider.create_node(config, tags("v6e"), 1)
    gce.now_s = waited_s
    assert len(gce.slices()) == (1 if waited_s else 0)
    provider.terminate_node(node_id)
    provider.terminate_node(node_id)
    assert (gce.slices(), gce.queued(), provider.non_terminated_nodes({})) == ({}, {}, [])


@pytest.mark.parametrize("times", [1, 99])
def test_a_request_that_is_not_answered_is_not_made_twice(gce: Queue, times: int) -> None:
    provider, config = of_order(gce, SPOT_6H)
    gce.fault("tpu.projects.locations.queuedResources.create", kind="broken_connection", times=times)
    (node_id,) = provider.create_node(config, tags("v6e"), 1)
    gce.injection.call_faults.clear()
    assert gce.one()["name"].endswith(node_id.rpartition("/")[2])


def test_a_reservation_is_named_by_a_queued_resource(gce: Queue) -> None:
    for given, path in {
        "mine": f"projects/{PROJECT}/locations/{ZONES[0]}/reservations/mine",
        "projects/p/reservations/theirs": f"projects/p/locations/{ZONES[0]}/reservations/theirs",
    }.items():
        provider, config = of_order(gce, {"reserved": given})
        (node_id,) = provider.create_node(config, tags("v6e"), 1)
        assert gce.one()["reservationName"] == path
        assert gce.one()["queueingPolicy"] == {"validUntilDuration": "600s"}
        assert gce.one()["tpu"]["nodeSpec"][0]["node"]["schedulingConfig"] == {"reserved": True}
        provider.terminate_node(node_id)
    provider, config = of_order(gce, "reserved")
    (node_id,) = provider.create_node(config, tags("v6e"), 1)
    assert gce.slices()[node_id]["schedulingConfig"] == {"reserved": True}, "without a name no queue is needed"


@pytest.mark.parametrize("ends", ["FAILED", "SUSPENDED", "late"])
def test_what_the_queue_gives_up_closes_its_place_and_the_next_type_is_bought(
    gce: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    head = QueueHead(gce, tmp_path, monkeypatch, SPOT_6H, "on-demand")
    node_id = head.launch("v6e")
    assert head.round() == [node_id]
    if ends == "late":
        gce.injection.dry_zones = {ZONES[0]: ["v6e-16/spot"]}
    else:
        gce.injection.queue_ends = {"v6e-16": ends}
    gce.now_s = 21600
    assert head.round() == []
    wait_until("the end of the queued resource, which takes quota", lambda: not gce.queued())
    assert head.open_places() == [f"{ZONES[0]}/on-demand"]
    assert head.strikes() == {}, "no machine was at fault"
    bought = head.launch("v6e")
    assert "schedulingConfig" not in gce.slices()[bought]
    assert head.round() == [bought]


def test_one_that_fails_at_once_is_a_failed_launch_and_leaves_nothing(gce: Queue) -> None:
    provider, config = of_order(gce, SPOT_6H)
    gce.injection.quota = {"v6e-16": 0}
    with pytest.raises(NodeLaunchException, match=r"Quota 'v6e-16' exhausted. Limit 0 in region us-central1") as error:
        provider.create_node(config, tags("v6e"), 1)
    assert error.value.category == "quota"
    assert gce.queued() == {}


def test_a_slice_that_a_user_deletes_closes_nothing_and_its_queued_resource_goes(
    gce: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = QueueHead(gce, tmp_path, monkeypatch, SPOT_6H)
    node_id = head.launch("v6e")
    head.round()
    gce.now_s = 3600
    head.round()
    head.provider._resource("tpu")._nodes.delete(name=node_id).execute()
    assert head.round() == []
    wait_until("the end of its queued resource", lambda: not gce.queued())
    assert head.open_places()[0] == f"{ZONES[0]}/spot"


def test_one_that_the_autoscaler_ends_after_hours_in_the_queue_is_no_failed_boot(
    gce: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = QueueHead(gce, tmp_path, monkeypatch, SPOT_6H)
    monkeypatch.setattr("accel_scaling.providers.base.machine_watch._ray.set_up_timeout_s", lambda: 1800.0)
    first, second = head.launch("v6e"), head.launch("v6e")
    gce.now_s, head.now_s = 3500, head.now_s + 3500
    head.round()
    head.provider.terminate_node(first)
    gce.now_s = 3600
    head.round()
    head.provider.terminate_node(second)  # it has come a moment ago, and is being set up
    wait_until("their end", lambda: not gce.queued())
    assert head.strikes() == {}
    assert head.open_places()[0] == f"{ZONES[0]}/spot"


def test_v1_sets_a_slice_up_when_it_has_come_and_on_all_of_its_hosts(
    gce: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """v1 makes a runner, and waits for ssh, for each node that is listed: of one that waits, no host is known."""
    monkeypatch.setattr(timeouts, "GCP_QUEUE_POLL_S", 0.01)
    monkeypatch.setattr(timeouts, "GCP_FRESH_S", 0.0)
    provider, config = of_order(gce, SPOT_6H)
    (node_id,) = provider.create_node(config, tags("v6e"), 1)
    auth = {"ssh_user": "ubuntu", "ssh_private_key": "/dev/null"}
    runner = provider.get_command_runner("", node_id, auth, CLUSTER, None, False)
    status = {STATUS_TAG: _ray.WAITING_FOR_SSH}
    updater = threading.Thread(target=lambda: provider.set_node_tags(node_id, status), daemon=True)
    updater.start()
    updater.join(0.2)
    assert updater.is_alive(), "its quarter of an hour for ssh has not begun"
    gce.now_s = 3600
    updater.join(10)
    assert not updater.is_alive()
    assert len(_ray.hosts_of(runner._runner)) == 4


def test_v2_is_told_to_wait_as_long_as_the_queue(gce: Queue) -> None:
    name = "RAY_AUTOSCALER_RECONCILE_ALLOCATE_STATUS_TIMEOUT_S"
    made = resolved(config_with(gce, SPOT_6H, {"on-demand": {"wait_for": "12h"}}))
    (command,) = [one for one in made["head_start_ray_commands"] if "ray start" in one]
    assert f"export {name}=${{{name}:-{12 * 3600 + 7200}}}; " in command
    config = {"provider": {"capacity": {"v6e": ["spot"]}}, "head_start_ray_commands": ["ray start"]}
    assert allowed(copy.deepcopy(config)) == config


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (
            {"block": "b"},
            "provider.capacity.v6e has block b, and version 2 of the Cloud TPU API cannot use a reservation",
        ),
        ("flex-start", "provider.capacity.v6e has flex-start, and version 2 of the Cloud TPU API has no flex-start"),
    ],
)
def test_what_cloud_tpu_does_not_sell_is_refused_with_the_ways_that_there_are(
    gce: Queue, entry: Any, says: str
) -> None:
    sentence = refusal(config_with(gce, entry))
    assert says in sentence
    assert "write spot, on-demand or {reserved: NAME}, each with wait_for" in sentence


def test_what_an_earlier_order_left_in_the_queue_is_found_and_ended(gce: Queue) -> None:
    earlier, config = of_order(gce, SPOT_6H)
    (node_id,) = earlier.create_node(config, tags("v6e"), 1)
    provider, _ = of_order(gce, "spot")
    assert provider.non_terminated_nodes({}) == [node_id]
    provider.terminate_node(node_id)
    assert gce.queued() == {}
    provider.non_terminated_nodes({})
    asked = gce.count("tpu.projects.locations.queuedResources.list")
    provider.non_terminated_nodes({})
    assert gce.count("tpu.projects.locations.queuedResources.list") == asked, "it is asked until there is nothing"


def test_an_account_that_may_not_list_the_queue_lists_its_slices_where_no_order_queues(gce: Queue) -> None:
    gce.fault("tpu.projects.locations.queuedResources.list", status=403, reason="forbidden", times=99)
    provider, config = of_order(gce, "spot")
    made = provider.create_node(config, tags("v6e"), 1)
    assert provider.non_terminated_nodes({}) == list(made)
    queues, _ = of_order(gce, SPOT_6H)
    with pytest.raises(click.ClickException, match="tpu\\) could not be listed: permission"):
        queues.non_terminated_nodes({})


def test_ray_down_ends_what_waits_and_names_what_google_does_not_delete(
    gce: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider, config = of_order(gce, SPOT_6H)
    (waits,) = provider.create_node(config, tags("v6e"), 1)
    gce.injection.queue_ends = {"v6e-16": "FAILED"}
    gce.now_s = 3600
    (late,) = provider.create_node(config, tags("v6e"), 1)
    found, ended = provider.find_to_end({}), list[str]()
    assert set(found.nodes) == {waits, late}, "one that failed takes quota until it is deleted"
    monkeypatch.setattr(provider._resource("tpu")._queue._resources, "delete", lambda **_: _Refused())
    assert "not supported when state is PROVISIONING" in provider.end([late], ended.extend)[late]
    monkeypatch.undo()
    assert ended == []
    assert provider.end([waits, late], ended.extend) == {}
    assert set(ended) == {waits, late}
    assert gce.queued() == {}


class _Refused:
    def execute(self) -> dict[str, Any]:
        text = "DeleteQueuedResource is not supported when state is PROVISIONING"
        return {"name": "o", "done": True, "error": {"code": 9, "message": text}}
