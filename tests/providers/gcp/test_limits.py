"""Fourteen limits of Ray's own GCP provider, each shown on a local Compute Engine, and ours without it on the same one.

Ray's fixed sleeps of 5 s take 0.05 s here, and so does every wait that is compared with them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from googleapiclient.errors import HttpError

from accel_scaling import timeouts
from tests.support.gcp_provider import (
    CLUSTER,
    ZONES,
    Google,
    config_of,
    google,
    node_configs,
    ours,
    provider_of,
    resolved,
    stock,
    tags,
    wait_until,
)


@pytest.fixture
def gce() -> Iterator[Google]:
    with google() as at:
        yield at


def failed(function: Callable[..., Any], *arguments: Any) -> BaseException:
    with pytest.raises(Exception) as error:  # noqa: PT011 - what kind it is, is what is asked
        function(*arguments)
    return error.value


# --- 1: tags of a moment ago ---


def install(provider: Any, config: dict[str, Any], node_id: str, commands: list[str]) -> None:
    """Install Ray on a node as autoscaler v2 does; ``commands`` gets what ran there."""
    from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
    from ray.autoscaler.v2.instance_manager.ray_installer import RayInstaller
    from ray.core.generated.instance_manager_pb2 import Instance

    class Runner:
        def check_call(self, command: list[str], *_: Any, **__: Any) -> None:
            commands.append(" ".join(command))

        def check_output(self, command: list[str], *_: Any, **__: Any) -> bytes:
            self.check_call(command)
            return b"up"

    installer = RayInstaller(provider, AutoscalingConfig(config, skip_content_hash=True), Runner())
    instance = Instance(instance_id="i", instance_type="cpu", cloud_instance_id=node_id)
    installer.install_ray(instance, "10.0.0.1")


def on_the_head(gce: Google) -> dict[str, Any]:
    """The config that the head's autoscaler reads, without a boot check, which has no node to run on here."""
    config = resolved(config_of(gce.url))
    config.pop("head_node")
    config["auth"]["ssh_private_key"] = "/dev/null"
    config["file_mounts"] = {}
    config["worker_start_ray_commands"] = ["ray stop", "ray start --address=$RAY_HEAD_IP:6379"]
    return config


def test_1_v2_installs_a_healthy_worker_once(gce: Google) -> None:
    config, commands = on_the_head(gce), list[str]()
    gce.injection.operation_latency_s["setLabels"] = 0.1
    with stock(gce) as (rays, configs):
        (node_id,) = rays.create_node(configs["cpu"], tags(), 1)
        rays.non_terminated_nodes({})
        assert "failed with unexpected status" in str(failed(install, rays, config, node_id, commands))
        assert gce.machines()[node_id]["labels"]["ray-node-status"] == "up-to-date", "Google knows better"
    provider = provider_of(config)
    (node_id,) = provider.create_node(node_configs(config)["cpu"], tags(), 1)
    provider.non_terminated_nodes({})
    commands.clear()
    install(provider, config, node_id, commands)
    assert sum("ray stop" in command for command in commands) == 1
    assert provider.flush_tags() == []
    assert gce.machines()[node_id]["labels"]["ray-node-status"] == "up-to-date"


# --- 2: no lock over calls ---


def listing_ends_first(gce: Google, call: str, work: Callable[[], Any], provider: Any) -> bool:
    """Say whether a listing that begins when Google has accepted this call ends before the work does."""
    before = gce.count(call)
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        wait_until("the call", lambda: gce.count(call) > before)
        provider.non_terminated_nodes({})
        first = not working.done()
        working.result()
    return first


def test_2_a_listing_does_not_wait_for_labels_or_launches(gce: Google) -> None:
    label, launch = "compute.instances.setLabels", "compute.instances.bulkInsert"
    gce.injection.operation_latency_s |= {"setLabels": 2.0, "bulkInsert": 2.0}
    with stock(gce) as (rays, configs):
        (node_id,) = rays.create_node(configs["cpu"], tags(), 1)
        assert not listing_ends_first(gce, label, lambda: rays.set_node_tags(node_id, {"a": "b"}), rays)
    provider, configs = ours(gce)
    assert listing_ends_first(gce, launch, lambda: provider.create_node(configs["cpu"], tags(), 3), provider)

    def write() -> None:
        provider.set_node_tags(node_id, {"a": "c"})
        provider.flush_tags()

    assert listing_ends_first(gce, label, write, provider)


# --- 3: many at once ---


def test_3_a_hundred_machines_take_one_call(gce: Google) -> None:
    with stock(gce) as (rays, configs):
        rays.create_node(configs["cpu"], tags(), 100)
        assert gce.count("compute.instances.insert") == 100
    provider, configs = ours(gce)
    made = provider.create_node(configs["cpu"], tags(), 100)
    assert len(made) == 100
    assert set(made) <= set(gce.machines())
    assert gce.count("compute.instances.insert") == 100, "no more than before"
    assert gce.count("compute.instances.bulkInsert") == 1


