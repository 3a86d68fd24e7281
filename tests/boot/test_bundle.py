"""The package reaches the nodes by itself: the bundle, the script before `ray start`, and the wiring of both."""

from __future__ import annotations

import copy
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

import accel_scaling
from accel_scaling import timeouts
from accel_scaling.boot import bundle
from accel_scaling.boot.bundle_files import contents, fingerprint_of
from accel_scaling.boot.start_prefix import add_boot_check, has_boot_check, with_boot_check

PACKAGE = Path(accel_scaling.__file__).parent


@pytest.fixture(name="whole", scope="module")
def whole_fixture(tmp_path_factory) -> Path:
    return bundle.build(tmp_path_factory.mktemp("cache"))


@pytest.fixture(name="built", scope="module")
def built_fixture(whole) -> Path:
    """The folder with the files, as a node has it in its path."""
    return bundle.content_of(whole)


def fingerprint(package: Path) -> str:
    """Return the fingerprint of a bundle of this package alone."""
    return fingerprint_of(contents(package, {}, {}))


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


def test_the_same_package_makes_the_same_bundle(whole):
    assert bundle.build(whole.parent) == whole
    assert list(whole.parent.iterdir()) == [whole]


def test_python_on_a_node_takes_what_was_compiled_here(built):
    """Python compares a .pyc with the time of its source's last change, which rsync keeps."""
    from importlib.util import cache_from_source

    source = built / "accel_scaling" / "boot" / "compare.py"
    recorded_s = int.from_bytes(Path(cache_from_source(str(source))).read_bytes()[8:12], "little")
    assert recorded_s == int(source.stat().st_mtime)


@pytest.mark.parametrize("changed", ["boot/start_hook.py", "catalogs/aws.csv", "providers/aws/provider.py"])
def test_any_changed_file_makes_another_bundle(tmp_path, changed):
    package = tmp_path / "accel_scaling"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    before = fingerprint(package)
    assert before == fingerprint(package)
    with (package / changed).open("a", encoding="utf-8") as file:
        file.write("\n")
    assert fingerprint(package) != before


def test_a_copy_elsewhere_and_its_compiled_files_do_not_change_the_fingerprint(tmp_path):
    package = tmp_path / "elsewhere" / "accel_scaling"
    shutil.copytree(PACKAGE, package)
    (package / "__pycache__").mkdir(exist_ok=True)
    (package / "__pycache__" / "junk.pyc").write_bytes(b"junk")
    assert fingerprint(package) == fingerprint(PACKAGE)


def test_two_ray_ups_at_once_build_one_whole_bundle(tmp_path):
    cache = tmp_path / "cache"
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        built = pool.map(bundle.build, [cache] * 6, chunksize=1)
    assert len(set(built)) == 1
    assert list(cache.iterdir()) == [built[0]], "half-built folders are left"
    assert everything_in(built[0]) == everything_in(bundle.build(tmp_path / "alone"))


@pytest.fixture(name="cached")
def cached_fixture(whole, tmp_path) -> Path:
    """A bundle in a cache of its own, which a test may damage."""
    target = tmp_path / "cache" / whole.name
    shutil.copytree(whole, target)
    return target


def damage_file(content: Path, name: str) -> Path:
    return content / "accel_scaling" / "boot" / name


