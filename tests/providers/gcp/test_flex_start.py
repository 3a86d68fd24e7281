"""Flex-start machines of Google: asked for in an order, waiting for capacity, and given up when their wait is over."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler.v2.instance_manager.config import InstanceReconcileConfig

from accel_scaling import timeouts
from accel_scaling.cluster.capacity import CapacityEntry, CapacityType
from accel_scaling.errors import ClusterConfigError
from accel_scaling.providers.base.machine_end import EndedBy
from accel_scaling.providers.gcp.capacity import with_capacity
from tests.providers.gcp.test_machine_end import Head
from tests.support.autoscaler_rounds import V2
from tests.support.emulated_time import EmulatedTime, emulated_time
from tests.support.gcp_provider import ZONES, Google, config_of, google, node_configs, provider_of, tags
from tests.support.resolved import refusal, resolved

A100 = {
    "machineType": "a2-highgpu-1g",
    "disks": [{"boot": True, "initializeParams": {"sourceImage": "projects/p/global/images/i"}}],
}
FLEX: dict[str, Any] = {"flex-start": {"run_for": "24h", "wait_for": "2h"}}
ALLOCATED = "RAY_AUTOSCALER_RECONCILE_ALLOCATE_STATUS_TIMEOUT_S"


@pytest.fixture(name="gce")
def gce_fixture(monkeypatch: pytest.MonkeyPatch) -> Iterator[Google]:
    monkeypatch.setattr(timeouts, "GCP_OPERATION_POLL_S", 0.01)
    monkeypatch.setattr(timeouts, "GCP_RETRY_WAITS_S", (0.001, 0.001))
    with google(waits_s={"a2-highgpu-1g": 900.0}) as at:
        yield at


def config_with(gce: Google, *order: Any, **node_config: Any) -> dict[str, Any]:
    provider = {"capacity": {"a100": list(order)}} if order else {}
    config = config_of(gce.url, **provider)
    node_type = {"node_config": {**A100, **node_config}, "min_workers": 0, "max_workers": 4}
    config["available_node_types"] = {"head": config["available_node_types"]["head"], "a100": node_type}
    return config


def of_order(gce: Google, *order: Any, **node_config: Any) -> tuple[Any, dict[str, Any]]:
    config = resolved(config_with(gce, *order, **node_config))
    return provider_of(config), node_configs(config)["a100"]


def test_a_machine_is_asked_for_as_google_wants_flex_start(gce: Google) -> None:
    provider, config = of_order(gce, FLEX)
    (node,) = provider.create_node(config, tags("a100"), 1)
    machine = gce.machines()[node]
    assert machine["scheduling"] == {
        "provisioningModel": "FLEX_START",
        "maxRunDuration": {"seconds": "86400"},
        "instanceTerminationAction": "DELETE",
        "onHostMaintenance": "TERMINATE",
    }
    assert machine["reservationAffinity"] == {"consumeReservationType": "NO_RESERVATION"}
    assert machine["status"] == "PENDING", "it waits, as requestValidForDuration says"
    assert gce.count("compute.zoneOperations.wait") == 0, "the launch does not wait for capacity"
    assert provider.non_terminated_nodes({}) == [node]
    assert (provider.is_running(node), provider.is_waiting(node), provider.internal_ip(node)) == (False, True, None)
    assert provider.node_tags(node)["accel-scaling-capacity"] == "flex-start"


def test_what_is_written_by_hand_means_the_same(gce: Google) -> None:
    scheduling = {"provisioningModel": "FLEX_START", "maxRunDuration": {"seconds": 86400}}
    params = {"requestValidForDuration": {"seconds": 7200}}
    config = resolved(config_with(gce, scheduling=scheduling, params=params))
    labels = config["available_node_types"]["a100"]["labels"]
    assert (labels["accel-scaling.io/capacity-type"], labels.get("ray.io/market-type")) == ("flex-start", None)
    (command,) = [one for one in config["head_start_ray_commands"] if "ray start" in one]
    assert f"export {ALLOCATED}=${{{ALLOCATED}:-{7200 + 7200}}}; " in command
    provider = provider_of(config)
    (node,) = provider.create_node(node_configs(config)["a100"], tags("a100"), 1)
    assert gce.machines()[node]["status"] == "PENDING"


def test_several_wait_side_by_side_and_what_has_come_is_no_more_pending(gce: Google) -> None:
    provider, config = of_order(gce, FLEX)
    gce.injection.capacity = {"a2-highgpu-1g": 1}
    gce.injection.waits_s = {}
    made = provider.create_node(config, tags("a100"), 3)
    assert sorted(one["status"] for one in gce.machines().values()) == ["PENDING", "PENDING", "RUNNING"]
    assert len(made) == 3


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("flex-start", "flex-start does not say for how long its machines run; write {flex-start: {run_for: 24h}}"),
        ({"flex-start": {"run_for": "5m"}}, "run_for of flex-start is 300 s; Google takes 10m to 7d"),
        ({"flex-start": {"run_for": "8d"}}, "Google takes 10m to 7d"),
        ({"flex-start": {"run_for": "1d", "wait_for": "60s"}}, "Google takes 90s to 2h"),
        ({"flex-start": {"run_for": "1d", "wait_for": "3h"}}, "wait_for of flex-start is 10800 s; Google takes 90s"),
        ({"spot": {"wait_for": "2h"}}, "spot has wait_for, and only flex-start machines, and TPU slices, wait"),
    ],
)
def test_what_google_would_refuse_of_an_order_is_refused_before_the_head(gce: Google, entry: Any, says: str) -> None:
    sentence = refusal(config_with(gce, entry))
    assert sentence.startswith("provider.capacity.a100: ")
    assert says in sentence


@pytest.mark.parametrize("key", ["maxRunDuration", "terminationTime"])
def test_two_ends_of_one_machine_are_refused(key: str) -> None:
    ends = {"maxRunDuration": {"seconds": "3600"}, "terminationTime": "2030-01-01T00:00:00Z"}[key]
    entry = CapacityEntry(CapacityType.FLEX_START, run_for_s=86400.0)
    with pytest.raises(
        ClusterConfigError, match=rf"has run_for, and its node_config has scheduling\.{key}, which says"
    ):
        with_capacity("provider.capacity.a100", {"machineType": "a2-highgpu-1g", "scheduling": {key: ends}}, entry)


class FlexHead(Head):
    """The provider in a head's autoscaler, for a cluster whose machines wait."""

    def __init__(self, gce: Google, folder: Path, monkeypatch: pytest.MonkeyPatch, *order: Any) -> None:
        provider, config = of_order(gce, *order)
        monkeypatch.setattr("tests.providers.gcp.test_machine_end.ours", lambda *_, **__: (provider, {"a100": config}))
        super().__init__(gce, folder, monkeypatch)
        gce.engine.state.clock = lambda: self.now_s


