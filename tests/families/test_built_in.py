"""The registry of built-in families, and a made-up family that is added to it as CONTRIBUTING.md says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.catalog.node_images import NO_ACCELERATOR
from accel_scaling.cluster.node_needs import needs
from accel_scaling.families import built_in as folder
from accel_scaling.families.registry import built_in
from tests.support.contributing import GIT, follow
from tests.support.kuberay import manifest

if TYPE_CHECKING:
    from collections.abc import Callable

MACHINE = """
import json, sys
from pathlib import Path
from accel_scaling.testing.devices.device_faults import with_fault
from accel_scaling.testing.devices.device_files import install
from accel_scaling.testing.devices.ec2_machines import hardware_of
hardware = hardware_of("q1.4xlarge")
print(json.dumps(install(Path(sys.argv[1]), with_fault(hardware, sys.argv[2]) if sys.argv[2] else hardware)))
"""
REGISTERED = """
from accel_scaling.families import register
register()
from ray._private import accelerators
manager = accelerators.get_accelerator_manager_for_resource("QUASAR")
print(manager.get_current_node_num_accelerators(), manager.get_current_node_accelerator_type())
"""
CLUSTER = """
cluster_name: quasar
max_workers: 1
provider:
  type: external
  module: accel_scaling.providers.aws.AWSAcceleratorNodeProvider
  region: us-west-2
head_node_type: head
available_node_types:
  head: {node_config: {InstanceType: m5.large}}
  quasar: {max_workers: 1, node_config: {InstanceType: q1.4xlarge, ImageId: ami-0123456789abcdef0}}
docker: {image: "rayproject/ray:2.60.0", container_name: ray}
setup_commands: []
head_setup_commands: []
worker_setup_commands: []
"""


@pytest.fixture(name="clone", scope="module")
def clone_fixture(tmp_path_factory) -> Path:
    """A copy of the repository with the family of the guide."""
    return follow(tmp_path_factory.mktemp("contributed") / "clone", "family")


@pytest.fixture(name="quasar")
def quasar_fixture(clone, tmp_path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Boot a q1.4xlarge and run Python of the copy there."""

    def run(*words: str, fault: str = "") -> subprocess.CompletedProcess[str]:
        root = tmp_path / f"machine-{fault}"
        environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(clone)}
        made = python(environment, "-c", MACHINE, str(root), fault)
        assert made.returncode == 0, made.stderr
        return python({**environment, **json.loads(made.stdout), "PYTHONPATH": str(clone)}, *words)

    def python(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    return run


def test_each_module_of_the_folder_has_the_family_of_its_name():
    modules = {entry.stem for entry in Path(folder.__file__).parent.iterdir()} - {"__init__", "__pycache__"}
    assert {family.name for family in built_in()} == modules


def test_each_family_has_a_row_chips_and_names_of_its_own():
    assert {family.name for family in built_in()} == needs().keys() - {NO_ACCELERATOR}
    of_chips = {(chip.family, chip.resource) for chip in shipped_catalog().chips.values()}
    assert {(family.name, family.resource) for family in built_in()} == of_chips


def test_what_a_reviewer_sees_of_a_new_family_is_one_file_and_its_rows(clone):
    subprocess.run([*GIT, "add", "-A"], cwd=clone, check=True)
    told = subprocess.run(
        [*GIT, "diff", "--cached", "--numstat"], cwd=clone, capture_output=True, text=True, check=True
    )
    changed = {path: int(added) for added, _, path in map(str.split, told.stdout.splitlines())}
    assert changed == {
        "accel_scaling/families/built_in/quasar.py": 12,
        "accel_scaling/testing/devices/hardware.csv": 1,
        "catalogs/accelerators.yaml": 3,
        "catalogs/aws.csv": 1,
        "catalogs/kuberay_resources.csv": 1,
        "catalogs/node_families.csv": 1,
    }


def test_catalog_check_takes_the_family(quasar):
    done = quasar("-m", "accel_scaling", "catalog", "check")
    assert (done.returncode, done.stdout[:4]) == (0, "ok: "), done.stdout + done.stderr


def test_detect_shows_its_devices(quasar):
    done = quasar("-m", "accel_scaling", "detect")
    assert done.stdout.splitlines() == [
        "4 x Quasar-Q1",
        "  PCI bus: 4 x fe01:0001",
        "  driver: 4 of /dev/quasar0, ...",
        "  Ray: announces QUASAR: 4, accelerator_type:Quasar-Q1",
    ], done.stderr


def test_detect_says_that_there_is_none(quasar):
    assert "Quasar NPU" in quasar("-m", "accel_scaling", "detect", fault="no-device").stdout.split("neither on")[1]


@pytest.mark.parametrize(
    ("fault", "verdict"),
    [
        ("", "Confirmed"),
        ("fewer:3", "FewerThanPromised"),
        ("no-driver", "DriverMissing"),
        ("no-device", "NoDevice"),
        ("hidden", "NotVisibleInContainer"),
        ("other-type:p4d.24xlarge", "NoDevice"),
    ],
)
def test_confirm_holds_the_machine_to_its_promise(quasar, fault, verdict):
    promise = json.dumps({"QUASAR": 4, "accelerator_type:Quasar-Q1": 1})
    done = quasar("-m", "accel_scaling", "confirm", "--expect", promise, "--json", fault=fault)
    told = json.loads(done.stdout)
    assert told["verdict"] == verdict, done.stderr
    assert done.returncode == (0 if verdict == "Confirmed" else 3)
    assert ("--device=/dev/quasar0 ... --device=/dev/quasar3" in told["advice"]) == (fault == "hidden")


def test_fill_promises_them_and_shows_them_to_the_container(quasar, tmp_path):
    (tmp_path / "cluster.yaml").write_text(CLUSTER)
    done = quasar("-m", "accel_scaling", "fill", "cluster.yaml")
    assert done.returncode == 0, done.stderr
    node_type = yaml.safe_load(done.stdout)["available_node_types"]["quasar"]
    assert (node_type["resources"]["QUASAR"], node_type["resources"]["accelerator_type:Quasar-Q1"]) == (4, 1)
    assert "--device=/dev/quasar3" in str(node_type["docker"])


def test_kuberay_fill_promises_them_to_pods(quasar, tmp_path):
    (tmp_path / "cluster.yaml").write_text(manifest(limits="quasar.example/npu: 2"))
    done = quasar("-m", "accel_scaling", "kuberay", "fill", "cluster.yaml")
    assert done.returncode == 0, done.stderr
    (group,) = yaml.safe_load(done.stdout)["spec"]["workerGroupSpecs"]
    assert group["resources"] == {"QUASAR": "2", "accelerator_type:Quasar-Q1": "1"}


def test_a_task_is_given_whole_devices_only(quasar):
    ask = "import accel_scaling as acc; acc.options(num_accs={}, accelerator_type='Quasar-Q1')"
    assert quasar("-c", ask.format(2)).returncode == 0
    assert "a QUASAR is not shared between tasks; ask for 1" in quasar("-c", ask.format(0.5)).stderr


def test_ray_is_told_of_a_family_that_it_lacks(quasar):
    done = quasar("-c", REGISTERED)
    assert done.stdout.split() == ["4", "Quasar-Q1"], done.stderr
