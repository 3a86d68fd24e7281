"""Accelerators in tasks and actors, on real Ray: who gets which ids, and what continues working as in Ray."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
import ray

import accel_scaling as acc
from accel_scaling import _ray
from accel_scaling.accs import connected_cluster
from accel_scaling.errors import AskingError

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("two_t4")]

SOON_S = 60


def seen() -> tuple[list[str], str | None]:
    """What a task is given: its ids, and the variable that its libraries read."""
    return acc.get_acc_ids(), os.environ.get("CUDA_VISIBLE_DEVICES")


@pytest.fixture(name="typed")
def typed_fixture() -> Any:
    return acc.remote(num_accs=1, accelerator_type=acc.NVIDIA_TESLA_T4)(seen)


@pytest.fixture(name="untyped")
def untyped_fixture() -> Any:
    return acc.remote(num_accs=1)(seen)


@pytest.mark.parametrize("which", ["typed", "untyped"])
def test_a_task_gets_its_ids_and_the_variable(which: str, request: pytest.FixtureRequest) -> None:
    task = request.getfixturevalue(which)
    ids, variable = ray.get(task.remote(), timeout=SOON_S)
    assert (len(ids), variable) == (1, ids[0])
    assert ray.get(task.options(num_accs=2).remote(), timeout=SOON_S) == (["0", "1"], "0,1")
    assert len(ray.get(task.options(num_accs=0.5).remote(), timeout=SOON_S)[0]) == 1
    assert ray.get(task.options(num_accs=0).remote(), timeout=SOON_S)[0] == []


@acc.remote(num_accs=0.5, accelerator_type="T4", num_cpus=0)
class Half:
    """An actor with half a device."""

    def seen(self) -> tuple[list[str], str | None]:
        return seen()


@acc.remote(num_accs=1, num_cpus=0)
class Whole:
    """An actor with a device of whatever family there is."""

    def seen(self) -> tuple[list[str], str | None]:
        return seen()


def test_actors_of_a_half_share_a_device_and_release_it() -> None:
    halves = [Half.remote() for _ in range(4)]
    given = [ids for ids, _ in ray.get([half.seen.remote() for half in halves], timeout=SOON_S)]
    assert sorted(given) == [["0"], ["0"], ["1"], ["1"]]
    for half in halves:
        ray.kill(half)
    whole = Whole.options(num_accs=2).remote()
    assert ray.get(whole.seen.remote(), timeout=SOON_S) == (["0", "1"], "0,1")
    ray.kill(whole)
    named = Whole.options(name="w").remote()
    assert len(ray.get(named.seen.remote(), timeout=SOON_S)[0]) == 1
    ray.kill(named)


def test_the_result_is_rays_own_function_or_class_and_raw_options_still_count(typed: Any) -> None:
    from ray.actor import ActorClass
    from ray.remote_function import RemoteFunction

    assert isinstance(typed, RemoteFunction)
    assert isinstance(Half, ActorClass)
    assert ray.get(typed.options(num_gpus=2).remote(), timeout=SOON_S)[0] == ["0", "1"]
    assert ray.get(typed.options(num_gpus=0, accelerator_type=None).remote(), timeout=SOON_S)[0] == []
    with pytest.raises(ValueError, match="Invalid option keyword num_acs"):
        typed.options(num_acs=2)
    assert ray.get(ray.remote(**acc.options(num_accs=0.5))(seen).remote(), timeout=SOON_S)[1] in ("0", "1")
    assert ray.get(acc.remote(seen).remote(), timeout=SOON_S)[0] == []


def test_a_change_of_the_type_takes_back_what_the_old_one_asked(typed: Any) -> None:
    asked: list[dict[str, Any]] = []

    class Spy(type(typed)):  # type: ignore[misc]
        def options(self, **options: Any) -> Any:
            asked.append(options)

    typed.__class__ = Spy
    typed.options(accelerator_type="Trainium2", num_accs=2)
    typed.options(accelerator_type=["L4", "T4"])
    typed.options(num_accs=None, accelerator_type=None)
    nothing = dict.fromkeys(("num_gpus", "accelerator_type"))
    assert asked == [
        {"num_gpus": None, "resources": {"neuron_cores": 2}, "accelerator_type": "Trainium2"},
        {
            "accelerator_type": None,
            "num_gpus": 1,
            "label_selector": {"ray.io/accelerator-type": "L4"},
            "fallback_strategy": [{"label_selector": {"ray.io/accelerator-type": "T4"}}],
        },
        nothing,
    ]


def test_the_next_choice_is_taken_where_the_first_is_sold_out(untyped: Any) -> None:
    choice = untyped.options(accelerator_type=["H100", "A100-80G", "T4"])
    assert len(ray.get(choice.remote(), timeout=SOON_S)[0]) == 1


def test_v1_of_the_autoscaler_is_told_apart(monkeypatch: pytest.MonkeyPatch, untyped: Any) -> None:
    monkeypatch.setattr(_ray, "kv_get", {connected_cluster.KEY: '{"autoscaler": "v1", "node_types": {}}'}.get)
    with pytest.raises(AskingError, match="this cluster's autoscaler is v1, which has no order of preference"):
        untyped.options(accelerator_type=["H100", "T4"]).remote()
    assert untyped.options(accelerator_type="T4").remote() is not None


def test_what_the_cluster_can_launch_counts_as_what_it_has(monkeypatch: pytest.MonkeyPatch, untyped: Any) -> None:
    node_types = '{"autoscaler": "v2", "node_types": {"trn": {"neuron_cores": 64, "accelerator_type:Trainium2": 1}}}'
    monkeypatch.setattr(_ray, "kv_get", {connected_cluster.KEY: node_types}.get)
    with pytest.raises(AskingError) as refused:
        untyped.remote()
    assert str(refused.value) == (
        "num_accs=1 can mean several families of accelerators in this cluster: neuron_cores (Trainium2), GPU (T4); "
        "name an accelerator_type"
    )


def test_they_are_passed_to_tasks_and_made_in_tasks(typed: Any, untyped: Any) -> None:
    @ray.remote(num_cpus=0)
    def use(function: Any, actor: Any) -> tuple[int, int]:
        made = actor.options(num_accs=1).remote()
        ids = ray.get(function.options(num_accs=1).remote())[0], ray.get(made.seen.remote())[0]
        ray.kill(made)
        return len(ids[0]), len(ids[1])

    for function, actor in ((typed, Half), (untyped, Whole)):
        assert ray.get(use.remote(function, actor), timeout=SOON_S) == (1, 1)


def test_a_bundle_reserves_devices() -> None:
    group = ray.util.placement_group([acc.bundle(1, "T4", CPU=1), acc.bundle(1)])
    ray.get(group.ready(), timeout=SOON_S)
    strategy = ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy(group)
    inside = acc.remote(num_accs=1, num_cpus=0, scheduling_strategy=strategy)(seen)
    assert len(ray.get(inside.remote(), timeout=SOON_S)[0]) == 1
    ray.util.remove_placement_group(group)


NARROWED = """
import json, os
import ray
import accel_scaling as acc

