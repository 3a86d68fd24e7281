"""What we take for granted about Ray where plug-in families are told to it.

The rest of tests/_ray/test_contract.py. Registering changes Ray permanently in a process, so each question has its own.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from accel_scaling import _ray
from accel_scaling.families.registration import WORKERS_MODULE, announce, rays_unit_resources
from accel_scaling.families.registry import built_in

ADD = """
import json, os
import ray
from accel_scaling import _ray
from ray._private import accelerators

def add(shared=True, look=lambda: (4, "Ferrum-N1")):
    make = lambda: _ray.accelerator_manager("FERRUM", "FERRUM_VISIBLE_DEVICES", shared=shared, look=look)
    _ray.add_accelerator_managers({"FERRUM": make})
"""


def answer(code: str) -> Any:
    done = subprocess.run([sys.executable, "-c", ADD + code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_manager_answers_all_that_ray_asks_of_one():
    manager = _ray.accelerator_manager("FERRUM", "FERRUM_VISIBLE_DEVICES", shared=True, look=lambda: (4, "Ferrum-N1"))
    assert manager.__abstractmethods__ == frozenset(), "Ray asks managers for more: add it to _ray.accelerator_manager"
    assert manager.get_resource_name() == "FERRUM"
    assert manager.get_visible_accelerator_ids_env_var() == "FERRUM_VISIBLE_DEVICES"
    assert manager.get_current_node_num_accelerators() == 4
    assert manager.get_current_node_accelerator_type() == "Ferrum-N1"
    assert manager.get_current_node_additional_resources() is None


@pytest.mark.parametrize(
    ("text", "ids"), [(None, None), ("", []), ("0", ["0"]), ("2,3", ["2", "3"]), ("2,", ["2"])]
)  # fmt: skip
def test_the_variable_is_read_as_rays_own_managers_read_theirs(monkeypatch, text, ids):
    manager = _ray.accelerator_manager("FERRUM", "FERRUM_VISIBLE_DEVICES", shared=True, look=lambda: (0, None))
    monkeypatch.delenv("FERRUM_VISIBLE_DEVICES", raising=False)
    if text is not None:
        monkeypatch.setenv("FERRUM_VISIBLE_DEVICES", text)
    assert manager.get_current_process_visible_accelerator_ids() == ids


@pytest.mark.parametrize("before", ["", "accelerators.get_accelerator_manager_for_resource('GPU')"])
def test_ray_finds_an_added_manager_whether_or_not_it_has_looked_before(before):
    resources, name, names = answer(f"""
{before}
add(); add()
print(json.dumps([
    sorted(accelerators.get_all_accelerator_resource_names()),
    accelerators.get_accelerator_manager_for_resource("FERRUM").__name__,
    sorted(manager.__name__ for manager in accelerators.get_all_accelerator_managers()),
]))""")
    assert set(resources) == {family.resource for family in built_in() if family.in_ray} | {"FERRUM"}
    assert name == "FERRUMAcceleratorManager"
    assert names.count(name) == 1, "registering twice adds a second manager"


def test_a_worker_that_is_there_already_learns_what_it_would_have_read():
    before, after = answer("""
worker = ray._private.worker.global_worker
before = "FERRUM" in worker.original_visible_accelerator_ids
os.environ["FERRUM_VISIBLE_DEVICES"] = "2,3"
add()
print(json.dumps([before, worker.original_visible_accelerator_ids["FERRUM"]]))""")
    assert before is False
    assert after == ["2", "3"], "Ray keeps what a worker may see elsewhere: narrowed variables break"


@pytest.mark.parametrize(
    ("shared", "quantity", "sentence"),
    [
        (False, 0.5, "FERRUM is given as whole devices only, and 0.5 is not a whole number: ask for 1"),
        (False, 1.5, "FERRUM is given as whole devices only, and 1.5 is not a whole number: ask for 2"),
        (True, 1.5, "FERRUM is given as parts of one device or as whole devices, and 1.5 is neither: ask for 2"),
        (True, 0.5, None),
        (True, 3, None),
        (False, 2.0, None),
    ],
)
def test_ray_asks_a_manager_about_a_quantity_before_anything_is_submitted(shared, quantity, sentence):
    said = answer(f"""
add(shared={shared})
said = []
wanted = {{"FERRUM": {quantity}}}
for ask in (ray.remote(resources=wanted), lambda f: ray.remote(f).options(resources=wanted)):
    try:
        ask(lambda: None)
        said.append(None)
    except ValueError as error:
        said.append(str(error))
print(json.dumps(said))""")
    assert [sentence is None if each is None else sentence in each for each in said] == [True, True], said


def test_the_raylets_own_list_of_resources_with_ids_is_the_one_that_we_add_to():
    import ray

    raylet = (Path(ray.__file__).parent / "core/src/ray/raylet/raylet").read_bytes()
    (listed,) = re.findall(rb"\0(neuron_cores,[A-Z_a-z,]+)\0", raylet)
    assert sorted(listed.decode().split(",")) == sorted(rays_unit_resources()), "correct the families' in_ray"
    for variable in (_ray.UNIT_RESOURCES, _ray.PRELOADED_MODULES):
        assert variable.encode() in raylet, f"the raylet no longer reads {variable}"


def test_what_the_user_set_stays_and_twice_is_as_once():
    environment = {_ray.UNIT_RESOURCES: "TPU,MINE", _ray.PRELOADED_MODULES: "torch"}
    announce(["FERRUM"], environment)
    announce(["FERRUM"], environment)
    assert environment == {
        _ray.UNIT_RESOURCES: "TPU,MINE,FERRUM",
        _ray.PRELOADED_MODULES: f"torch,{WORKERS_MODULE}",
    }
    fresh: dict[str, str] = {}
    announce(["FERRUM"], fresh)
    assert fresh[_ray.UNIT_RESOURCES] == ",".join([*rays_unit_resources(), "FERRUM"])