# --- 4: stock-outs ---


def test_4_a_stock_out_has_a_kind_and_googles_reason_and_the_next_zone_is_tried(gce: Google) -> None:
    from ray.autoscaler.node_launch_exception import NodeLaunchException

    gce.injection.dry_zones = {ZONES[0]: ["n1-standard-4"]}
    with stock(gce) as (rays, configs):
        assert type(failed(rays.create_node, configs["cpu"], tags(), 2)) is Exception
    with stock(gce, availability_zone=f"{ZONES[0]},{ZONES[1]}") as (rays, configs):
        assert isinstance(failed(rays.create_node, configs["cpu"], tags(), 2), HttpError)

    provider, configs = ours(gce)
    error = failed(provider.create_node, configs["cpu"], tags(), 2)
    assert isinstance(error, NodeLaunchException)
    assert error.category == "capacity"
    assert "Google says: ZONE_RESOURCE_POOL_EXHAUSTED" in error.description
    provider, configs = ours(gce, availability_zone=f"{ZONES[0]},{ZONES[1]}")
    for node_id in provider.create_node(configs["cpu"], tags(), 2):
        assert gce.machines()[node_id]["zone"].endswith(ZONES[1])


# --- 5: time-outs and retries ---


def test_5_a_silent_server_and_a_503_do_not_stop_the_cluster(gce: Google, monkeypatch: pytest.MonkeyPatch) -> None:
    import httplib2

    monkeypatch.setattr(timeouts, "GCP_CALL_S", 0.5)
    monkeypatch.setattr(timeouts, "GCP_RETRY_WAITS_S", (0.01, 0.01))
    with stock(gce) as (rays, _):
        gce.fault("compute.instances.list", status=503)
        assert isinstance(failed(rays.non_terminated_nodes, {}), HttpError)
        compute = next(iter(rays.resources.values()))
        assert compute.get_new_authorized_http(compute.resource._http).http.timeout is None
        assert httplib2.Http().timeout is None
    provider, configs = ours(gce)
    (node_id,) = provider.create_node(configs["cpu"], tags(), 1)
    gce.fault("compute.instances.list", status=503)
    assert provider.non_terminated_nodes({}) == [node_id]
    gce.fault("compute.instances.list", kind="silent")
    assert provider.non_terminated_nodes({}) == [node_id]


# --- 6: slow operations ---


def test_6_an_operation_that_fails_late_is_reported(gce: Google) -> None:
    gce.injection.dry_zones = {ZONES[0]: ["n1-standard-4"]}
    gce.injection.operation_latency_s |= {
        "insert": 0.9,
        "bulkInsert": 0.9,
    }  # 90 s in Ray's time, which gives up after 60
    with stock(gce) as (rays, configs):
        assert len(rays.create_node(configs["cpu"], tags(), 1)) == 1, "a success that is not one"
    provider, configs = ours(gce)
    for count in (1, 3):
        assert "ZONE_RESOURCE_POOL_EXHAUSTED" in str(failed(provider.create_node, configs["cpu"], tags(), count))


# --- 7: pages ---


def test_7_every_page_is_read(gce: Google) -> None:
    gce.injection.page_size = 10
    provider, configs = ours(gce, slices=True)
    provider.create_node(configs["cpu"], tags(), 35)
    provider.create_node(configs["v4"], tags("v4"), 12)
    assert len(provider.non_terminated_nodes({})) == 47
    with stock(gce, slices=True) as (rays, _):
        assert len(rays.non_terminated_nodes({})) < 47


# --- 8: what Google takes back ---


def test_8_preempted_nodes_are_deleted_and_waking_ones_are_counted(gce: Google) -> None:
    with stock(gce, slices=True) as (rays, configs):
        (machine,) = rays.create_node(configs["t4"], tags("t4"), 1)
        rays.create_node(configs["v4"], tags("v4"), 1)
        (slice_,) = gce.slices()
        for node_id in (machine, slice_):
            gce.engine.preempt(node_id)
        assert rays.non_terminated_nodes({}) == []
        assert set(gce.machines()) >= {machine}
        assert set(gce.slices()) == {slice_}
        (waking,) = rays.create_node(configs["cpu"], tags(), 1)
        for status in ("PENDING", "REPAIRING"):
            gce.engine.set_status(waking, status)
            assert rays.non_terminated_nodes({}) == []
    provider, configs = ours(gce, slices=True)
    for status in ("PENDING", "REPAIRING"):
        gce.engine.set_status(waking, status)
        assert provider.non_terminated_nodes({}) == [waking]
    wait_until("their deletion", lambda: machine not in gce.machines() and not gce.slices())


# --- 9: deletes ---


