"""What a plan takes for granted of Ray's v2 scheduler and its forms; each failure says what breaks in a plan."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import ray
from ray.autoscaler.v2 import scheduler as rays

from accel_scaling import _ray
from accel_scaling._ray import scheduler_memo
from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.clouds import known_clouds
from accel_scaling.errors import PlanError
from accel_scaling.fill.defaults import with_defaults, with_keys_needed_by_ray
from accel_scaling.fill.fill import fill
from accel_scaling.plan.demands import check_labels, selector
from accel_scaling.plan.live_cluster import question_of, state_of
from tests.support.plan import aws, cluster


def nothing() -> None: ...


GPU_NODE = rays.NodeTypeConfig("gpu", 0, 3, resources={"CPU": 4, "GPU": 1}, labels={"zone": "a"})


def test_the_scheduler_is_rays_text_and_rays_module_stays_as_it_is() -> None:
    module = scheduler_memo.scheduler_module()
    assert module.__file__ == rays.__file__, "the scheduler of a plan is not the installed Ray's"
    assert rays.SchedulingNode.__module__ == rays.__name__, "Ray's own scheduler was changed"
    for name in ("try_schedule", "_try_schedule_one", "_compute_score", "get_sched_requests"):
        assert hasattr(rays.SchedulingNode, name), f"SchedulingNode.{name} is gone: a plan's nodes cannot remember"
    text = inspect.getsource(rays.ResourceDemandScheduler)
    copied = ("node_copy = copy.deepcopy(node)", "nodes_copy = copy.deepcopy(nodes)")  # since 2.55, and before
    assert any(line in text for line in copied), "Ray tries nodes themselves: a plan's nodes share their state"
    best = inspect.getsource(rays.ResourceDemandScheduler._sched_best_node)
    for name in ("r.score,", "nodes.pop("):
        assert name in best, f"the best node of a round is not chosen by {name} any more: rounds cannot be remembered"
    assert "= ResourceDemandScheduler._sched_best_node(\n" in text.replace(" (\n", "("), (
        "rounds are not asked for by name"
    )
    score = inspect.getsource(rays.SchedulingNode._compute_score) + inspect.getsource(
        rays.SchedulingNode._satisfies_label_constraints
    )
    for name in ("im_instance_id", "node_type", "priority", "launch_config_hash", "idle_duration_ms"):
        assert f"self.{name}" not in score, f"a node's score depends on {name}: like nodes are not alike any more"


@pytest.mark.since(2, 53)
def test_the_best_node_of_a_round_depends_on_how_available_its_type_is() -> None:
    best = inspect.getsource(rays.ResourceDemandScheduler._sched_best_node)
    assert "_availabilities.get(r.node.node_type, 1" in best, "scheduler_memo compares rounds without it"


@pytest.mark.since(2, 56)
def test_the_best_node_of_a_round_depends_on_the_priority_of_its_type() -> None:
    best = inspect.getsource(rays.ResourceDemandScheduler._sched_best_node)
    assert "r.node.priority," in best, "scheduler_memo takes nodes for alike by it"


@pytest.mark.since(2, 57)
def test_what_ray_makes_of_all_demands_depends_on_the_different_ones_only() -> None:
    request = _ray.resource_request({"CPU": 1.0})
    (name,) = [name for name in scheduler_memo._OF_DISTINCT if hasattr(rays, name)]
    shapes = getattr(rays, name)
    assert shapes([request] * 3) == shapes([request]), "it wants each request once"


def test_a_request_is_read_back_as_it_was_written() -> None:
    group = ("STRICT_SPREAD", "7")
    selectors = [selector({"zone": "!in(a,b)"}), selector({"zone": "c"})]
    request = _ray.resource_request({"GPU": 2.0}, selectors, group)
    assert _ray.read_request(request) == ({"GPU": 2.0}, tuple(selectors), *group)
    assert _ray.requests_of_gang(_ray.gang_request([request] * 2)) == [request] * 2
    assert _ray.key_of(request) == _ray.key_of(_ray.resource_request({"GPU": 2.0}, selectors, group))
    assert _ray.read_request(_ray.resource_request({"GPU": 2.0}, (), ("PACK", "7"))).strategy == ""


def test_a_new_node_takes_what_ray_would_put_on_it() -> None:
    assert _ray.fits(GPU_NODE, _ray.resource_request({"GPU": 1, "CPU": 4}, [selector({"zone": "in(a,b)"})]))
    assert not _ray.fits(GPU_NODE, _ray.resource_request({"GPU": 2}))
    assert not _ray.fits(GPU_NODE, _ray.resource_request({"GPU": 1}, [selector({"zone": "!a"})]))


@pytest.mark.parametrize("memo", ["1", "0"])
def test_the_schedulers_answer_has_nodes_with_what_is_put_on_them(memo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(scheduler_memo.MEMO_VARIABLE, memo)
    assert issubclass(scheduler_memo.scheduler_module().SchedulingNode, scheduler_memo._MemoNode) is (memo == "1")
    head = _ray.running_instance("head", 0, {"CPU": 2}, {}, head=True)
    types = {"gpu": GPU_NODE, "head": _ray.node_type_config("head", 1)}
    wanted, small = _ray.resource_request({"GPU": 1, "CPU": 1}), _ray.resource_request({"CPU": 2})
    asked = _ray.scheduling_request(types, 10, [(wanted, 5), (small, 1)], instances=[head])
    found = _ray.schedule(asked)
    assert sorted((node.node_type, node.launched, len(node.requests)) for node in found.nodes) == [
        *[("gpu", True, 1)] * 3,
        ("head", False, 1),
    ]
    assert found.pending == (wanted, wanted)
    more = _ray.with_most(types, ["gpu"], 9)
    assert _ray.schedule(_ray.scheduling_request(more, 10, [(wanted, 5)], instances=[head])).pending == ()


def test_node_types_may_have_other_resources_or_no_launches() -> None:
    types = {"gpu": GPU_NODE, "head": _ray.node_type_config("head", 1)}
    real = _ray.with_real(types, {"gpu": ({"GPU": 4}, {"zone": "c"})})
    assert _ray.fits(real["gpu"], _ray.resource_request({"GPU": 4}, [selector({"zone": "c"})]))
    closed = _ray.without_launches(types, ["gpu", "head"], "head")
    assert (closed["gpu"].max_worker_nodes, closed["head"].max_worker_nodes) == (0, 1), "Ray counts heads otherwise"
    head = _ray.running_instance("head", 0, {}, {}, head=True)
    wanted = _ray.resource_request({"GPU": 1})
    assert _ray.schedule(_ray.scheduling_request(closed, 10, [(wanted, 1)], instances=[head])).pending == (wanted,)


def test_the_config_is_read_as_v2_reads_it() -> None:
    config = aws(t4="g4dn.xlarge")
    config["available_node_types"]["t4"].pop("max_workers")
    filled, _ = fill({**config, "max_workers": 7}, shipped_catalog())
    types, most = _ray.node_type_configs(with_defaults(with_keys_needed_by_ray(filled), known_clouds()["aws"]))
    assert most == 8, "Ray counts the head among max_workers otherwise"
    assert {name: one.max_worker_nodes for name, one in types.items()} == {"head": 1, "t4": 7}


def test_ray_says_what_is_wrong_with_a_label_selector() -> None:
    assert _ray.label_selector_error({"zone": "in(a,b)"}) is None
    assert "Invalid label selector value" in (_ray.label_selector_error({"zone": "!!a"}) or "")
    with pytest.raises(PlanError, match=r"^--label zone=!!a: Invalid label selector value"):
        check_labels({"zone": "!!a"})


def token_of_this_ray() -> str | None:
    """Return the token that this process's Ray asks for; None where it asks for none."""
    if not _ray.has("tokens"):
        return None
    from ray._raylet import AuthenticationMode, AuthenticationTokenLoader, get_authentication_mode

    asks = get_authentication_mode() == AuthenticationMode.TOKEN
    return AuthenticationTokenLoader.instance().get_raw_token() if asks else None