def test_when_the_wait_is_over_the_place_is_sold_out_and_the_next_type_is_bought(
    gce: Google, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = FlexHead(gce, tmp_path, monkeypatch, {"flex-start": {"run_for": "24h", "wait_for": "10m"}}, "on-demand")
    node = head.launch("a100")
    assert head.round() == [node]
    head.now_s += 600
    assert head.end_of(node)[:2] == (EndedBy.CLOUD, "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS")
    assert head.round() == []
    zone = ZONES[0]
    places = [f"{zone}/flex-start", f"{zone}/on-demand"]
    assert head.provider.gate.check("a100", places) == [f"{zone}/on-demand"]
    assert head.strikes() == {}, "no machine was at fault"
    bought = head.launch("a100")
    assert "provisioningModel" not in gce.machines()[bought]["scheduling"]


def test_a_machine_that_waited_long_is_no_failed_boot_when_the_autoscaler_ends_it(
    gce: Google, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = FlexHead(gce, tmp_path, monkeypatch, FLEX)
    monkeypatch.setattr("accel_scaling.providers.base.machine_watch._ray.set_up_timeout_s", lambda: 1800.0)
    gce.injection.waits_s = {"a2-highgpu-1g": 3600.0}
    node = head.launch("a100")
    head.now_s += 3500
    head.round()
    head.provider.terminate_node(node)
    assert head.round() == []
    assert head.strikes() == {}
    assert gce.machines() == {}


class NoSsh:
    """No machine has joined."""

    def joined(self, node_id: str) -> bool:
        del node_id
        return False


class Autoscaler(V2):
    """Autoscaler v2 with the time-outs that the head's start commands give it; what would be set up is noted."""

    def __init__(self, path: Path, provider: Any, clock: EmulatedTime) -> None:
        super().__init__(path, provider, NoSsh(), clock)  # type: ignore[arg-type]
        self.installs.run = lambda: None  # type: ignore[method-assign]

    def statuses(self) -> list[str]:
        from ray.core.generated.instance_manager_pb2 import Instance

        instances = self.installs._store.get_instances()[0].values()
        return sorted(Instance.InstanceStatus.Name(one.status) for one in instances if one.instance_type == "a100")


@pytest.mark.parametrize(("wait_s", "step_s"), [(900.0, 60.0), (5400.0, 300.0)])
def test_real_autoscaler_v2_neither_cancels_nor_buys_twice_what_waits_for_capacity(
    gce: Google, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait_s: float, step_s: float
) -> None:
    gce.injection.waits_s = {"a2-highgpu-1g": wait_s}
    config = resolved(config_with(gce, FLEX, "on-demand"))
    for key in ("head_node", "worker_nodes"):
        config.pop(key, None)
    config["provider"] |= {"worker_liveness_check": False}
    (command,) = [one for one in config["head_start_ray_commands"] if "ray start" in one]
    seconds = int(command.partition(f"{ALLOCATED}:-")[2].partition("}")[0])
    path = tmp_path / "ray_bootstrap_config.yaml"
    path.write_text(yaml.safe_dump(config))
    monkeypatch.setattr(sys, "argv", ["monitor.py", f"--autoscaling-config={path}"])
    # As the exported variable does in the autoscaler's process, where Ray reads it at its import.
    monkeypatch.setattr(
        "ray.autoscaler.v2.instance_manager.config.InstanceReconcileConfig.__init__.__defaults__",
        _with_allocated(seconds),
    )
    with emulated_time() as clock:
        gce.engine.state.clock = clock.now
        provider = provider_of(config)
        provider.create_node(config["available_node_types"]["head"]["node_config"], tags("head", "head"), 1)
        rounds = Autoscaler(path, provider, clock)
        begun = clock.now()
        demand = [{"GPU": 1.0}]
        rounds.round(demand)
        while clock.now() - begun < wait_s:
            rounds.round(demand)
            assert gce.count("compute.instances.insert") == 2, "the head, and one worker"
            clock.go_to(min(clock.now() + step_s, begun + wait_s))
        for _ in range(3):
            rounds.round(demand)
        (worker,) = provider.non_terminated_nodes({"ray-node-type": "worker"})
        assert gce.machines()[worker]["status"] == "RUNNING"
        assert rounds.statuses() == ["RAY_INSTALLING"]
        assert gce.count("compute.instances.insert") == 2
        assert gce.count("compute.instances.delete") == 0


def _with_allocated(seconds: int) -> tuple[int, ...]:
    fields = dataclasses.fields(InstanceReconcileConfig)
    return tuple(seconds if field.name == "allocate_status_timeout_s" else field.default for field in fields)
