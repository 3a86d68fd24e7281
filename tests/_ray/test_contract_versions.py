"""Each row of the table of versions, asked of the installed Ray: it is there since that minor, and not one below."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

from accel_scaling._ray import versions


def text_of(module: str) -> str:
    return inspect.getsource(importlib.import_module(module))


def schema_of(*path: str) -> Any:
    """Return a part of Ray's schema of a cluster file; `*` is a name of the user's."""
    part = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text(encoding="utf-8"))
    for word in path:
        (part,) = part["patternProperties"].values() if word == "*" else [part["properties"][word]]
    return part["properties"]


# For each row, whether the installed Ray has it.
ASKED: dict[str, Callable[[], bool]] = {
    "bundle_selectors": lambda: "gang_req.bundle_selectors" in text_of("ray.autoscaler.v2.scheduler"),
    "fallback_strategy": lambda: "fallback_strategy" in text_of("ray._common.ray_option_utils"),
    "named_config_cache": lambda: '"_config_cache_path"' in text_of("ray.autoscaler._private.commands"),
    "group_fields": lambda: (
        'group_spec.get("resources"' in text_of("ray.autoscaler._private.kuberay.autoscaling_config")
    ),
    "tokens": (Path(ray.__file__).parent / "_private" / "authentication").is_dir,
    "priority": lambda: "priority" in schema_of("available_node_types", "*"),
    "nodes_for_teardown": lambda: "provider.nodes_for_teardown(" in text_of("ray.autoscaler._private.commands"),
    "amdsmi": lambda: "amdsmi_init(" in text_of("ray._private.thirdparty.pyamdsmi.pyamdsmi"),
    "rtx_pro_names": lambda: (
        importlib.import_module("ray._private.accelerators").NvidiaGPUAcceleratorManager._gpu_name_to_accelerator_type(
            "NVIDIA RTX PRO 6000 Blackwell Server Edition"
        )
        == "RTX-PRO-6000"
    ),
    "ze_affinity_mask": lambda: "ZE_AFFINITY_MASK" in text_of("ray._private.accelerators.intel_gpu"),
    "ssh_proxy_use_node_id": lambda: "ssh_proxy_use_node_id" in schema_of("auth"),
    "short_launch": lambda: "remaining_launch_failures" in text_of("ray.autoscaler.v2.instance_manager.reconciler"),
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.since(*versions.SINCE[name])) for name in ASKED])
def test_ray_has_it_since_the_minor_of_its_row(name: str) -> None:
    assert ASKED[name](), f"Ray {ray.__version__} has no {name}: correct its row in _ray/versions.py"


@pytest.mark.parametrize("name", ASKED)
def test_has_says_what_the_installed_ray_has(name: str) -> None:
    assert ASKED[name]() is versions.has(name)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.since(*since)) for name, since in versions.TPU_SINCE.items()]
)
def test_a_generation_of_tpus_is_known_since_the_minor_of_its_row(name: str) -> None:
    tpu = importlib.import_module("ray._private.accelerators.tpu")
    assert name in tpu.VALID_TPU_TYPES


def test_each_row_is_asked_about() -> None:
    assert ASKED.keys() == versions.SINCE.keys()