def hook():
    os.environ["HOOKED"] = "1"

ray.init(num_cpus=4, num_gpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR",
         runtime_env={"worker_process_setup_hook": hook, "env_vars": {"OWN": "2"}})

@acc.remote(num_accs=1)
def one():
    return acc.get_acc_ids(), [os.environ.get(name) for name in ("CUDA_VISIBLE_DEVICES", "HOOKED", "OWN")]

@acc.remote(num_accs=2)
class Both:
    def seen(self):
        return acc.get_acc_ids(), os.environ.get("CUDA_VISIBLE_DEVICES")

print("RESULT", json.dumps([ray.get(one.remote()), ray.get(Both.remote().seen.remote())]))
"""


def test_a_narrowed_variable_a_setup_hook_and_a_runtime_env_keep_working() -> None:
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "5,7"}
    done = subprocess.run([sys.executable, "-c", NARROWED], env=environment, capture_output=True, text=True, check=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))
    (ids, (visible, hooked, own)), both = json.loads(line.removeprefix("RESULT "))
    assert (hooked, own) == ("1", "2")
    assert ids in (["5"], ["7"])
    assert visible == ids[0]
    assert sorted(both[0]) == ["5", "7"]
    assert both[1] == ",".join(both[0]), "the first id is the framework's device 0"


AGAIN = """
import ray
import accel_scaling as acc

@acc.remote(num_accs=1)
def one():
    return acc.get_acc_ids()

for resources in ({"num_gpus": 1}, {"num_gpus": 0, "resources": {"neuron_cores": 2}}):
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR", **resources)
    print("RESULT", ray.get(one.remote()), ray.get(one.remote()))
    ray.shutdown()
"""


def test_another_cluster_is_asked_again() -> None:
    done = subprocess.run([sys.executable, "-c", AGAIN], capture_output=True, text=True, check=True)
    said = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert said == ["RESULT ['0'] ['0']"] * 2, "a GPU in the first, a Neuron core in the second"
