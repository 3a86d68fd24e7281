"""With our promises, Ray's own v2 scheduler launches the right node type of GCP when nothing runs yet."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray._private.accelerators import tpu as ray_tpu
from ray.autoscaler.v2.scheduler import NodeTypeConfig, ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.utils import ResourceRequestUtil
from ray.core.generated import autoscaler_pb2, common_pb2

from accel_scaling import _ray
from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.fill.fill import fill
from tests.providers.gcp.test_node_config import OURS, T4

NODE_CONFIGS: dict[str, dict[str, Any]] = {
    "plain": {"machineType": "n2-standard-8"},
    "l4": {"machineType": "g2-standard-8"},
    "t4": {"machineType": "n1-standard-8", "guestAccelerators": T4},
    "a100-40": {"machineType": "a2-highgpu-1g"},
    "a100-80": {"machineType": "a2-ultragpu-1g"},
    "h100-spot": {"machineType": "a3-highgpu-8g", "scheduling": {"provisioningModel": "SPOT"}},
    "v5e-8": {"acceleratorType": "v5litepod-8", "runtimeVersion": "v2-alpha-tpuv5-lite"},
    "v4-16": {"acceleratorConfig": {"type": "V4", "topology": "2x2x2"}, "runtimeVersion": "tpu-ubuntu2204-base"},
    "v4-32": {"acceleratorType": "v4-32", "runtimeVersion": "tpu-ubuntu2204-base"},
    "v6e-8": {"acceleratorType": "v6e-8", "runtimeVersion": "v2-alpha-tpuv6e"},
    "v6e-16": {"acceleratorType": "v6e-16", "runtimeVersion": "v2-alpha-tpuv6e"},
    "v7x-16": {"acceleratorType": "tpu7x-16", "runtimeVersion": "any"},
}


def launched(*tasks: Any, gang: list[Any] | None = None, **node_configs: Any) -> dict[str, int]:
    """What Ray's scheduler launches from zero nodes for these tasks, or for one placement group."""
    named = node_configs or NODE_CONFIGS
    config = {
        "provider": OURS,
        "head_node_type": "head",
        "available_node_types": {
            "head": {"node_config": {"machineType": "n2-standard-2"}},
            **{name: {"node_config": node_config} for name, node_config in named.items()},
        },
    }
    types = fill(config, shipped_catalog())[0]["available_node_types"]
    return scheduled({name: (types[name]["resources"], types[name]["labels"]) for name in named}, tasks, gang)


def scheduled(promises: dict[str, Any], tasks: Any = (), gang: list[Any] | None = None) -> dict[str, int]:
    request = SchedulingRequest(
        disable_launch_config_check=True,
        node_type_configs={
            name: NodeTypeConfig(name=name, min_worker_nodes=0, max_worker_nodes=10, resources=resources, labels=labels)
            for name, (resources, labels) in promises.items()
        },
        max_num_nodes=20,
        resource_requests=ResourceRequestUtil.group_by_count(list(tasks)),
        gang_resource_requests=[gang_of(gang)] if gang else [],
        cluster_resource_constraints=[],
        current_instances=[],
        idle_timeout_s=None,
        cloud_resource_availabilities={},
    )
    reply = ResourceDemandScheduler(None).schedule(request)
    return {each.instance_type: each.count for each in reply.to_launch}


def demand(resources: dict[str, float], labels: dict[str, str] | None = None) -> Any:
    request = autoscaler_pb2.ResourceRequest(resources_bundle=resources)
    if labels:
        selector = request.label_selectors.add()
        for key, value in labels.items():
            selector.label_constraints.add(
                label_key=key, operator=common_pb2.LabelSelectorOperator.LABEL_OPERATOR_IN, label_values=[value]
            )
    return request


def gang_of(demands: list[Any]) -> Any:
    return _ray.gang_request(demands)


@pytest.mark.parametrize(
    ("wanted", "node_type"),
    [
        ({"GPU": 1, "accelerator_type:L4": 0.001}, "l4"),
        ({"GPU": 1, "accelerator_type:T4": 0.001}, "t4"),
        ({"GPU": 1, "accelerator_type:A100-40G": 0.001}, "a100-40"),
        ({"GPU": 1, "accelerator_type:A100-80G": 0.001}, "a100-80"),
        ({"GPU": 8, "accelerator_type:H100": 0.001}, "h100-spot"),
        ({"TPU": 8, "accelerator_type:TPU-V5LITEPOD": 0.001}, "v5e-8"),
        ({"TPU": 8, "accelerator_type:TPU-V6E": 0.001}, "v6e-8"),
        ({"TPU-v4-32-head": 1}, "v4-32"),
        ({"CPU": 8}, "plain"),
    ],
)
def test_a_task_launches_one_node_of_the_type_that_has_what_it_asks_for(
    wanted: dict[str, float], node_type: str
) -> None:
    assert launched(demand(wanted)) == {node_type: 1}


