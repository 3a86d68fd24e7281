"""An accelerator that only the user's catalog has: it travels with the package, and nodes confirm by it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from accel_scaling.catalog.load import user_chip_files
from accel_scaling.emulated.devices import install
from accel_scaling.emulated.hardware import Hardware
from accel_scaling.node import bundle

ROOT = Path(__file__).resolve().parent.parent
CHIP = (
    "Z1-80G: {family: nvidia, resource: GPU, detected_type: Z1, variant: Z1-80G, memory_mib: 81920, "
    "driver_names: [NVIDIA Z1 80GB]}\n"
)
Z1 = Hardware(kind="nvml", family="nvidia", count=1, driver_name="NVIDIA Z1 80GB", pci_id="10de:ffff", memory_mib=81920)


@pytest.fixture
def chip_file(tmp_path: Path) -> Path:
    (tmp_path / "mine.csv").write_text(
        "instance_type,vcpus,memory_mib,arch,accelerator,count\nz1.x,4,1,x86_64,Z1-80G,1\n"
    )
    path = tmp_path / "mine.yaml"
    path.write_text(CHIP)
    return path


def confirm(home: Path, root: Path) -> subprocess.CompletedProcess[str]:
    promise = '{"GPU": 1, "accelerator_type:Z1": 1, "accelerator_type:Z1-80G": 1}'
    environment = {**os.environ, **install(root, Z1), "HOME": str(home), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "accel_scaling", "confirm", "--expect", promise],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip


def test_the_yaml_beside_a_users_csv_is_what_travels(chip_file: Path, tmp_path: Path) -> None:
    assert user_chip_files([tmp_path / "mine.csv"], home=tmp_path / "nobody") == [chip_file]


def test_the_bundle_carries_the_users_accelerators_and_is_another_one_for_them(chip_file: Path, tmp_path: Path) -> None:
    plain, with_chips = bundle.build(tmp_path / "c"), bundle.build(tmp_path / "c", chips=[chip_file])
    assert plain != with_chips
    assert [path.read_text() for path in (with_chips / "chips").iterdir()] == [CHIP]
    chip_file.write_text(CHIP.replace("81920", "40960"))
    assert bundle.build(tmp_path / "c", chips=[chip_file]) not in {plain, with_chips}


def test_a_node_confirms_by_the_accelerators_that_came_with_the_package(chip_file: Path, tmp_path: Path) -> None:
    node = tmp_path / "node"
    (node / ".accel_scaling").mkdir(parents=True)
    before = confirm(node, tmp_path / "root")
    assert (before.returncode, before.stdout.split(":")[0]) == (3, "OtherType")
    (node / ".accel_scaling" / "bundle").symlink_to(bundle.build(tmp_path / "c", chips=[chip_file]))
    ray = tmp_path / "bin" / "ray"
    ray.parent.mkdir()
    ray.write_text(f"#!{sys.executable}\n")
    ray.chmod(0o755)
    script = node / ".accel_scaling" / "bundle" / "accel_scaling" / "node" / "before_ray_start.sh"
    environment = {"HOME": str(node), "PATH": f"{ray.parent}:/usr/bin:/bin", "SCRIPT": str(script)}
    subprocess.run(["sh", "-eu", "-c", '. "$SCRIPT"'], env=environment, check=True)
    after = confirm(node, tmp_path / "root")
    assert after.returncode == 0, after.stdout
    assert after.stdout.startswith(
        "Confirmed: promised 1 x Z1-80G; 1 on the PCI bus, 1 seen by the driver as NVIDIA Z1"
    )
