"""What sparing accelerators takes for granted of Ray's two schedulers; each failure says what would be bought."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from typing import Any

import pytest
from ray.autoscaler._private import autoscaler as v1_autoscaler
from ray.autoscaler._private import resource_demand_scheduler as v1
from ray.autoscaler.v2 import scheduler as v2

from accel_scaling import _ray
from accel_scaling._ray import node_scores
from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.providers.base import cluster_config
from accel_scaling.providers.base.provider import BootCheckedProvider

Nodes = dict[str, dict[str, int]]

CPU = {"CPU": 32, "memory": 96}
# More CPUs than the plain machine, so Ray's other rules prefer them for 32 tasks of 4 CPUs.
ACCELERATED = {
    "gpu": {"CPU": 128, "memory": 400, "GPU": 8, "accelerator_type:A100": 1},
    "trainium": {"CPU": 128, "memory": 400, "neuron_cores": 32, "accelerator_type:aws-neuron-core": 1},
    "gaudi": {"CPU": 128, "memory": 400, "HPU": 8, "accelerator_type:Intel-GAUDI": 1},
    "tpu": {"CPU": 128, "memory": 400, "TPU": 8, "accelerator_type:TPU-V5LITEPOD": 1, "TPU-v5litepod-8-head": 1},
}


@pytest.fixture(autouse=True)
def spared(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(node_scores.V1_SCORER_VARIABLE, raising=False)
    _ray.spare_accelerators({chip.resource for chip in shipped_catalog().chips.values()})
    yield
    _ray.spare_accelerators(())


class NoNodes:
    """The provider of a cluster without workers, as far as v1's scheduler asks it."""

    def non_terminated_nodes(self, tag_filters: object) -> list[str]:
        return []


def launched_by_v1(nodes: Nodes, demands: list[dict[str, float]], most: int = 20) -> dict[str, int]:
    types = {
        name: {"resources": resources, "max_workers": most, "min_workers": 0, "node_config": {}}
        for name, resources in nodes.items()
    }
    scheduler = v1.ResourceDemandScheduler(NoNodes(), types, 100, "none", 1)  # type: ignore[arg-type]
    found = v1.get_nodes_for(
        types,
        {},
        "none",
        100,
        demands,
        lambda *args: scheduler.utilization_scorer(*args, node_availability_summary=None),
    )
    return dict(found[0])


def launched_by_v2(nodes: Nodes, demands: list[dict[str, float]], most: int = 20) -> dict[str, int]:
    types = {name: v2.NodeTypeConfig(name, 0, most, resources=dict(resources)) for name, resources in nodes.items()}
    requests = [_ray.resource_request(demand) for demand in demands]
    from ray.core.generated.autoscaler_pb2 import ResourceRequestByCount

    # Ray's own module, as its monitor uses it; not the copy that plans use.
    request = v2.SchedulingRequest(
        disable_launch_config_check=True,
        node_type_configs=types,
        max_num_nodes=100,
        resource_requests=[ResourceRequestByCount(request=request, count=1) for request in requests],
        gang_resource_requests=[],
        cluster_resource_constraints=[],
        current_instances=[],
    )
    reply = v2.ResourceDemandScheduler(None).schedule(request)  # type: ignore[arg-type]
    return {launch.instance_type: launch.count for launch in reply.to_launch}


AUTOSCALERS = pytest.mark.parametrize("launched", [launched_by_v1, launched_by_v2], ids=["v1", "v2"])
FAMILIES = pytest.mark.parametrize("family", ACCELERATED)


@AUTOSCALERS
@FAMILIES
def test_tasks_for_cpus_buy_no_accelerators_beside_a_plain_machine(launched: Any, family: str) -> None:
    assert launched({"cpu": CPU, "acc": ACCELERATED[family]}, [{"CPU": 4}] * 32) == {"cpu": 4}
    assert launched({"acc": ACCELERATED[family], "cpu": CPU}, [{"CPU": 1}] * 8) == {"cpu": 1}


@AUTOSCALERS
@FAMILIES
def test_they_buy_one_where_nothing_else_can_take_them(launched: Any, family: str) -> None:
    nodes = {"cpu": CPU, "acc": ACCELERATED[family]}
    assert launched({"acc": ACCELERATED[family]}, [{"CPU": 4}] * 32) == {"acc": 1}, "a demand was not changed"
    assert launched(nodes, [{"CPU": 64}]) == {"acc": 1}, "a demand that no plain machine fits was not changed"
    assert sum(launched(nodes, [{"CPU": 4}] * 32, most=1).values()) == 2, "max_workers of the plain type was the end"


@AUTOSCALERS
@FAMILIES
def test_tasks_for_accelerators_get_theirs_with_the_cpu_tasks_that_fit_beside_them(launched: Any, family: str) -> None:
    resource = next(name for name in ACCELERATED[family] if name in ("GPU", "neuron_cores", "HPU", "TPU"))
    nodes = {"cpu": CPU, "acc": ACCELERATED[family]}
    assert launched(nodes, [{"CPU": 1, resource: 1}] * 8) == {"acc": 1}
    assert launched(nodes, [{"CPU": 1, resource: 1}, *[{"CPU": 4}] * 8]).get("acc") == 1
    typed = next(name for name in ACCELERATED[family] if name.startswith("accelerator_type:"))
    assert launched(nodes, [{"CPU": 1, typed: 0.001}]) == {"acc": 1}


