"""Promise equals truth, for every accelerated EC2 type: beside stock Ray, and type by type against the hardware."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from accel_scaling import _ray
from accel_scaling._ray.facts import ACCELERATOR_TYPE_PREFIX
from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.fill.promise import promise_for
from accel_scaling.testing.devices.ec2_machines import ec2_api_record, hardware_of

ROOT = Path(__file__).resolve().parents[2]
ACCELERATED = sorted(name for name, machine in shipped_catalog().machine_types("aws").items() if machine.chip)

# Retired from EC2's API, or never in it: the hardware table alone speaks for them.
RETIRED = ("p2.16xlarge", "p3.2xlarge", "g2.8xlarge", "g3.4xlarge", "g4ad.xlarge", "dl1.24xlarge", "f1.2xlarge")


@pytest.fixture(scope="module")
def side_by_side(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "promises.py", "--json"],
        cwd=tmp_path_factory.mktemp("elsewhere"),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_promise_of_ours_is_what_the_booted_machine_shows(side_by_side):
    assert [row for row in side_by_side if not row["ours_right"]] == []


def test_stock_ray_promises_the_truth_for_forty_nine_of_eighty_six_types(side_by_side):
    # Not a goal: when Ray's or moto's number moves, what the docs say about stock Ray must move with it.
    right = [row["instance_type"] for row in side_by_side if row["stock_right"]]
    assert (len(right), len(side_by_side)) == (49, 86)


def test_the_comparison_covers_every_type_that_the_catalog_gives_an_accelerator(side_by_side):
    compared = {row["instance_type"] for row in side_by_side}
    assert compared <= set(ACCELERATED)
    assert {name for name in ACCELERATED if ec2_api_record(name)} <= compared


def test_the_retired_types_are_in_the_catalog_too():
    assert set(RETIRED) <= set(ACCELERATED)


@pytest.mark.parametrize("name", ACCELERATED)
def test_the_promised_count_is_the_number_of_units_in_the_machine(name):
    machine, hardware = shipped_catalog().machine_type("aws", name), hardware_of(name)
    promised = promise_for(machine).resources[machine.chip.resource]
    assert promised == hardware.count * (hardware.cores_per_device or 1), (name, hardware)


@pytest.mark.parametrize("name", [name for name in ACCELERATED if hardware_of(name).kind == "nvml"])
def test_the_promised_type_is_what_rays_own_rule_reads_from_the_drivers_name(name):
    machine, hardware = shipped_catalog().machine_type("aws", name), hardware_of(name)
    types = _types(name)
    if machine.chip.partition_of:
        assert types == {hardware.driver_name.removeprefix("NVIDIA ")}, "a slice is promised by its own name only"
        assert _ray.nvidia_type_reader()(hardware.driver_name) == machine.chip.partition_of
    else:
        assert _ray.nvidia_type_reader()(hardware.driver_name) in types


@pytest.mark.parametrize("name", [name for name in ACCELERATED if hardware_of(name).kind == "neuron"])
def test_neuron_machines_are_promised_as_rays_own_manager_announces_them(name):
    from ray._private import accelerators

    manager = accelerators.NeuronAcceleratorManager
    machine = shipped_catalog().machine_type("aws", name)
    assert machine.chip.resource == manager.get_resource_name()
    assert manager.get_current_node_accelerator_type() in _types(name)


@pytest.mark.parametrize("name", [name for name in ACCELERATED if hardware_of(name).family not in ("nvidia", "neuron")])
def test_what_has_no_nvidia_driver_is_never_promised_with_an_nvidia_type(name):
    from ray.util.accelerators import accelerators

    nvidia = {value for key, value in vars(accelerators).items() if key.startswith("NVIDIA_")}
    chip, pci_id = shipped_catalog().machine_type("aws", name).chip, hardware_of(name).pci_id
    assert chip.family != "nvidia"
    assert pci_id in chip.pci_ids
    assert not _types(name) & nvidia


def _types(name: str) -> set[str]:
    resources = promise_for(shipped_catalog().machine_type("aws", name)).resources
    return {key.removeprefix(ACCELERATOR_TYPE_PREFIX) for key in resources if key.startswith(ACCELERATOR_TYPE_PREFIX)}
