"""Ours and Ray's own detection agree, family by family: Ray's real managers over emulated devices."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from accel_scaling._ray import versions
from accel_scaling.families.built_in import apple
from accel_scaling.families.registry import family_of_name
from accel_scaling.testing.devices.device_faults import with_fault
from accel_scaling.testing.devices.device_files import install
from tests.support import managers
from tests.support.families import OTHER, devices

if TYPE_CHECKING:
    from pathlib import Path

# Those of NVIDIA, Neuron and TPUs have tests of their own.
MANAGERS = {name: its for name, its in managers.MANAGERS.items() if name not in ("nvidia", "neuron", "tpu")}
FAULTS = ("fewer", "driver-fewer:3", "no-driver", "no-device", "unhealthy", "hidden:2")
# What a maker's package may call a product that it does not know.
ODD_NAMES = ("None", "''", "'Unknown'", "'a b c'", "'rngd+'", "' - '")
NAMED = ("intel", "ascend", "rbln", "metax", "furiosa")
CANNOT = {("tenstorrent", "unhealthy")}  # its driver tells no health
CASES = [
    *((family, count, "") for family in MANAGERS for count in (1, 8, 16) if family != "apple" or count == 1),
    *(
        (family, 8, fault)
        for family in MANAGERS
        for fault in FAULTS
        if (family, fault) not in CANNOT and family != "apple"
    ),
    *((family, 2, f"named {name}") for family in NAMED for name in ODD_NAMES),
    *(("amd", 2, f"id {pci_id}") for pci_id in ("1002:74b5", "1002:74bd", "1002:ffff")),
    ("apple", 1, "no-device"),
    ("apple", 1, "driver-fewer"),
]

# For each machine a fork that is on it: what Ray opens is below its root, what Ray imports is on its path.
BOTH = """
import glob, importlib, json, logging, os, platform, sys
from types import SimpleNamespace
import ray._private.accelerators
from accel_scaling.families.inventory import detect

logging.disable(logging.CRITICAL)

def answers(module, manager, family, root, environment):
    os.environ.update(environment)
    sys.path[:0] = environment.get("PYTHONPATH", "").split(":")[:1]
    rays = importlib.import_module("ray._private.accelerators." + module)
    for name in {"hpu": ("hpu",), "amd_gpu": ("pyamdsmi.pyamdsmi", "pyamdsmi")}.get(module, ()):
        parent = "accelerators" if name == "hpu" else "thirdparty"
        # These look for the maker's package when they are imported, and Ray has imported them.
        importlib.reload(sys.modules[f"ray._private.{parent}.{name}"])
    if hasattr(rays, "glob"):
        rays.glob = SimpleNamespace(glob=lambda pattern: glob.glob(root + pattern))
    if family == "apple":
        platform.system, platform.machine = lambda: "Darwin", lambda: "arm64"
    rays = getattr(rays, manager)
    count = rays.get_current_node_num_accelerators()
    found = detect()
    ours = [each for each in found if each.family == family]
    return [
        [count, rays.get_current_node_accelerator_type() if count else None],
        [ours[0].ray_units, ours[0].accelerator_type] if ours else [0, None],
        [each.family for each in found],
    ]

for case in json.load(sys.stdin):
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        with os.fdopen(writing, "w") as said:
            said.write(json.dumps(answers(*case)))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        print(said.read() or "null", flush=True)
    os.waitpid(child, 0)
"""


# A /dev of its own for one command, with what $1 has below dev: nothing of Ray's is moved then.
WITH_DEV = """
set -e
stage=$1; dev=$2; shift 2
mount -t tmpfs tmpfs "$stage"
mkdir "$stage/dev"
mount --rbind /dev "$stage/dev"
mount -t tmpfs tmpfs /dev
for node in null zero random urandom; do touch "/dev/$node"; mount --bind "$stage/dev/$node" "/dev/$node"; done
mkdir /dev/shm
cp -a "$dev/." /dev/
exec "$@"
"""
RAY_ALONE = """
import importlib, json, sys
manager = getattr(importlib.import_module("ray._private.accelerators." + sys.argv[1]), sys.argv[2])
print(json.dumps([manager.get_current_node_num_accelerators(), manager.get_current_node_accelerator_type()]))
"""


def machine(root: Path, family: str, count: int, fault: str) -> dict[str, str]:
    """Make the folder a machine with such devices and return its environment."""
    hardware = devices(family, count)
    word, _, value = fault.partition(" ")
    if word == "id":
        return install(root, replace(hardware, pci_id=value))
    if word != "named":
        return install(root, with_fault(hardware, fault) if fault else hardware)
    environment = install(root, hardware)
    (package,) = (file for file in root.rglob("*.py") if "COUNT" in file.read_text(encoding="utf-8"))
    with package.open("a", encoding="utf-8") as file:
        file.write(f"NAME = {value}\nNAMES = [NAME] * COUNT\n")
    return environment


@pytest.fixture(name="both", scope="module")
def both_fixture(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int, str], list]:
    """What Ray's manager and ours say on each machine; one process, as importing Ray takes a second."""
    questions = []
    for family, count, fault in CASES:
        root: Path = tmp_path_factory.mktemp("machine")
        environment = machine(root, family, count, fault)
        questions.append([*MANAGERS[family], family, str(root), environment])
    done = subprocess.run(
        [sys.executable, "-c", BOTH],
        input=json.dumps(questions),
        env={**os.environ, "RAY_DEDUP_LOGS": "0"},
        capture_output=True,
        text=True,
        timeout=280,  # below pytest's; half a minute on an idle machine
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(CASES, map(json.loads, done.stdout.splitlines()), strict=True))