@AUTOSCALERS
def test_a_demand_that_no_accelerator_node_can_take_is_no_reason_to_buy_one(launched: Any) -> None:
    nodes = {"cpu": CPU, "acc": ACCELERATED["trainium"]}
    assert launched(nodes, [{"neuron_cores": 64}, *[{"CPU": 4}] * 32]) == {"cpu": 4}


@AUTOSCALERS
def test_without_it_ray_spares_gpu_nodes_alone(launched: Any) -> None:
    _ray.spare_accelerators(())
    bought = {
        name: launched({"cpu": CPU, "acc": node}, [{"CPU": 4}] * 32) == {"acc": 1} for name, node in ACCELERATED.items()
    }
    assert bought == {"gpu": False, "trainium": True, "gaudi": True, "tpu": True}, (
        "Ray's own rule has changed: where it spares all accelerators, accel_scaling._ray.node_scores can go"
    )


@AUTOSCALERS
def test_rays_own_switch_switches_it_off(launched: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (v1, v2, __import__("ray.autoscaler._private.constants", fromlist=["constants"])):
        monkeypatch.setattr(module, "AUTOSCALER_CONSERVE_GPU_NODES", 0)
    assert launched({"cpu": CPU, "acc": ACCELERATED["trainium"]}, [{"CPU": 4}] * 32) == {"acc": 1}


@pytest.mark.parametrize(
    ("demand", "none"),
    [
        ({"CPU": 4}, True),
        ({"CPU": 4, "neuron_cores": 0}, True),
        ({"CPU": 4, "GPU": 1}, True),  # of another node: this one has no GPU
        ({"neuron_cores": 1}, False),
        ({"CPU": 1, "accelerator_type:aws-neuron-core": 0.001}, False),
        ({"TPU-v4-16-head": 1}, False),
    ],
)
def test_a_demand_for_an_accelerator_names_its_resource_its_type_or_a_whole_slice(
    demand: dict[str, float], *, none: bool
) -> None:
    assert _ray.asks_for_none({"neuron_cores"}, [demand]) is none


def test_a_scorer_of_the_users_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(node_scores.V1_SCORER_VARIABLE, "my.scorer")
    _ray.spare_accelerators({"TPU"})
    assert os.environ[node_scores.V1_SCORER_VARIABLE] == "my.scorer"
    _ray.spare_accelerators(())
    assert os.environ[node_scores.V1_SCORER_VARIABLE] == "my.scorer"


def test_both_scores_end_with_whether_the_node_is_spared_and_three_measures_of_how_full_it_is() -> None:
    ending = "gpu_ok,num_matching_resource_types,min(util_by_resources)"
    rays_own: Any = v2.SchedulingNode
    for scorer in (v1._resource_based_utilization_scorer, rays_own._score_of_ray):
        text = "".join(inspect.getsource(scorer).split())
        assert ending in text, "a score has another order: sparing would lower another part of it"
    assert v1.AUTOSCALER_UTILIZATION_SCORER_KEY == node_scores.V1_SCORER_VARIABLE
    reset = inspect.getsource(v1_autoscaler.StandardAutoscaler.reset)
    assert reset.index("_get_node_provider(") < reset.index("= ResourceDemandScheduler("), (
        "v1 reads the scorer's name before it makes the provider, which names it"
    )


class Provider(BootCheckedProvider):
    """A provider of ours, with nothing of a cloud."""

    def __init__(self, **section: Any) -> None:
        self._set_gate({"type": "external", **section})


@AUTOSCALERS
@pytest.mark.parametrize("says", [{}, {"spare_accelerators": True}, {"spare_accelerators": False}])
def test_the_provider_of_an_autoscaler_switches_it_on(
    launched: Any, says: dict[str, bool], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    _ray.spare_accelerators(())
    config = tmp_path / "ray_bootstrap_config.yaml"
    config.write_text("{available_node_types: {}}")
    monkeypatch.setattr("sys.argv", ["/ray/autoscaler/v2/monitor.py", f"--autoscaling-config={config}"])
    monkeypatch.setattr(cluster_config, "publish", lambda path: None)
    Provider(**says)
    answer = launched({"cpu": CPU, "acc": ACCELERATED["trainium"]}, [{"CPU": 4}] * 32)
    assert answer == ({"acc": 1} if says.get("spare_accelerators") is False else {"cpu": 4})


def test_ray_up_on_a_laptop_changes_nothing_of_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    _ray.spare_accelerators(())
    monkeypatch.setattr("sys.argv", ["/usr/bin/ray", "up"])
    Provider()
    assert node_scores.V1_SCORER_VARIABLE not in os.environ
