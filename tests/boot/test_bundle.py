"""The package reaches the nodes by itself: the bundle, the script before `ray start`, and the wiring of both."""

from __future__ import annotations

import copy
import multiprocessing
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import accel_scaling
from accel_scaling.boot import bundle

PACKAGE = Path(accel_scaling.__file__).parent


@pytest.fixture(name="built", scope="module")
def built_fixture(tmp_path_factory) -> Path:
    return bundle.build(tmp_path_factory.mktemp("cache"))


def test_a_node_with_nothing_but_yaml_can_run_the_start_hook(built, tmp_path):
    yaml_only = tmp_path / "site"
    shutil.copytree(Path(yaml.__file__).parent, yaml_only / "yaml")
    code = (
        "import accel_scaling, accel_scaling.boot.start_hook as hook; print(accel_scaling.__file__, hook.run.__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{built}:{yaml_only}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == [str(built / "accel_scaling" / "__init__.py"), "run"], done.stderr


def test_people_on_the_node_have_the_command(built, tmp_path):
    done = subprocess.run(
        [built / "bin" / "accel-scaling", "catalog", "show", "p4d.24xlarge"],
        cwd=tmp_path,
        env={
            "PYTHONPATH": str(built),
            "ACCEL_SCALING_PYTHON": sys.executable,
            "PATH": os.defpath,
            "HOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "8 x A100" in done.stdout


def test_the_bundle_has_real_folders_where_the_checkout_has_links(built):
    assert not [path for path in built.rglob("*") if path.is_symlink()]
    for name in (
        "providers/aws/provider.py",
        "catalogs/aws.csv",
        "catalogs/accelerators.yaml",
        "boot/before_ray_start.sh",
    ):
        assert (built / "accel_scaling" / name).is_file(), name


def test_the_rehearsal_stays_at_home(built):
    at_home = ("testing",)
    assert not [name for name in at_home if list(built.rglob(name))]


def test_everything_in_the_bundle_is_compiled_so_that_no_node_changes_it(built):
    for source in built.rglob("*.py"):
        assert list((source.parent / "__pycache__").glob(f"{source.stem}.*.pyc")), source


def test_the_same_package_makes_the_same_bundle(built):
    assert bundle.build(built.parent) == built
    assert list(built.parent.glob("bundle-*")) == [built]


@pytest.mark.parametrize("changed", ["boot/start_hook.py", "catalogs/aws.csv", "providers/aws/provider.py"])
def test_any_changed_file_makes_another_bundle(tmp_path, changed):
    package = tmp_path / "accel_scaling"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    before = bundle.fingerprint(package)
    assert before == bundle.fingerprint(package)
    with (package / changed).open("a", encoding="utf-8") as file:
        file.write("\n")
    assert bundle.fingerprint(package) != before


def test_a_copy_elsewhere_and_its_compiled_files_do_not_change_the_fingerprint(tmp_path):
    package = tmp_path / "elsewhere" / "accel_scaling"
    shutil.copytree(PACKAGE, package)
    (package / "__pycache__").mkdir(exist_ok=True)
    (package / "__pycache__" / "junk.pyc").write_bytes(b"junk")
    assert bundle.fingerprint(package) == bundle.fingerprint(PACKAGE)


def test_two_ray_ups_at_once_build_one_whole_bundle(tmp_path):
    cache = tmp_path / "cache"
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        built = pool.map(bundle.build, [cache] * 6, chunksize=1)
    assert len(set(built)) == 1
    assert list(cache.iterdir()) == [built[0]], "half-built folders are left"
    assert sorted(_sources(built[0])) == sorted(_sources(bundle.build(tmp_path / "alone")))


def test_wiring_twice_changes_nothing(built):
    config = {
        "file_mounts": {"/data": "/here"},
        "head_start_ray_commands": ["ray stop", "ulimit -n 65536; ray start --head"],
        "worker_start_ray_commands": ["ray stop", "ray start --address=$RAY_HEAD_IP:6379"],
    }
    bundle.add_boot_check(config, str(built))
    once = copy.deepcopy(config)
    bundle.add_boot_check(config, str(built))
    assert config == once


def test_wiring_confirms_starts_only_and_keeps_the_users_mounts(built):
    config = {"file_mounts": {"/data": "/here"}, "head_start_ray_commands": ["ray stop", "ray start --head"]}
    bundle.add_boot_check(config, str(built))
    assert config["file_mounts"] == {"/data": "/here", bundle.REMOTE_FOLDER: str(built)}
    assert config["head_start_ray_commands"] == ["ray stop", bundle.PREFIX + "ray start --head"]
    assert config["worker_start_ray_commands"] == []


def _sources(folder: Path) -> list[tuple[str, bytes]]:
    files = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return [(str(path.relative_to(folder)), path.read_bytes()) for path in files]