def test_every_manager_of_ray_is_among_the_cases_or_has_a_test_of_its_own():
    from ray._private.accelerators import get_all_accelerator_managers

    own = {"NvidiaGPUAcceleratorManager", "NeuronAcceleratorManager", "TPUAcceleratorManager"}
    ours = {name for family, (_, name) in MANAGERS.items() if family_of_name(family).in_ray}
    assert {manager.__name__ for manager in get_all_accelerator_managers()} == own | ours


def by_ray(family: str, *values: Any) -> Any:
    """One case, from the minor on whose Ray has the family's manager."""
    since = family_of_name(family).ray_since
    return pytest.param(family, *values, marks=[pytest.mark.since(*since)] if since > versions.FLOOR else [])


@pytest.mark.parametrize("family", [by_ray(family) for family in sorted(MANAGERS)])
def test_a_familys_resource_and_variable_are_its_managers(family):
    manager = managers.manager_of(family)
    ours = family_of_name(family)
    assert ours.in_ray
    assert (ours.resource, ours.visible_devices) == (
        manager.get_resource_name(),
        manager.get_visible_accelerator_ids_env_var() or "",
    )


@pytest.mark.parametrize(("family", "count", "fault"), [by_ray(*case) for case in CASES])
def test_our_count_and_type_are_rays_own(both, family, count, fault):
    rays, ours, families = both[family, count, fault]
    assert ours == [rays[0], rays[1] or None]
    # An older Ray asks a library for AMD GPUs, which the emulated machines do not have.
    if not fault and (family != "amd" or versions.has("amdsmi")):
        assert rays[0] == count
    assert families in ([], [family]), "and of no other family is a device seen"


@pytest.mark.parametrize("family", [by_ray(family) for family in sorted(set(MANAGERS) & set(OTHER))])
def test_the_faults_of_a_family_change_what_ray_counts(both, family):
    if family == "amd" and not versions.has("amdsmi"):
        pytest.skip("the emulated machines do not have the library that this Ray asks")
    if family == "apple":
        assert both["apple", 1, "driver-fewer"][0][0] == 0
        return
    assert both[family, 8, "fewer"][0][0] == 7
    assert both[family, 8, "driver-fewer:3"][0][0] == 3
    assert both[family, 8, "no-driver"][0][0] == 0


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root to give Ray a /dev")
@pytest.mark.parametrize("family", [by_ray(family) for family in ("ascend", "mobilint", "tenstorrent")])
def test_ray_counts_the_emulated_nodes_in_a_dev_of_its_own(tmp_path, family, both):
    environment = {**os.environ, **install(tmp_path / "machine", devices(family, 8))}
    (tmp_path / "stage").mkdir()
    inside = ["unshare", "-m", "sh", "-c", WITH_DEV, "sh", str(tmp_path / "stage"), str(tmp_path / "machine/dev")]
    can = subprocess.run([*inside, "true"], env=environment, capture_output=True, check=False)
    if can.returncode != 0:
        pytest.skip(f"no private mounts on this machine: {can.stderr.decode()}")
    rays = [*inside, sys.executable, "-c", RAY_ALONE, *MANAGERS[family]]
    done = subprocess.run(rays, env=environment, capture_output=True, check=True, timeout=120)
    assert json.loads(done.stdout) == both[family, 8, ""][1]


@pytest.mark.since(2, 58)
@given(
    st.one_of(
        st.text(max_size=40), st.lists(st.sampled_from(["Apple", "M1", "M2", "Max", "Pro", "M", ""])).map(" ".join)
    )
)
@example(" Apple M1 Pro")
@example("Apple M")
@example("Apple processor")
def test_any_name_of_an_apple_chip_becomes_the_type_that_rays_own_function_makes_of_it(name):
    from ray._private.accelerators import AppleGPUAcceleratorManager

    assert apple.chip_in(name) == AppleGPUAcceleratorManager._parse_apple_chip(name)