@pytest.mark.parametrize(
    ("labels", "node_type"),
    [
        ({"ray.io/accelerator-type": "L4"}, "l4"),
        ({"ray.io/market-type": "spot"}, "h100-spot"),
        ({"accel-scaling.io/instance-type": "n1-standard-8"}, "t4"),
        ({"accel-scaling.io/accelerator-variant": "A100-80G"}, "a100-80"),
        ({"ray.io/tpu-topology": "2x2x2", "ray.io/accelerator-type": "TPU-V4"}, "v4-16"),
    ],
)
def test_a_task_that_selects_by_label_launches_the_type_that_has_it(labels: dict[str, str], node_type: str) -> None:
    assert launched(demand({"CPU": 1}, labels)) == {node_type: 1}


def test_a_task_for_a_type_that_no_node_has_launches_nothing() -> None:
    assert launched(demand({"GPU": 1, "accelerator_type:B200": 0.001})) == {}


@pytest.fixture(name="groups")
def groups_fixture(monkeypatch: pytest.MonkeyPatch) -> list[list[Any]]:
    """The placement groups that Ray's TPU functions ask for: each a list of demands."""
    asked: list[list[Any]] = []

    def placement_group(bundles: Any, *, bundle_label_selector: Any, **_: Any) -> Any:
        asked.append([demand(*each) for each in zip(bundles, bundle_label_selector, strict=True)])
        return SimpleNamespace(ready=lambda: None)

    import ray.util.tpu as util_tpu

    monkeypatch.setattr("ray._private.auto_init_hook.enable_auto_connect", False)  # no Ray is needed to be asked
    for module in (ray_tpu, util_tpu):
        monkeypatch.setattr(module, "placement_group", placement_group)
    monkeypatch.setattr(ray, "wait", lambda refs, **_: (refs, []))
    monkeypatch.setattr(ray_tpu, "fetch_tpu_slice_name_from_pg", lambda _: "slice-a")
    return asked


SLICES = [
    ("v5e-8", "2x4", "TPU-V5LITEPOD"),
    ("v6e-8", "2x4", "TPU-V6E"),
    ("v4-16", "2x2x2", "TPU-V4"),
    ("v4-32", "2x2x4", "TPU-V4"),
    ("v6e-16", "4x4", "TPU-V6E"),
    ("v7x-16", "2x2x2", "TPU-V7X"),
]


@pytest.mark.parametrize(("node_type", "topology", "accelerator_type"), SLICES)
def test_reserving_a_slice_creates_exactly_that_slice(
    groups: list[list[Any]], node_type: str, topology: str, accelerator_type: str
) -> None:
    reserved = ray_tpu.reserve_tpu_slice(topology, accelerator_type)
    assert reserved is not None
    assert reserved[0] == "slice-a"
    (group,) = groups
    assert launched(gang=group) == {node_type: 1}


@pytest.mark.parametrize(("node_type", "topology", "accelerator_type"), SLICES)
def test_a_placement_group_over_a_slice_creates_one_slice_in_all(
    groups: list[list[Any]], node_type: str, topology: str, accelerator_type: str
) -> None:
    from ray.util.tpu import slice_placement_group

    slice_placement_group(topology=topology, accelerator_version=accelerator_type.removeprefix("TPU-").lower())
    # The first is host 0's; the second names the slice, which no promise does, so it waits for the hosts of that one.
    made = [launched(gang=group, **{node_type: NODE_CONFIGS[node_type]}) for group in groups]
    assert [each for each in made if each] == [{node_type: 1}]


def test_chips_that_are_asked_for_host_by_host_create_a_slice_for_each_host() -> None:
    # Not a goal: Ray's scheduler takes one node for one host. When this changes, the examples' advice must too.
    group = [demand({"TPU": 4}) for _ in range(4)]
    assert launched(gang=group, v4=NODE_CONFIGS["v4-16"]) == {"v4": 4}