DAMAGES = {
    "a file is removed": lambda content: damage_file(content, "start_hook.py").unlink(),
    "a file is changed": lambda content: damage_file(content, "start_hook.py").write_text("run = print\n"),
    "a file is cut short": lambda content: damage_file(content, "compare.py").write_bytes(b""),
    "a file is added": lambda content: (content / "sitecustomize.py").write_text("raise SystemExit\n"),
    "what is compiled is changed": lambda content: next(content.rglob("start_hook.*.pyc")).write_bytes(b"\0" * 99),
    "what is compiled is removed": lambda content: next(content.rglob("start_hook.*.pyc")).unlink(),
    "its record is removed": lambda content: (content / "bundle.json").unlink(),
    "its record is no record": lambda content: (content / "bundle.json").write_text("[" * 10_000),
    "another bundle is in it": lambda content: shutil.copytree(content, content.with_name("0" * 12)),
    "it is empty": shutil.rmtree,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_bundle_in_the_cache_is_trusted_by_its_content(cached, whole, damage):
    DAMAGES[damage](bundle.content_of(cached))
    assert bundle.build(cached.parent) == cached
    assert list(cached.parent.iterdir()) == [cached], "what was wrong is left"
    assert everything_in(cached) == everything_in(whole)


def test_a_file_in_the_place_of_a_bundle_is_replaced_too(cached, whole):
    shutil.rmtree(cached)
    cached.write_text("not a folder")
    assert everything_in(bundle.build(cached.parent)) == everything_in(whole)


def test_a_full_disk_leaves_nothing_in_the_cache(tmp_path, monkeypatch):
    written = []

    def write_bytes(path, content):
        written.append(path)
        if len(written) > 20:
            raise OSError(28, "No space left on device", str(path))
        with path.open("wb") as stream:
            stream.write(content)

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    with pytest.raises(OSError, match="No space left"):
        bundle.build(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_old_bundles_and_half_made_ones_are_removed_and_all_else_stays(cached):
    # Not the bundle's own time: on a busy machine it was built minutes ago.
    cache, now = cached.parent, time.time()
    ages_s = {
        "bundle-000000000000": timeouts.BUNDLE_UNUSED_S + 60,
        "bundle-111111111111": timeouts.BUNDLE_UNUSED_S - 60,
        "bundle-x7_abcde": timeouts.BUNDLE_HALF_MADE_S + 60,  # as earlier versions left them
        "making-abcdefgh": timeouts.BUNDLE_HALF_MADE_S + 60,
        "making-of_now": 60,
        "discarded-1-2": timeouts.BUNDLE_HALF_MADE_S + 60,
        "of another user": 10 * timeouts.BUNDLE_UNUSED_S,
    }
    for name, age_s in ages_s.items():
        (cache / name).mkdir()
        (cache / name / "file").touch()
        os.utime(cache / name, (now - age_s, now - age_s))
    os.utime(cached, (0, 0))  # in use now, whenever it was before
    bundle.build(cache)
    kept = {"bundle-111111111111", "making-of_now", "of another user", cached.name}
    assert {path.name for path in cache.iterdir()} == kept


def test_wiring_twice_changes_nothing(whole):
    config = {
        "file_mounts": {"/data": "/here"},
        "head_start_ray_commands": ["ray stop", "ulimit -n 65536; ray start --head"],
        "worker_start_ray_commands": ["ray stop", "ray start --address=$RAY_HEAD_IP:6379"],
    }
    add_boot_check(config, whole)
    once = copy.deepcopy(config)
    add_boot_check(config, whole)
    assert config == once


@pytest.mark.parametrize("joins", [False, True])
def test_a_head_that_an_older_version_started_gets_the_wiring_of_this_one(whole, joins):
    """The head fills its own config again: the commands there are wired already, perhaps by another version."""
    before = "export ACCEL_SCALING_ON_MISMATCH=join; " if joins else ""
    older = f"{before}. ~/.accel_scaling/bundle/accel_scaling/boot/before_ray_start.sh || exit 3; ray start --head"
    other_bundle = before + with_boot_check("ray start --head", "0" * 12)
    config = {
        "file_mounts": {"~/.accel_scaling/bundle": "/home/ubuntu/.cache/accel_scaling/bundle-1"},
        "head_start_ray_commands": [older, other_bundle, "ray start --head"],
    }
    add_boot_check(config, whole)
    wired = with_boot_check("ray start --head", bundle.content_of(whole).name)
    assert config["head_start_ray_commands"] == [wired] * 3
    assert config["file_mounts"] == {bundle.REMOTE_FOLDER: str(whole)}


def test_wiring_leaves_what_starts_no_ray_as_it_is_and_keeps_the_users_mounts(whole):
    config = {"file_mounts": {"/data": "/here"}, "head_start_ray_commands": ["ray stop", "ray start --head"]}
    add_boot_check(config, whole)
    assert config["file_mounts"] == {"/data": "/here", bundle.REMOTE_FOLDER: str(whole)}
    stop, start = config["head_start_ray_commands"]
    assert stop == "ray stop"
    assert start.endswith("|| exit 3; ray start --head")
    assert has_boot_check(start)
    assert config["worker_start_ray_commands"] == []


def test_a_command_that_only_names_the_script_is_not_treated_as_a_wired_one():
    command = "cat ~/.accel_scaling_bundle/accel_scaling/boot/before_ray_start.sh; ray start"
    assert not has_boot_check(command)
    assert with_boot_check(command) != command


def everything_in(folder: Path) -> dict[str, bytes]:
    """Return all files but for what compiled ones hold: Python writes them a little differently each time."""
    compiled = {path for path in folder.rglob("*") if path.suffix == ".pyc" or path.name == "bundle.json"}
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): b"" if path in compiled else path.read_bytes() for path in files}
