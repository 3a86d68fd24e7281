"""Contract: where autoscaler v2 and a node learn their machine type, which Ray reads of its own clouds alone."""

from __future__ import annotations

import inspect
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.autoscaler.v2.instance_manager import ray_installer, reconciler
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig

from accel_scaling import _ray
from accel_scaling._ray import facts, machine_type_names
from accel_scaling.boot.announcement import name_machine_type
from accel_scaling.fill.promise import LABEL_INSTANCE_TYPE


@pytest.fixture(autouse=True)
def rays_own() -> Iterator[None]:
    # Before, too: another test of this process may have made a provider as an autoscaler does.
    unwrap()
    yield
    unwrap()


def unwrap() -> None:
    if of_ray := AutoscalingConfig.__dict__.get("_instance_type_of_ray"):
        AutoscalingConfig.get_provider_instance_type = of_ray
        del AutoscalingConfig._instance_type_of_ray


def config_of(provider: str, node_config: dict[str, Any], labels: dict[str, str]) -> AutoscalingConfig:
    node_type = {"node_config": node_config, "labels": labels, "resources": {}}
    content = {"provider": {"type": provider}, "available_node_types": {"w": node_type}, "head_node_type": "w"}
    config = AutoscalingConfig.__new__(AutoscalingConfig)
    config._configs = content
    return config


@pytest.mark.parametrize(
    ("node_config", "machine"),
    [
        ({"InstanceType": "g5.xlarge"}, "g5.xlarge"),
        ({"machineType": "zones/us-central1-a/machineTypes/g2-standard-4"}, "g2-standard-4"),
        ({"acceleratorType": "v4-16"}, "v4-16"),
    ],
)
def test_v2_names_the_machine_type_of_a_node_of_ours(node_config: dict[str, Any], machine: str) -> None:
    config = config_of("external", node_config, {LABEL_INSTANCE_TYPE: machine})
    assert config.get_provider_instance_type("w") == "", "Ray knows it now: machine_type_names.py is needed no more"
    for _ in range(2):  # as two providers in one process
        _ray.name_machine_types(LABEL_INSTANCE_TYPE)
    assert config.get_provider_instance_type("w") == machine
    assert config_of("external", node_config, {}).get_provider_instance_type("w") == ""


def test_rays_own_answer_stays() -> None:
    _ray.name_machine_types(LABEL_INSTANCE_TYPE)
    config = config_of("aws", {"InstanceType": "m5.large"}, {LABEL_INSTANCE_TYPE: "other"})
    assert config.get_provider_instance_type("w") == "m5.large"


def test_all_that_v2_says_of_machine_types_is_asked_of_that_method() -> None:
    assert "get_provider_instance_type" in inspect.getsource(ray_installer.RayInstaller.install_ray)
    assert facts.INSTANCE_TYPE_NAME in inspect.getsource(ray_installer.RayInstaller.install_ray)
    assert hasattr(machine_type_names, "wrap")


@pytest.mark.since(2, 56)
def test_the_cluster_status_is_given_what_that_method_says() -> None:
    filled = inspect.getsource(reconciler.Reconciler._fill_autoscaling_state)
    assert filled.count("instance_type_name=get_provider_instance_type(") == 3


def test_the_raylet_reads_the_variable() -> None:
    raylet = Path(ray.__file__).parent / "core/src/ray/raylet/raylet"
    found = subprocess.run(["grep", "-c", facts.INSTANCE_TYPE_NAME, raylet], capture_output=True, check=False)
    assert found.returncode == 0


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({facts.OVERRIDE_LABELS: f'{{"{LABEL_INSTANCE_TYPE}": "g5.xlarge"}}'}, "g5.xlarge"),
        ({facts.OVERRIDE_LABELS: "{}"}, None),
        ({facts.OVERRIDE_LABELS: "no JSON"}, None),
        ({facts.OVERRIDE_LABELS: "[]"}, None),
        ({}, None),
        ({facts.INSTANCE_TYPE_NAME: "own", facts.OVERRIDE_LABELS: f'{{"{LABEL_INSTANCE_TYPE}": "x"}}'}, "own"),
    ],
)
def test_a_node_that_nobody_told_its_machine_type_reads_it_from_its_labels(
    environment: dict[str, str], named: str | None
) -> None:
    name_machine_type(environment)
    assert environment.get(facts.INSTANCE_TYPE_NAME) == named
