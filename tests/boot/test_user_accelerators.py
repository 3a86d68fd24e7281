"""An accelerator that only the user's catalog has: it travels with the package, and nodes confirm by it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from accel_scaling.boot import bundle
from accel_scaling.catalog.files import travelling_files
from accel_scaling.cli.main import main
from accel_scaling.clouds import known_clouds
from accel_scaling.cluster.cluster import catalog_of
from accel_scaling.errors import CatalogFileError
from accel_scaling.fill.fill import fill
from accel_scaling.providers.base.cluster_config import for_the_head
from accel_scaling.testing.devices.device_files import install
from accel_scaling.testing.devices.hardware import Hardware
from tests.support.cluster import config_of

ROOT = Path(__file__).resolve().parents[2]
CHIP = (
    "Z1-80G: {family: nvidia, resource: GPU, detected_type: Z1, variant: Z1-80G, memory_mib: 81920, "
    "driver_names: [NVIDIA Z1 80GB]}\n"
)
ROW = "instance_type,vcpus,memory_mib,arch,accelerator,count\nz1.x,4,1,x86_64,Z1-80G,1\n"
Z1 = Hardware(kind="nvml", family="nvidia", count=1, driver_name="NVIDIA Z1 80GB", pci_id="10de:ffff", memory_mib=81920)


@pytest.fixture
def chip_file(tmp_path: Path) -> Path:
    (tmp_path / "mine.csv").write_text(ROW)
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


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all tests: bundles of the same files are built once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def travelling(chip_file: Path, tmp_path: Path) -> dict[str, Path]:
    """What travels with a cluster whose file names `mine.csv`, from a home with a catalog and a refresh of its own."""
    home = tmp_path / "home" / ".accel_scaling"
    (home / "refresh").mkdir(parents=True)
    for name in ("own.csv", "mine_hardware.csv", "refresh/aws.csv"):
        (home / name).write_text(ROW)
    chip_file.with_name("mine_places.csv").write_text("region,types,zones,source\nus-west-2,z1.x,az1,\n")
    return travelling_files([tmp_path / "mine.csv"], known_clouds(), home=tmp_path / "home")


def test_everything_of_a_users_catalog_travels_but_what_rehearsals_read(travelling: dict[str, Path]) -> None:
    names = ["000/mine.csv", "001/mine_places.csv", "002/mine.yaml", "003/own.csv", "refresh/aws.csv"]
    assert list(travelling) == names


def test_the_bundle_carries_the_users_catalog_and_is_another_one_for_it(
    chip_file: Path, travelling: dict[str, Path], tmp_path: Path, cache: Path
) -> None:
    plain, with_own = bundle.build(cache), bundle.build(cache, travelling)
    assert plain != with_own
    assert (with_own / "catalog" / "002" / "mine.yaml").read_text() == CHIP
    chip_file.write_text(CHIP.replace("81920", "40960"))
    assert bundle.build(cache, travelling) not in {plain, with_own}


def test_a_head_answers_as_home_does_with_the_catalog_that_came_with_the_cluster(
    travelling: dict[str, Path],
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "node" / ".accel_scaling").mkdir(parents=True)
    (tmp_path / "node" / ".accel_scaling" / "bundle").symlink_to(bundle.build(cache, travelling))
    answers = []
    for home, catalog in ((tmp_path / "home", ["--catalog", str(tmp_path / "mine.csv")]), (tmp_path / "node", [])):
        monkeypatch.setenv("HOME", str(home))
        main(["catalog", "show", "z1.x", "--json", *catalog])
        answers.append(json.loads(capsys.readouterr().out))
    at_home, on_the_head = answers
    assert on_the_head["layer"] == str(tmp_path / "node/.accel_scaling/bundle/catalog/000/mine.csv")
    assert at_home["regions"] == {"us-west-2": ["az1"]}
    assert len(at_home["overrides"]) == 2
    for answer in answers:
        del answer["layer"], answer["overrides"]
    assert on_the_head == at_home


def test_the_head_is_given_no_path_of_the_machine_that_ran_ray_up_and_can_fill_its_config_again(
    travelling: dict[str, Path], tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ray teardown` on the head fills the head's own config, in a folder where `mine.csv` is not."""
    config = config_of({"own": "z1.x"}, provider={"catalog": "mine.csv"})
    (tmp_path / "node" / ".accel_scaling").mkdir(parents=True)
    (tmp_path / "node" / ".accel_scaling" / "bundle").symlink_to(bundle.build(cache, travelling))
    monkeypatch.setenv("HOME", str(tmp_path / "node"))
    monkeypatch.chdir(tmp_path / "node")
    with pytest.raises(CatalogFileError, match=r"mine\.csv"):
        fill(config, catalog_of(config))
    on_the_head = for_the_head(config)
    filled, _ = fill(on_the_head, catalog_of(on_the_head))
    assert filled["available_node_types"]["own"]["resources"]["accelerator_type:Z1-80G"] == 1


def test_a_node_confirms_by_the_accelerators_that_came_with_the_package(
    travelling: dict[str, Path], tmp_path: Path, cache: Path
) -> None:
    node = tmp_path / "node"
    (node / ".accel_scaling").mkdir(parents=True)
    before = confirm(node, tmp_path / "root")
    assert (before.returncode, before.stdout.split(":")[0]) == (3, "OtherType")
    (node / ".accel_scaling" / "bundle").symlink_to(bundle.build(cache, travelling))
    ray = tmp_path / "bin" / "ray"
    ray.parent.mkdir()
    ray.write_text(f"#!{sys.executable}\n")
    ray.chmod(0o755)
    script = node / ".accel_scaling" / "bundle" / "accel_scaling" / "boot" / "before_ray_start.sh"
    environment = {"HOME": str(node), "PATH": f"{ray.parent}:/usr/bin:/bin", "SCRIPT": str(script)}
    subprocess.run(["sh", "-eu", "-c", '. "$SCRIPT"'], env=environment, check=True)
    after = confirm(node, tmp_path / "root")
    assert after.returncode == 0, after.stdout
    assert after.stdout.startswith(
        "Confirmed: promised 1 x Z1-80G; 1 on the PCI bus, 1 seen by the driver as NVIDIA Z1"
    )
