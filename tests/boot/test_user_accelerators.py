"""An accelerator that only the user's catalog has: it travels with the package, and nodes confirm by it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

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
    assert (bundle.content_of(with_own) / "catalog" / "002" / "mine.yaml").read_text() == CHIP
    chip_file.write_text(CHIP.replace("81920", "40960"))
    assert bundle.build(cache, travelling) not in {plain, with_own}


def on_a_node(content: Path, home: Path, *words: str, code: str = "", **environment: str) -> Any:
    """Run `accel-scaling`, or some code, from a bundle, as on a node: nothing of this checkout is in its path."""
    what = ["-c", code] if code else ["-m", "accel_scaling"]
    return subprocess.run(
        [sys.executable, *what, *words],
        capture_output=True, text=True, check=False, cwd=home,
        env={**os.environ, "HOME": str(home), "PYTHONPATH": str(content), **environment},
    )  # fmt: skip


def test_a_head_answers_as_home_does_with_the_catalog_that_came_with_the_cluster(
    travelling: dict[str, Path],
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    content = bundle.content_of(bundle.build(cache, travelling))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    main(["catalog", "show", "z1.x", "--json", "--catalog", str(tmp_path / "mine.csv")])
    at_home = json.loads(capsys.readouterr().out)
    (tmp_path / "node").mkdir()
    done = on_a_node(content, tmp_path / "node", "catalog", "show", "z1.x", "--json")
    on_the_head = json.loads(done.stdout)
    assert on_the_head["layer"] == str(content / "catalog/000/mine.csv")
    assert at_home["regions"] == {"us-west-2": ["az1"]}
    assert len(at_home["overrides"]) == 2
    for answer in (at_home, on_the_head):
        del answer["layer"], answer["overrides"]
    assert on_the_head == at_home


def test_what_was_removed_at_home_is_gone_on_a_node_after_the_next_ray_up(
    travelling: dict[str, Path], tmp_path: Path, cache: Path
) -> None:
    """Ray's rsync removes nothing: the files of the first `ray up` are still on the node's disk."""
    node = tmp_path / "node"
    folders = []
    for catalog in (travelling, {}):
        built = bundle.build(cache, catalog)
        shutil.copytree(built, node / ".accel_scaling_bundle", dirs_exist_ok=True)
        folders.append(node / ".accel_scaling_bundle" / bundle.content_of(built).name)
    shutil.copytree(folders[0] / "catalog", node / ".accel_scaling" / "bundle" / "catalog")  # of an older version
    known, unknown = (on_a_node(folder, node, "catalog", "show", "z1.x") for folder in folders)
    assert (known.returncode, unknown.returncode) == (0, 2), unknown.stdout
    # The package that a head hands on to its workers is made from what it runs itself.
    handed_on = "from accel_scaling.boot import bundle; print(bundle.build())"
    done = on_a_node(folders[1], node, code=handed_on)
    assert Path(done.stdout.strip()).name == f"bundle-{folders[1].name}", done.stderr


def test_the_head_is_given_no_path_of_the_machine_that_ran_ray_up_and_can_fill_its_config_again(
    travelling: dict[str, Path], tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ray teardown` on the head fills the head's own config, in a folder where `mine.csv` is not."""
    config = config_of({"own": "z1.x"}, provider={"catalog": "mine.csv"})
    node = tmp_path / "node"
    node.mkdir()
    monkeypatch.setenv("HOME", str(node))
    monkeypatch.chdir(node)
    with pytest.raises(CatalogFileError, match=r"mine\.csv"):
        fill(config, catalog_of(config))
    code = (
        "import json, sys; from accel_scaling.cluster.cluster import catalog_of; "
        "from accel_scaling.fill.fill import fill; "
        "config = json.loads(sys.argv[1]); filled, _ = fill(config, catalog_of(config)); print(json.dumps(filled))"
    )
    content = bundle.content_of(bundle.build(cache, travelling))
    done = on_a_node(content, node, json.dumps(for_the_head(config)), code=code)
    filled = json.loads(done.stdout)
    assert filled["available_node_types"]["own"]["resources"]["accelerator_type:Z1-80G"] == 1


def test_a_node_confirms_by_the_accelerators_that_came_with_the_package(
    travelling: dict[str, Path], tmp_path: Path, cache: Path
) -> None:
    node = tmp_path / "node"
    node.mkdir()
    promise = '{"GPU": 1, "accelerator_type:Z1": 1, "accelerator_type:Z1-80G": 1}'
    devices = install(tmp_path / "root", Z1)
    plain, with_own = (bundle.content_of(bundle.build(cache, catalog)) for catalog in ({}, travelling))
    before = on_a_node(plain, node, "confirm", "--expect", promise, **devices)
    assert (before.returncode, before.stdout.split(":")[0]) == (3, "OtherType")
    after = on_a_node(with_own, node, "confirm", "--expect", promise, **devices)
    assert after.returncode == 0, after.stdout
    assert after.stdout.startswith(
        "Confirmed: promised 1 x Z1-80G; 1 on the PCI bus, 1 seen by the driver as NVIDIA Z1"
    )