@pytest.mark.slow
@pytest.mark.usefixtures("two_t4")
def test_what_is_pending_on_a_running_cluster_is_planned_as_ray_reports_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import accel_scaling as acc

    address = ray.get_runtime_context().gcs_address
    # Since 2.59 `ray.init()` makes a token; this test has another home than the fixture that called it.
    token = token_of_this_ray()
    asked = _ray.asks_for_token(address, 5.0)
    assert asked is (token is not None), "Ray's GCS refuses a caller without a token in another way"
    if token is not None:
        monkeypatch.setenv("RAY_AUTH_TOKEN", token)
    waiting: list[Any] = [acc.remote(num_accs=4, accelerator_type="T4")(nothing).remote() for _ in range(3)]
    waiting += [acc.remote(num_accs=1, accelerator_type="A10G", num_cpus=2)(nothing).remote()]
    group = ray.util.placement_group([{"GPU": 1, "accelerator_type:A10G": 0.001}] * 2, strategy="STRICT_SPREAD")
    one = cluster(aws(t4="g4dn.12xlarge", a10g="g5.xlarge"))
    while True:  # until Ray has told itself; the test's time limit ends it
        state = _ray.cluster_state(address, "head", 5.0)
        if sum(count for _, count in state.requests) == len(waiting) and state.gangs:
            break
    assert state.node_types == {"head": 1}, "Ray marks its head otherwise"

    from accel_scaling.plan.answer import make_plan

    found = make_plan(one, question_of(one, state_of(one, address)))
    assert found.launch == {"t4": 3, "a10g": 3}
    uses = {row.node_type: sorted(row.uses) for row in found.rows}
    assert uses == {"t4": [("T4:4", 3)], "a10g": [("A10G:1", 2), ("A10G:1+CPU:2", 1)], "head": []}
    ray.util.remove_placement_group(group)
    for task in waiting:
        ray.cancel(task, force=True)