def test_9_a_delete_of_many_is_not_stopped_by_one_that_is_gone(gce: Google) -> None:
    gone = f"ray-{CLUSTER}-worker-deadbeef-compute"
    with stock(gce) as (rays, configs):
        assert isinstance(failed(rays.terminate_node, gone), UnboundLocalError)
        left = list(rays.create_node(configs["cpu"], tags(), 2))
        assert isinstance(failed(rays.terminate_nodes, [gone, *left]), UnboundLocalError)
        assert set(left) <= set(gce.machines())
    provider, _ = ours(gce)
    provider.terminate_node(gone)
    provider.terminate_nodes([gone, *left])
    provider.terminate_nodes([gone, *left])
    assert provider.non_terminated_nodes({}) == []


# --- 10: broken connections ---


def test_10_a_broken_connection_makes_no_machine_twice(gce: Google, monkeypatch: pytest.MonkeyPatch) -> None:
    import googleapiclient.http

    monkeypatch.setattr(timeouts, "GCP_RETRY_WAITS_S", (0.01, 0.01))
    execute, inserts = googleapiclient.http.HttpRequest.execute, list[str]()

    def breaking(self: Any, *arguments: Any, **named: Any) -> Any:
        if self.methodId == "compute.instances.insert":
            inserts.append(self.methodId)
            if len(inserts) == 3:
                raise BrokenPipeError
        return execute(self, *arguments, **named)

    with stock(gce) as (rays, configs), monkeypatch.context() as patch:
        patch.setattr(googleapiclient.http.HttpRequest, "execute", breaking)
        assert len(rays.create_node(configs["cpu"], tags(), 4)) == 4
        assert len(gce.machines()) == 6, "asked for 4"
    provider, configs = ours(gce)
    provider.terminate_nodes(provider.non_terminated_nodes({}))
    for count, method in ((4, "bulkInsert"), (1, "insert")):
        before = len(provider.non_terminated_nodes({}))
        gce.fault(f"compute.instances.{method}", kind="broken_connection", times=2)
        assert len(provider.create_node(configs["cpu"], tags(), count)) == count
        assert len(provider.non_terminated_nodes({})) == before + count


# --- 11: the fill ---


def test_11_gpus_and_slices_are_filled(gce: Google) -> None:
    from ray.autoscaler._private.gcp.node_provider import GCPNodeProvider

    config = config_of(gce.url, slices=True)
    rays = {**copy.deepcopy(config), "provider": {**config["provider"], "type": "gcp"}}
    assert isinstance(failed(GCPNodeProvider.fillout_available_node_types_resources, rays), KeyError)
    rays["available_node_types"].pop("v4")
    filled = GCPNodeProvider.fillout_available_node_types_resources(rays)
    assert "resources" not in filled["available_node_types"]["l4"]
    types = resolved(config)["available_node_types"]
    assert types["l4"]["resources"]["accelerator_type:L4"] == 1
    assert types["t4"]["resources"]["GPU"] == 1
    assert types["v4"]["resources"]["TPU-v4-16-head"] == 1


# --- 12: names ---


@pytest.mark.parametrize(("node_type", "cluster"), [("ray.worker.gpu", CLUSTER), ("cpu", "c" * 40)])
def test_12_any_name_that_is_not_refused_at_once_works(gce: Google, node_type: str, cluster: str) -> None:
    with stock(gce) as (rays, configs):
        assert isinstance(failed(rays.create_node, configs["cpu"], tags(node_type, cluster=cluster), 1), HttpError)
    config = config_of(gce.url)
    config["available_node_types"][node_type] = config["available_node_types"].pop("cpu")
    made = resolved({**config, "cluster_name": cluster})
    provider = provider_of(made)
    (node_id,) = provider.create_node(node_configs(made)[node_type], tags(node_type, cluster=cluster), 1)
    assert provider.non_terminated_nodes({"ray-user-node-type": node_type}) == [node_id]
    assert provider.node_tags(node_id)["ray-user-node-type"] == node_type


# --- 13: slices ---


def test_13_two_slices_with_a_service_account_come_and_running_ones_are_not_started(gce: Google) -> None:
    account = [{"email": "x@y.iam", "scopes": ["https://www.googleapis.com/auth/cloud-platform"]}]
    with stock(gce, slices=True) as (rays, configs):
        config = {**configs["v4"], "serviceAccounts": copy.deepcopy(account)}
        assert isinstance(failed(rays.create_node, config, tags("v4"), 2), KeyError)
        assert len(gce.slices()) == 1, "one is there that nobody knows"
        rays.cache_stopped_nodes = True
        wait_until("the slice", lambda: {one["state"] for one in gce.slices().values()} == {"READY"})
        assert isinstance(failed(rays.create_node, configs["v4"], tags("v4"), 1), HttpError)
    provider, configs = ours(gce, slices=True, cache_stopped_nodes=True)
    config = {**configs["v4"], "serviceAccounts": copy.deepcopy(account)}
    made = provider.create_node(config, tags("v4"), 2)
    assert set(made) < set(gce.slices())
    assert len(gce.slices()) == 3


# --- 14: races ---
