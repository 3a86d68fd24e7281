"""A plug-in family travels with the cluster, however it was installed; rehearsed hosts have it from nowhere else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from accel_scaling.boot import bundle
from accel_scaling.boot.bundle_files import plug_in_files
from accel_scaling.testing.hosts import image_site, isolated
from tests.support.plugins import (
    EXAMPLE,
    FAMILY,
    forget,
    write_metadata,
)

DIST_INFO = "ferrum_n1-1.0.dist-info"
FILES = {f"ferrum_n1/{name}" for name in ("__init__.py", "accelerators.yaml", "aws.csv", "hardware.csv")}
SHOW = "import accel_scaling.families as f; print(sorted(f.families()), sorted(f.broken()))"


def on_a_node(folder: Path, code: str = SHOW, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python as a node does, with the bundle first; of what is installed here it sees PyYAML alone."""
    import yaml

    alone = folder.parent / "yaml-only"
    shutil.copytree(Path(yaml.__file__).parent, alone / "yaml", dirs_exist_ok=True)
    return subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": f"{folder}:{alone}", "HOME": os.environ["HOME"], **environment},
        capture_output=True, text=True, check=False, cwd="/",
    )  # fmt: skip


def test_an_installed_package_travels_whole_with_its_entry_point_and_nothing_else_of_it(ferrum):
    (ferrum / "ferrum_n1" / "__pycache__").mkdir(exist_ok=True)
    (ferrum / "ferrum_n1" / "__pycache__" / "junk.pyc").write_bytes(b"junk")
    files = plug_in_files()
    assert set(files) == FILES | {f"{DIST_INFO}/METADATA", f"{DIST_INFO}/entry_points.txt"}
    assert files["ferrum_n1/aws.csv"] == (EXAMPLE / "ferrum_n1" / "aws.csv").read_bytes()
    assert b"[accel_scaling.families]\nFERRUM = ferrum_n1:FAMILY\n" in files[f"{DIST_INFO}/entry_points.txt"]


def test_a_node_knows_the_family_by_the_bundle_alone(ferrum, tmp_path):
    done = on_a_node(bundle.content_of(bundle.build(tmp_path / "cache")))
    assert done.stdout.strip() == "['FERRUM'] []", done.stderr


@pytest.mark.parametrize("finder", ["pth", "meta_path"])
def test_an_editable_install_travels_too(tmp_path, plugged, monkeypatch, finder):
    site = write_metadata(tmp_path / "site", "ferrum-n1", "FERRUM = ferrum_n1:FAMILY")
    source = tmp_path / "source"
    shutil.copytree(EXAMPLE, source)
    plugged(site)
    if finder == "pth":
        monkeypatch.syspath_prepend(str(source))  # what a line of a .pth file does
    else:
        monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, _Finder(source)])
    forget()
    assert set(plug_in_files()) >= FILES


class _Finder:
    """As setuptools leaves one for an editable install: it knows a package by its name."""

    def __init__(self, source: Path) -> None:
        self._source = source

    def find_spec(self, name, path=None, target=None):
        from importlib.util import spec_from_file_location

        folder = self._source / "ferrum_n1"
        if name == "ferrum_n1":
            return spec_from_file_location(name, folder / "__init__.py", submodule_search_locations=[str(folder)])
        return None


def test_a_single_module_travels_as_a_file(tmp_path, plugged):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "ferrum.py").write_text(FAMILY.replace("{more}", ""))
    plugged(write_metadata(tmp_path / "site", "ferrum-x", "FERRUM = ferrum:FAMILY"))
    assert "ferrum.py" in plug_in_files()


def test_what_is_broken_here_is_known_as_broken_there_and_the_bundle_is_built(tmp_path, plugged):
    plugged(write_metadata(tmp_path / "site", "ferrum-n1", "FERRUM = ferrum_n1:FAMILY"))
    done = on_a_node(bundle.content_of(bundle.build(tmp_path / "cache")))
    assert done.stdout.strip() == "[] ['FERRUM']"
    assert (
        "the plug-in ferrum-n1 (entry point FERRUM = ferrum_n1:FAMILY) is left out: it cannot be imported"
        in done.stderr
    )


def test_a_package_that_does_not_compile_does_not_stop_ray_up(ferrum, tmp_path, capfd):
    (ferrum / "ferrum_n1" / "__init__.py").write_text("def\n")
    built = bundle.content_of(bundle.build(tmp_path / "cache"))
    assert (built / "ferrum_n1" / "__init__.py").read_text() == "def\n"
    assert "SyntaxError" not in capfd.readouterr().out


@pytest.mark.parametrize("changed", ["__init__.py", "accelerators.yaml", "hardware.csv"])
def test_any_changed_file_of_a_plug_in_makes_another_bundle(ferrum, tmp_path, changed):
    before = bundle.build(tmp_path / "cache")
    assert bundle.build(tmp_path / "cache") == before
    with (ferrum / "ferrum_n1" / changed).open("a", encoding="utf-8") as file:
        file.write("\n")
    assert bundle.build(tmp_path / "cache") != before


def test_an_isolated_hosts_image_has_neither_a_plug_in_nor_what_pip_left_of_it(ferrum, tmp_path, monkeypatch):
    inside = tmp_path / "image" / "site-packages"
    shutil.copytree(ferrum, inside)
    (inside / "__editable__.ferrum_n1-1.0.pth").write_text("import __editable___ferrum_n1_1_0_finder\n")
    (inside / "__editable___ferrum_n1_1_0_finder.py").touch()
    (inside / "theirs.pth").write_text(f"{ferrum}\n/their/own\n")
    (inside / "ferrum_tools").mkdir()
    monkeypatch.setattr(isolated, "site_folders", lambda python: [Path("/site-packages")])
    isolated._hide_packages_and_drivers(tmp_path / "image", Path(sys.executable))
    assert sorted(path.name for path in inside.iterdir()) == ["ferrum_tools", "theirs.pth"]
    assert (inside / "theirs.pth").read_text() == "/their/own\n"


def test_without_plug_ins_nothing_is_added_to_the_bundle(tmp_path):
    assert plug_in_files() == {}


def test_a_host_does_not_see_the_package_that_is_installed_on_the_laptop(ferrum, tmp_path):
    host = tmp_path / "host"
    shutil.copytree(bundle.content_of(bundle.build(tmp_path / "cache")), host / "bundle")
    (host / "site").mkdir()
    shutil.copy(image_site.__file__, host / "site" / "sitecustomize.py")
    root = Path(bundle.__file__).parents[2]

    def see(*folders: Path) -> str:
        environment = {
            **os.environ,
            "PYTHONPATH": ":".join(map(str, (host / "site", *folders, ferrum, root))),
            image_site.HOST_FOLDER_VARIABLE: str(host),
            image_site.HIDDEN_VARIABLE: "ferrum_n1",
        }
        code = f"{SHOW}; import ferrum_n1; print(ferrum_n1.__file__)"
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    assert str(host / "bundle" / "ferrum_n1") in see(host / "bundle")
    shutil.rmtree(host / "bundle" / "ferrum_n1")
    assert "No module named 'ferrum_n1' (it has not been put on this host)" in see(host / "bundle")
