"""Ray's scheduler with nodes that remember answers what Ray's plain one does: on random clusters and demands."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ray.autoscaler.v2.instance_manager.config import NodeTypeConfig
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler

from accel_scaling import _ray
from accel_scaling._ray import versions

TYPES = ("T4", "A100", "L4")
ZONES = ("a", "b")

amounts = st.sampled_from([0, 0.25, 0.5, 1, 2, 3, 8])


@st.composite
def node_type(draw: st.DrawFn, name: str) -> NodeTypeConfig:
    kind = draw(st.sampled_from(TYPES))
    resources = {
        "CPU": draw(st.sampled_from([1, 2, 8, 16])),
        "GPU": draw(st.sampled_from([0, 1, 2, 8])),
        "memory": draw(st.sampled_from([4, 16])),
        f"accelerator_type:{kind}": 1,
    }
    least = draw(st.sampled_from([0, 0, 0, 1, 3]))
    priority = {"priority": draw(st.sampled_from([0, 0, 1]))} if versions.has("priority") else {}
    return NodeTypeConfig(
        name=name,
        min_worker_nodes=least,
        max_worker_nodes=max(least, draw(st.sampled_from([0, 1, 5, 50]))),
        **priority,
        resources={key: value for key, value in resources.items() if value},
        labels={"zone": draw(st.sampled_from(ZONES)), "type": kind},
    )


@st.composite
def request(draw: st.DrawFn, group: tuple[str, str] | None = None) -> Any:
    resources = {"CPU": draw(amounts), "GPU": draw(amounts), "memory": draw(st.sampled_from([0, 0, 1, 8]))}
    kind = draw(st.sampled_from([None, None, *TYPES]))
    if kind:
        resources[f"accelerator_type:{kind}"] = 0.001
    selector = st.tuples(
        st.sampled_from(["zone", "type"]),
        st.booleans(),
        st.lists(st.sampled_from([*ZONES, *TYPES]), min_size=1, max_size=2, unique=True).map(tuple),
    ).map(lambda one: (one,))
    selectors = draw(st.lists(selector, max_size=2)) if draw(st.booleans()) else []
    return _ray.resource_request({key: value for key, value in resources.items() if value}, selectors, group)


@st.composite
def gang(draw: st.DrawFn, number: int) -> Any:
    strategy = draw(st.sampled_from(["PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"]))
    bundle = draw(request(group=(strategy, f"{number}")))
    others = draw(st.lists(request(group=(strategy, f"{number}")), max_size=2))
    return _ray.gang_request([bundle] * draw(st.integers(1, 6)) + others)


@st.composite
def question(draw: st.DrawFn) -> Any:
    types = {name: draw(node_type(name)) for name in [f"type-{number}" for number in range(draw(st.integers(1, 6)))]}
    head = _ray.running_instance("type-0", 0, {"CPU": 2, "memory": 4, "node:__internal_head__": 1}, {}, head=True)
    there = [
        _ray.running_instance(name, 1 + number, types[name].resources, types[name].labels)
        for number, name in enumerate(draw(st.lists(st.sampled_from(list(types)), max_size=3)))
    ]
    requests = [(draw(request()), draw(st.integers(1, 30))) for _ in range(draw(st.integers(0, 6)))]
    twice = [(requests[0][0], 2)] if requests and draw(st.booleans()) else []  # like demands that are no neighbours
    gangs = [draw(gang(number)) for number in range(draw(st.integers(0, 3)))]
    most = draw(st.sampled_from([None, 2, 10, 60]))
    return _ray.scheduling_request(types, most, [*requests, *twice], gangs=gangs, instances=[head, *there])


@settings(suppress_health_check=list(HealthCheck))
@given(question())
def test_the_answer_is_rays_own(asked: Any) -> None:
    ours = _ray.schedule(asked)
    rays = ResourceDemandScheduler(None).schedule(asked)
    launched = Counter(node.node_type for node in ours.nodes if node.launched)
    assert launched == {launch.instance_type: launch.count for launch in rays.to_launch}
    assert [_ray.key_of(request) for request in ours.pending] == [
        _ray.key_of(request) for request in rays.infeasible_resource_requests
    ]
    assert [_ray.key_of(request) for request in ours.pending_gangs] == [
        _ray.key_of(request) for request in rays.infeasible_gang_resource_requests
    ]
    assert Counter(ours.ended) == Counter(node.instance_type for node in rays.to_terminate)


def test_hundreds_of_nodes_over_many_types_are_the_same_as_rays() -> None:
    types = {
        f"type-{number}": NodeTypeConfig(
            name=f"type-{number}",
            min_worker_nodes=0,
            max_worker_nodes=40,
            resources={"CPU": 4 + number % 3, "GPU": 1 + number % 4, f"accelerator_type:{TYPES[number % 3]}": 1},
        )
        for number in range(8)
    }
    requests = [
        (_ray.resource_request({"CPU": 1, "GPU": size, f"accelerator_type:{kind}": 0.001}), 40)
        for kind in TYPES
        for size in (0.5, 1, 2, 4)
    ]
    asked = _ray.scheduling_request(types, 120, requests)
    ours, rays = _ray.schedule(asked), ResourceDemandScheduler(None).schedule(asked)
    launched = Counter(node.node_type for node in ours.nodes if node.launched)
    assert launched == {launch.instance_type: launch.count for launch in rays.to_launch}
    assert sum(launched.values()) == 120
    assert len(ours.pending) == len(rays.infeasible_resource_requests) > 0
    # What is on the nodes and what is pending is all that was asked.
    placed = Counter(_ray.key_of(request) for node in ours.nodes for request in node.requests)
    assert placed + Counter(map(_ray.key_of, ours.pending)) == {
        _ray.key_of(request): count for request, count in requests
    }
