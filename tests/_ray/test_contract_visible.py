"""What the environment leaves visible: our reading is that of Ray's managers, and Ray starts where we confirm."""

from __future__ import annotations

import itertools
import json
import os
from unittest import mock

import pytest
import ray
from hypothesis import example, given
from hypothesis import strategies as st

from accel_scaling._ray import facts
from accel_scaling.boot.compare import compare
from accel_scaling.families.inventory import detect
from accel_scaling.families.registry import built_in, family_of_name
from accel_scaling.families.visible import reading_of
from tests.support.devices import neuron, nvidia
from tests.support.managers import MANAGERS, manager_of

VARIABLES = sorted({facts.TPU_RESOURCE_PER_CHIP, *(name for each in built_in() for name in each.narrowing_variables)})

IDS = st.sampled_from(
    [
        *map(str, range(10)),
        *("-1", "0-3", "", " ", "*", "all", "none", "0.1", "01", "+1", "1e1", "GPU-2a", "MIG-2a"),
        *("npu:0", "npu:1:0-3", "level_zero:0", "level_zero:*", "opencl:0", "level_zero:0;opencl:1"),
    ]
)
VALUES = st.one_of(
    st.sampled_from(["", "NoDevFiles", "0,1,2", "0-3", "-1", "level_zero:0,1", "2", "0"]),
    st.lists(IDS, max_size=6).map(",".join),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12),
)


# Older ones lack managers (Furiosa's, ...), Intel's mask, and units of TPU for each chip.
READS_AS_WE_DO = pytest.mark.skipif(
    tuple(map(int, ray.__version__.split(".")[:2])) < (2, 60), reason="families/visible.py reads as Ray 2.60 does"
)


@READS_AS_WE_DO
def test_every_family_that_ray_detects_is_read_here():
    from ray._private.accelerators import get_all_accelerator_managers

    assert set(MANAGERS) == {family.name for family in built_in() if family.in_ray}
    assert {name for _, name in MANAGERS.values()} == {each.__name__ for each in get_all_accelerator_managers()}


@READS_AS_WE_DO
@given(st.dictionaries(st.sampled_from(VARIABLES), VALUES, max_size=3))
@example({})
@example({"ROCR_VISIBLE_DEVICES": "0"})
@example({"ROCR_VISIBLE_DEVICES": "0", "HIP_VISIBLE_DEVICES": "0,1"})
@example({"ZE_AFFINITY_MASK": "NoDevFiles", "ONEAPI_DEVICE_SELECTOR": "level_zero:0,1"})
@example({"ONEAPI_DEVICE_SELECTOR": "opencl:cpu;level_zero:0,1"})
@example({"FURIOSA_DEVICES": "npu:0, ,npu:3:0-1,"})
@example({"TPU_VISIBLE_CHIPS": "0,,1", "RAY_TPU_RESOURCE_PER_CHIP": "2"})
@example({"TPU_VISIBLE_CHIPS": "0,a", "RAY_TPU_RESOURCE_PER_CHIP": "2"})
@example({"TPU_VISIBLE_CHIPS": "0,1", "RAY_TPU_RESOURCE_PER_CHIP": "0"})
@example({"TPU_VISIBLE_CHIPS": "", "RAY_TPU_RESOURCE_PER_CHIP": "x"})
def test_whatever_the_variables_say_we_read_as_many_units_as_rays_managers(environment):
    for family in MANAGERS:
        ours = reading_of(family_of_name(family), environment)
        with mock.patch.object(os, "environ", environment):
            try:
                rays = manager_of(family).get_current_process_visible_accelerator_ids()
            except (RuntimeError, ValueError):
                # Ray does not start: no unit is visible, and the reading says so.
                assert ours, family
                assert (ours.ids, bool(ours.note)) == ((), True), family
                continue
        assert (ours is None) == (rays is None), family
        assert ours is None or (len(ours.ids), ours.note) == (len(rays), ""), family


@READS_AS_WE_DO
@pytest.mark.parametrize("counted", [*itertools.combinations(facts.GPU_FAMILIES, 1), ("nvidia", "amd"), ()])
def test_of_several_makers_gpus_ray_takes_the_one_manager_that_we_take(monkeypatch, counted):
    from ray._private import accelerators

    monkeypatch.delattr(
        accelerators.get_accelerator_manager_for_resource, "_resource_name_to_accelerator_manager", raising=False
    )
    for family in facts.GPU_FAMILIES:
        count = int(family in counted)
        monkeypatch.setattr(manager_of(family), "get_current_node_num_accelerators", staticmethod(lambda n=count: n))
    expected = next((name for name in facts.GPU_FAMILIES if name in counted), "nvidia")
    try:
        assert accelerators.get_accelerator_manager_for_resource(facts.GPU) is manager_of(expected)
    finally:
        del accelerators.get_accelerator_manager_for_resource._resource_name_to_accelerator_manager


def test_the_gpu_families_are_those_whose_resource_is_gpu():
    assert set(facts.GPU_FAMILIES) == {family.name for family in built_in() if family.resource == facts.GPU}


# In one process per machine, as Ray's detection is cached: the promise, and values of the variable one after another.
RESOLVE = """
import json, os, sys
from ray._private.resource_and_label_spec import ResourceAndLabelSpec
variable, values, promise = json.loads(sys.argv[1])
for value in values:
    os.environ.pop(variable, None) if value is None else os.environ.__setitem__(variable, value)
    answers = []
    for override in (promise, None):
        os.environ.pop("RAY_OVERRIDE_RESOURCES", None)
        if override:
            os.environ["RAY_OVERRIDE_RESOURCES"] = json.dumps(override)
        try:
            spec = ResourceAndLabelSpec().resolve(is_head=False, node_ip_address="127.0.0.1")
            answers.append(spec.to_resource_dict().get(next(iter(promise)), 0))
        except ValueError as error:
            answers.append(str(error))
    print(json.dumps(answers))
"""
GPUS = [None, "0,1,2,3", "3,2,1,0", "0,1,2", "0", "", "NoDevFiles", "0-3", "GPU-1,GPU-2,GPU-3,MIG-4", "0,1,2,3,4,5"]


@pytest.mark.parametrize(
    ("machine", "question"),
    [
        (nvidia(4, "Tesla T4", "10de:1eb8"), ("CUDA_VISIBLE_DEVICES", GPUS, {"GPU": 4, "accelerator_type:T4": 1})),
        (neuron(2), ("NEURON_RT_VISIBLE_CORES", [None, "0,1,2,3,4,5,6,7", "0-7", "0,1", ""], {"neuron_cores": 8})),
    ],
    ids=["nvidia", "neuron"],
)
def test_ray_starts_with_the_promise_where_we_confirm_it_and_announces_what_detect_says(
    boot, monkeypatch, machine, question
):
    variable, values, promise = question
    done = boot(machine).python(RESOLVE, json.dumps(question))
    assert done.returncode == 0, done.stderr
    for value, line in zip(values, done.stdout.splitlines(), strict=True):
        monkeypatch.delenv(variable, raising=False)
        if value is not None:
            monkeypatch.setenv(variable, value)
        (device,) = detect()
        promised, alone = json.loads(line)
        verdict = compare(promise, [device])
        assert isinstance(promised, int | float) is verdict.confirmed, (value, promised, verdict.message)
        if machine.kind == "nvidia":  # for neuron-ls Ray looks by a fixed path, where there is none here
            assert device.ray_units == alone, value
