"""Why the hosts of a slice join in order: what autoscaler v2 makes of several Ray nodes of one instance."""

from __future__ import annotations

import inspect
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from ray.autoscaler.v2.instance_manager import instance_manager, instance_storage, storage
from ray.autoscaler.v2.instance_manager.config import NodeTypeConfig, Provider
from ray.autoscaler.v2.instance_manager.reconciler import Reconciler
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.schema import AutoscalerInstance
from ray.core.generated import autoscaler_pb2 as pb
from ray.core.generated.instance_manager_pb2 import Instance, NodeKind

from accel_scaling import _ray
from accel_scaling._ray.facts import LABEL_TPU_WORKER_ID
from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.fill.fill import fill
from tests.fill.test_from_zero import demand, gang_of
from tests.providers.gcp.test_node_config import OURS

SLICE = "projects/p/locations/us-central1-a/nodes/ray-x-worker-1-tpu"
HEAD = gang_of([demand({"TPU-v4-16-head": 1}, {LABEL_TPU_WORKER_ID: "0", "ray.io/tpu-pod-type": "v4-16"})])
HOSTS = gang_of([demand({"TPU": 4, "CPU": 1}, {"ray.io/tpu-slice-name": "own"})] * 2)


def promise() -> NodeTypeConfig:
    slices = {"node_config": {"acceleratorType": "v4-16", "runtimeVersion": "tpu-ubuntu2204-base"}}
    node_types = {"head": {"node_config": {"machineType": "n2-standard-2"}}, "pod": slices}
    config = {"provider": OURS, "head_node_type": "head", "available_node_types": node_types}
    pod = fill(config, shipped_catalog())[0]["available_node_types"]["pod"]
    return NodeTypeConfig("pod", 0, 5, resources=pod["resources"], labels=pod["labels"])


def host(number: int, *, taken: dict[str, float] | None = None) -> Any:
    """One host of the slice as its raylet announces it."""
    kind = promise()
    total = {name: amount for name, amount in kind.resources.items() if not number or not name.endswith("-head")}
    return pb.NodeState(
        node_id=f"host {number}".encode(),
        instance_id=SLICE,
        ray_node_type_name="pod",
        status=pb.NodeStatus.RUNNING,
        total_resources=total,
        available_resources={**total, **(taken or {})},
        labels={**kind.labels, LABEL_TPU_WORKER_ID: str(number), "ray.io/tpu-slice-name": "own"},
    )


def bought(*rounds: list[Any], then: Any) -> dict[str, int]:
    """What v2 launches for a pending group, after rounds in which these hosts of an existing slice had joined."""
    kept = instance_storage.InstanceStorage("c", storage.InMemoryStorage())
    booting = Instance(
        instance_id="1",
        instance_type="pod",
        status=Instance.RAY_INSTALLING,
        cloud_instance_id=SLICE,
        node_kind=NodeKind.WORKER,
    )
    kept.upsert_instance(booting)
    manager = instance_manager.InstanceManager(kept, [])
    for joined in rounds:
        Reconciler._handle_ray_status_transition(manager, joined, SimpleNamespace(provider=Provider.UNKNOWN))
    (instance,) = kept.get_instances()[0].values()
    nodes = {node.node_id.hex(): node for node in rounds[-1]}
    request = SchedulingRequest(
        disable_launch_config_check=True,
        node_type_configs={"pod": promise()},
        max_num_nodes=9,
        gang_resource_requests=[then],
        current_instances=[
            AutoscalerInstance(cloud_instance_id=SLICE, im_instance=instance, ray_node=nodes.get(instance.node_id))
        ],
    )
    return {one.instance_type: one.count for one in ResourceDemandScheduler(None).schedule(request).to_launch}


def test_a_second_slice_is_bought_for_whoever_waits_for_host_0_where_another_host_joins_first() -> None:
    """If this fails, Ray no longer takes the first node for the whole slice, and slice_starts.py can go."""
    assert bought([host(1)], then=HEAD) == {"pod": 1}
    assert bought([host(1)], [host(0), host(1)], then=HEAD) == {"pod": 1}, "and it never looks again"
    assert bought([host(0), host(1)], then=HEAD) == {"pod": 1}, "of one round's hosts it takes the last that it is told"


def test_none_is_bought_where_host_0_is_seen_before_the_others_join() -> None:
    assert bought([host(0)], then=HEAD) == {}
    assert bought([host(0)], [host(1), host(0)], then=HEAD) == {}
    taken = host(0, taken={"TPU-v4-16-head": 0})
    assert bought([host(0)], [taken], then=HOSTS) == {}, "the group of all hosts names the slice, and waits for it"


def test_v2_reads_who_joined_before_it_lists_nodes() -> None:
    """Two listings after host 0 joined, a round has begun that read it: slice_starts.wait_until_seen()."""
    from ray.autoscaler.v2.autoscaler import Autoscaler

    source = inspect.getsource(Autoscaler.update_autoscaling_state)
    assert source.index("get_cluster_resource_state(") < source.index(".get_non_terminated()")


def test_only_v2s_monitor_is_asked_who_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._private import services

    assert 'f"--gcs-address={gcs_address}"' in inspect.getsource(services.start_monitor)
    for program in (["/x/ray/autoscaler/_private/monitor.py", "--gcs-address=h:1"], ["/usr/bin/ray", "up"]):
        monkeypatch.setattr(sys, "argv", program)
        assert _ray.tpu_workers_joined(SLICE) is None
    from ray.autoscaler.v2 import sdk

    dead = host(2)
    dead.status = pb.NodeStatus.DEAD
    other = host(3)
    other.instance_id = "other"
    state = pb.ClusterResourceState(node_states=[host(0), host(1), dead, other])
    monkeypatch.setattr(sdk, "get_cluster_resource_state", lambda client: state)
    monkeypatch.setattr(sys, "argv", ["/x/ray/autoscaler/v2/monitor.py", "--gcs-address=127.0.0.1:1"])
    monkeypatch.setattr("ray._raylet.GcsClient", lambda address: address)
    assert _ray.tpu_workers_joined(SLICE) == {"0", "1"}


def test_a_runner_of_a_slice_says_to_how_many_hosts_it_talks_at_once() -> None:
    from ray.autoscaler._private.gcp.tpu_command_runner import TPUCommandRunner

    runner = TPUCommandRunner.__new__(TPUCommandRunner)
    runner._num_workers = 64
    assert _ray.connections_of(runner) == 16, "Ray's own limit, RAY_TPU_MAX_CONCURRENT_CONNECTIONS"
    assert _ray.connections_of(object()) == 1
    assert "self._command_runners[i].run(" in inspect.getsource(TPUCommandRunner.run), "hosts_of finds no hosts"
