"""What num_accs and accelerator_type become for Ray, and what is refused: no cluster is needed for that."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import accel_scaling as acc
from accel_scaling import _ray, accelerators
from accel_scaling.accs.request import AccRequest, ray_options
from accel_scaling.accs.types import AcceleratorTypes
from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.catalog.model import Chip
from accel_scaling.errors import AccelScalingError, AskingError

KNOWN = AcceleratorTypes(shipped_catalog().chips)
CONSTANTS = {name: value for name, value in vars(accelerators).items() if name.isupper() or name.startswith("AMD_")}


@pytest.mark.parametrize(
    ("asked", "options"),
    [
        ({"num_accs": 1, "accelerator_type": "T4"}, {"num_gpus": 1, "accelerator_type": "T4"}),
        ({"num_accs": 0.5, "accelerator_type": "A100-80G"}, {"num_gpus": 0.5, "accelerator_type": "A100-80G"}),
        ({"num_accs": 1, "accelerator_type": "AMD-Instinct-MI300X-OAM"}, {"num_gpus": 1}),
        ({"num_accs": 2, "accelerator_type": "Trainium2"}, {"resources": {"neuron_cores": 2}}),
        ({"num_accs": 2, "accelerator_type": "aws-neuron-core"}, {"resources": {"neuron_cores": 2}}),
        ({"num_accs": 4, "accelerator_type": "TPU-V4"}, {"resources": {"TPU": 4}}),
        ({"num_accs": 8, "accelerator_type": "Intel-GAUDI"}, {"resources": {"HPU": 8}}),
        ({"num_accs": 1, "accelerator_type": "VU47P"}, {"resources": {"FPGA": 1}}),
        ({"num_accs": 0, "accelerator_type": "T4"}, {"num_gpus": 0}),
        ({"num_accs": 0, "accelerator_type": "TPU-V2"}, {}),  # Ray refuses `TPU: 0`
        ({"num_accs": 0, "accelerator_type": "TPU-V2", "resources": {"mine": 1}}, {"resources": {"mine": 1}}),
        ({"num_accs": 0, "accelerator_type": "Trainium2"}, {"resources": {"neuron_cores": 0}}),
        ({"accelerator_type": "L4"}, {"accelerator_type": "L4"}),
        ({"num_accs": 0}, {}),
        ({}, {}),
    ],
)
def test_the_resource_is_that_of_the_types_family(asked: dict[str, Any], options: dict[str, Any]) -> None:
    expected = {"accelerator_type": asked["accelerator_type"], **options} if "accelerator_type" in asked else options
    assert acc.options(**asked) == expected


def test_a_type_in_another_case_is_never_guessed_where_two_are_meant() -> None:
    known = AcceleratorTypes({name: Chip(name, "nvidia", "GPU", name) for name in ("T4g", "T4G", "T5")})
    assert [known.spelt(name) for name in ("t5", "T4g", "t4g", "T6")] == ["T5", "T4g", "t4g", "T6"]
    with pytest.raises(AskingError, match=r"'t4g'; did you mean T4G or T4g\?$"):
        known.resource_of(["t4g"])
    with pytest.raises(AskingError, match=r"'a100'; did you mean A100\?$"):
        acc.options(num_accs=1, accelerator_type="a100")


def test_every_other_option_passes_through_and_resources_are_added_to() -> None:
    options = acc.options(
        num_accs=1, accelerator_type="Trainium2", num_cpus=2, resources={"mine": 1}, max_retries=0, runtime_env={}
    )
    assert options.pop("resources") == {"mine": 1, "neuron_cores": 1}
    assert options == {"accelerator_type": "Trainium2", "num_cpus": 2, "max_retries": 0, "runtime_env": {}}


def test_a_list_becomes_label_selectors_in_the_order_of_preference() -> None:
    options = acc.options(
        num_accs=8, accelerator_type=["H100", "A100-80G"], label_selector={"ray.io/market-type": "spot"}
    )
    assert options == {
        "num_gpus": 8,
        "label_selector": {"ray.io/market-type": "spot", "ray.io/accelerator-type": "H100"},
        "fallback_strategy": [
            {"label_selector": {"ray.io/market-type": "spot", "accel-scaling.io/accelerator-variant": "A100-80G"}}
        ],
    }
    assert acc.options(accelerator_type=["H100"]) == acc.options(accelerator_type="H100")


def test_each_choice_is_asked_by_the_label_that_a_node_with_it_is_promised() -> None:
    from accel_scaling.fill.promise import promise_for

    catalog = shipped_catalog()
    for name, (resource, label) in KNOWN.types.items():
        machines = [
            machine for cloud in catalog.clouds for machine in catalog.machine_types(cloud).values() if machine.chip
        ]
        promises = [promise_for(machine) for machine in machines]
        having = [promise for promise in promises if f"accelerator_type:{name}" in promise.resources]
        assert all(resource in promise.resources for promise in having)
        assert all(promise.labels[label] == name for promise in having)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"num_accs": 1.5, "accelerator_type": "T4"}, "above 1, Ray accepts whole numbers only; ask for 1 or 2"),
        ({"num_accs": 0.5, "accelerator_type": "Trainium2"}, "a neuron core is not shared between tasks; ask for 1"),
        ({"num_accs": 0.5, "accelerator_type": "TPU-V4"}, "a task can have 1, 2, 4, 8 of the TPU chips of a host"),
        ({"num_accs": 3, "accelerator_type": "TPU-V4"}, "a task can have 1, 2, 4, 8 of the TPU chips of a host"),
        ({"num_accs": 0.5, "accelerator_type": "Intel-GAUDI"}, "a HPU is not shared between tasks"),
        ({"num_accs": -1, "accelerator_type": "T4"}, "num_accs=-1 is negative"),
        ({"num_accs": float("nan"), "accelerator_type": "T4"}, "num_accs=nan is not a number of accelerators"),
        ({"num_accs": True, "accelerator_type": "T4"}, "num_accs=True is not a number of accelerators"),
        ({"num_accs": "1", "accelerator_type": "T4"}, "num_accs='1' is not a number of accelerators"),
        ({"num_accs": 1, "accelerator_type": 4}, "accelerator_type=4 is not an accelerator type"),
        ({"num_accs": 1, "accelerator_type": ""}, "accelerator_type='' is not an accelerator type"),
        ({"num_accs": 1, "accelerator_type": ["T4", None]}, "is not an accelerator type; name one, or a list of them"),
        ({"accelerator_type": "A100-80"}, "no node announces accelerator_type 'A100-80'; nearest: A100-80G"),
        ({"accelerator_type": "nvidia-tesla-t4"}, "'nvidia-tesla-t4'; did you mean T4?"),
        ({"accelerator_type": "NVIDIA A100-SXM4-80GB"}, "did you mean A100-80G?"),
        ({"accelerator_type": acc.APPLE_SILICON}, "no node announces accelerator_type 'Apple-Silicon'"),
        ({"accelerator_type": ["T4", "Trainium2"]}, "T4 as GPU and Trainium2 as neuron_cores; list types of one"),
        ({"num_accs": 1, "num_gpus": 1, "accelerator_type": "T4"}, "num_accs and num_gpus both set"),
        (
            {"num_accs": 1, "resources": {"TPU": 1}, "accelerator_type": "TPU-V4"},
            "num_accs and resources={'TPU': ...} both set the number of accelerators; remove one of them",
        ),
        (
            {"accelerator_type": ["T4", "L4"], "fallback_strategy": [{"label_selector": {"a": "b"}}]},
            "becomes Ray's fallback_strategy, and you also give one",
        ),
        (
            {"accelerator_type": ["T4", "L4"], "label_selector": {"ray.io/accelerator-type": "H100"}},
            "label_selector['ray.io/accelerator-type'] contradicts accelerator_type",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence_where_it_is_written(asked: dict[str, Any], sentence: str) -> None:
    for ask in (lambda: acc.options(**asked), lambda: acc.remote(**asked)):
        with pytest.raises(AskingError) as refused:
            ask()
        assert sentence in str(refused.value)
        assert isinstance(refused.value, ValueError)  # as what Ray raises for a wrong option
        assert isinstance(refused.value, AccelScalingError)


def test_without_a_type_options_need_a_cluster_and_remote_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_ray, "is_connected", lambda: False)
    with pytest.raises(AskingError, match=r"known only after ray\.init\(\); call it first, or name an"):
        acc.options(num_accs=1)
    with pytest.raises(AskingError, match=r"known only after ray\.init\(\)"):
        acc.bundle(1)

    @acc.remote(num_accs=1)
    def later() -> None:
        """Say nothing."""

    assert (later.__name__, later.__doc__) == ("later", "Say nothing.")
    with pytest.raises(TypeError, match=r"later is remote: call later\.remote\(\.\.\.\)"):
        later()
    with pytest.raises(AskingError, match="above 1, Ray accepts whole numbers only"):
        later.options(num_accs=1.5)
    with pytest.raises(AskingError, match="is not a number of accelerators"):
        acc.remote(num_accs="many")


def test_a_bundle_holds_resources_only() -> None:
    assert acc.bundle(8, "H100", CPU=96) == {"CPU": 96, "GPU": 8, "accelerator_type:H100": 0.001}
    assert acc.bundle(4, "TPU-V4") == {"TPU": 4, "accelerator_type:TPU-V4": 0.001}
    assert acc.bundle(CPU=1) == {"CPU": 1}
    with pytest.raises(AskingError, match="takes one accelerator_type, not a list"):
        acc.bundle(1, ["H100", "T4"])  # type: ignore[arg-type]
    with pytest.raises(AskingError, match="num_accs and GPU both set"):
        acc.bundle(1, "H100", GPU=1)
    with pytest.raises(AskingError, match="a neuron core is not shared"):
        acc.bundle(0.5, "Trainium2")


def test_every_type_that_a_node_announces_has_a_constant() -> None:
    assert set(CONSTANTS.values()) - {"Apple-Silicon"} == set(KNOWN.types)
    assert len(set(CONSTANTS.values())) == len(CONSTANTS)
    assert acc.NVIDIA_TESLA_V100 == "V100"


def test_rays_names_have_rays_values_but_for_one_that_no_node_announces() -> None:
    from ray.util.accelerators import accelerators as rays

    names = {name: value for name, value in vars(rays).items() if isinstance(value, str) and not name.startswith("_")}
    ours = {name: getattr(acc, name) for name in names}
    assert {name for name in names if ours[name] != names[name]} == {"AMD_INSTINCT_MI308x"}
    from ray._private.accelerators.amd_gpu import amd_product_dict

    assert names["AMD_INSTINCT_MI308x"] not in amd_product_dict.values()
    assert ours["AMD_INSTINCT_MI308x"] in amd_product_dict.values()


@example(0, ["TPU-V2"])
@given(
    st.one_of(st.none(), st.integers(0, 16), st.floats(0.0001, 1)),
    st.lists(st.sampled_from(sorted(KNOWN.types)), max_size=3, unique=True),
)
def test_whatever_is_accepted_is_what_ray_accepts(num_accs: float | None, types: list[str]) -> None:
    from ray._common.ray_option_utils import validate_actor_options, validate_task_options

    try:
        options = acc.options(num_accs=num_accs, accelerator_type=types) if types else {}
    except AskingError:
        return
    validate_task_options(options, in_options=False)
    validate_actor_options(options, in_options=False)


def test_a_task_with_tpu_chips_can_be_called_once_without_any() -> None:
    @acc.remote(num_accs=4, accelerator_type="TPU-V4")
    def task() -> None: ...

    assert task._default_options["resources"] == {"TPU": 4}
    task.options(num_accs=0)  # Ray checks the options here


def test_what_was_decided_in_one_cluster_does_not_travel_into_another() -> None:
    late = acc.remote(num_accs=1)(int)
    late._worker = late._remote = object()
    copied = pickle.loads(pickle.dumps(late))
    assert (copied._worker, copied._remote) == (None, None)
    assert late._remote is not None


def test_nothing_of_ray_is_imported_before_it_is_needed() -> None:
    code = (
        "import json, sys, accel_scaling as acc\n"
        "acc.options(num_accs=1, accelerator_type=acc.NVIDIA_L4)\n"
        "acc.remote(num_accs=1)\n"
        "print(json.dumps(sorted({'ray', 'boto3', 'yaml'} & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["yaml"]


def test_the_request_is_pure() -> None:
    others = {"resources": {"mine": 1}, "label_selector": {"a": "b"}}
    before = json.dumps(others)
    ray_options(AccRequest(1, ("Trainium2", "Trainium")), "neuron_cores", others, KNOWN)
    assert json.dumps(others) == before
