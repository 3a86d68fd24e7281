"""What an install brings: the whole package, and nothing else. Wheel, sdist and editable, built from this checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import accel_scaling
from tests.support.plugins import EXAMPLE, install_example

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
DATA = {
    "accel_scaling/py.typed",
    "accel_scaling/catalogs/accelerators.yaml",
    "accel_scaling/boot/before_ray_start.sh",
}
# Not of the source: what tools leave in a checkout, and what a build must not pick up.
LEFT = ("__pycache__", "*.egg-info", "build", "dist", ".venv", ".git", ".*_cache", ".hypothesis")


def python(environment: Path) -> Path:
    return environment / "bin" / "python"


def run(*words: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(word) for word in words], cwd=cwd, env={**kept, **environment}, capture_output=True, text=True, check=False
    )


def must(*words: str | Path, cwd: Path) -> str:
    done = run(*words, cwd=cwd)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture(name="checkout", scope="module")
def checkout_fixture(tmp_path_factory) -> Path:
    """A clean copy: builds leave folders beside the source."""
    copy = tmp_path_factory.mktemp("source") / "checkout"
    shutil.copytree(ROOT, copy, symlinks=True, ignore=shutil.ignore_patterns(*LEFT))
    return copy


@pytest.fixture(name="tools", scope="module")
def tools_fixture(tmp_path_factory) -> Path:
    """The one environment that pip is put into: that takes 3 s of CPU. It installs into the others too."""
    folder = tmp_path_factory.mktemp("tools")
    venv.create(folder, with_pip=True, symlinks=True)
    must(*pip(folder), "pip>=22.3", "setuptools>=77", "flit_core>=3.4", "pyyaml", cwd=folder)
    return folder


def pip(tools: Path, *options: str | Path) -> tuple[str | Path, ...]:
    """Return the words of pip: without a look for a newer pip, and without compiling what is imported once at most."""
    words = ("install", "-q", "--no-compile", "--disable-pip-version-check")
    return (python(tools), "-m", "pip", *options, *words)


BUILD = """
import os, sys, tarfile
from setuptools import build_meta
checkout, out = sys.argv[1:]
os.chdir(checkout)
sdist = os.path.join(out, build_meta.build_sdist(out))
with tarfile.open(sdist) as archive:
    archive.extractall(os.path.join(out, "unpacked"))
os.chdir(os.path.join(out, "unpacked", os.path.basename(sdist).removesuffix(".tar.gz")))
build_meta.build_wheel(out)
"""


@pytest.fixture(name="built", scope="module")
def built_fixture(checkout, tools, tmp_path_factory) -> tuple[Path, Path]:
    """The wheel and the sdist; the wheel is made from the sdist, as package indexes' users make it."""
    folder = tmp_path_factory.mktemp("dist")
    must(python(tools), "-c", BUILD, checkout, folder, cwd=folder)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


@pytest.fixture(name="in_wheel", scope="module")
def in_wheel_fixture(built) -> set[str]:
    with zipfile.ZipFile(built[0]) as archive:
        return set(archive.namelist())


@pytest.fixture(name="installed", scope="module")
def installed_fixture(built, tools, tmp_path_factory) -> Path:
    """An environment with the wheel and PyYAML, without Ray and boto3; its path has spaces, as some homes have."""
    environment = tmp_path_factory.mktemp("installed as people do")
    venv.create(environment, symlinks=True)
    must(*pip(tools, "--python", python(environment)), "--no-deps", "pyyaml", built[0], cwd=environment)
    return environment


def package_files(suffixes: tuple[str, ...]) -> set[str]:
    """Return the package's files in the checkout, by the names that an install gives them."""
    folders = {
        "accel_scaling": "accel_scaling",
        "providers": "accel_scaling/providers",
        "catalogs": "accel_scaling/catalogs",
    }
    return {
        f"{target}/{file.relative_to(ROOT / source)}"
        for source, target in folders.items()
        for file in (ROOT / source).rglob("*")
        if file.suffix in suffixes
        and not file.is_relative_to(ROOT / "accel_scaling/providers")
        and not file.is_relative_to(ROOT / "accel_scaling/catalogs")
    }


def test_the_wheel_has_every_module_and_every_piece_of_data(in_wheel):
    wanted = package_files((".py", ".csv", ".yaml", ".sh", ".so", ".json", ".typed")) | DATA
    assert {"accel_scaling/providers/aws/provider.py", "accel_scaling/catalogs/aws.csv"} <= wanted
    assert wanted - in_wheel == set(), "list the package, or its data, in pyproject.toml"


def test_the_wheel_has_nothing_but_the_package(in_wheel):
    tops = {name.partition("/")[0] for name in in_wheel}
    assert tops == {"accel_scaling", f"accel_scaling-{accel_scaling.__version__}.dist-info"}
    modules = {name for name in in_wheel if name.endswith(".py")}
    assert modules == package_files((".py",))


def test_the_wheel_and_the_sdist_have_the_license(built):
    version = accel_scaling.__version__
    text = (ROOT / "LICENSE").read_bytes()
    with zipfile.ZipFile(built[0]) as archive:
        assert archive.read(f"accel_scaling-{version}.dist-info/licenses/LICENSE") == text
    with tarfile.open(built[1]) as archive:
        inside = archive.extractfile(f"accel_scaling-{version}/LICENSE")
        assert inside is not None
        assert inside.read() == text


def test_the_wheel_names_one_top_level_and_one_command(built):
    with zipfile.ZipFile(built[0]) as archive:
        texts = {Path(name).name: archive.read(name).decode() for name in archive.namelist() if ".dist-info/" in name}
    assert texts["top_level.txt"].split() == ["accel_scaling"]
    assert "accel-scaling = accel_scaling.cli.main:main" in texts["entry_points.txt"]
    assert "Requires-Dist: pyyaml" in texts["METADATA"]


def test_the_sdist_has_the_folders_behind_the_links_once(built):
    with tarfile.open(built[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "providers/aws/provider.py",
        "catalogs/aws.csv",
        "pyproject.toml",
        "accel_scaling/cli/main.py",
    } <= names
    assert not {name for name in names if name.startswith(("accel_scaling/providers/", "accel_scaling/catalogs/"))}


@pytest.mark.parametrize("name", ["providers", "catalogs"])
def test_the_links_for_editors_are_committed_as_links(name):
    link = ROOT / "accel_scaling" / name
    assert link.is_symlink(), f"{link} is no link: was the checkout made with core.symlinks=false?"
    assert link.readlink() == Path("..", name)
    listed = run("git", "ls-files", "-s", f"accel_scaling/{name}", cwd=ROOT)
    if listed.returncode == 0:  # a downloaded archive has no repository
        assert listed.stdout.startswith("120000 "), "git has it as a file: `git add` it again as a link"


@pytest.mark.parametrize("name", ["providers", "catalogs", "tests", "benchmarks", "example_clusters", "docs"])
def test_nothing_generic_becomes_importable(installed, tmp_path, name):
    done = run(python(installed), "-I", "-c", f"import {name}", cwd=tmp_path)
    assert f"No module named '{name}'" in done.stderr


def test_the_catalog_answers_without_ray_and_boto3(installed, tmp_path):
    code = "import importlib.util as u; print([n for n in ('ray', 'boto3', 'moto') if u.find_spec(n)])"
    assert must(python(installed), "-I", "-c", code, cwd=tmp_path).strip() == "[]"
    answer = must(installed / "bin" / "accel-scaling", "catalog", "show", "p4d.24xlarge", "--json", cwd=tmp_path)
    assert json.loads(answer)["resources"]["GPU"] == 8


def test_the_fill_works_without_ray_and_boto3(installed, tmp_path):
    text = must(installed / "bin" / "accel-scaling", "fill", ROOT / "example_clusters" / "aws-gpu.yaml", cwd=tmp_path)
    assert "accelerator_type:" in text


def test_the_command_that_a_message_names_takes_the_package_that_is_installed(installed, tools, tmp_path):
    done = run(installed / "bin" / "accel-scaling", "catalog", "refresh", "aws", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "`pip install 'accel-scaling[refresh]'` brings it" in done.stderr
    # Without an index: the package itself is looked for nowhere else.
    must(*pip(tools, "--python", python(installed)), "--no-index", "--no-deps", "accel-scaling[refresh]", cwd=tmp_path)


def test_a_bundle_can_be_built_from_an_install(installed, tmp_path):
    code = "import sys, pathlib; from accel_scaling.boot.bundle import build; print(build(pathlib.Path(sys.argv[1])))"
    (built,) = Path(must(python(installed), "-I", "-c", code, tmp_path / "cache", cwd=tmp_path).strip()).iterdir()
    assert (built / "accel_scaling" / "catalogs" / "aws.csv").is_file()
    assert (built / "accel_scaling" / "providers" / "aws" / "provider.py").is_file()


def test_an_editable_install_finds_the_checkout_and_nothing_generic(checkout, tools, tmp_path):
    must(*pip(tools), "--no-build-isolation", "--no-deps", "-e", checkout, cwd=tmp_path)
    code = "import accel_scaling.catalogs as c, accel_scaling.cli.main as m; print(c.__file__, m.__file__)"
    found = must(python(tools), "-I", "-c", code, cwd=tmp_path).split()
    assert [Path(file).resolve() for file in found] == [
        (checkout / "catalogs" / "__init__.py").resolve(),
        (checkout / "accel_scaling" / "cli" / "main.py").resolve(),
    ]
    for name in ("providers", "catalogs", "tests"):
        assert "No module named" in run(python(tools), "-I", "-c", f"import {name}", cwd=tmp_path).stderr
    answer = must(tools / "bin" / "accel-scaling", "catalog", "find", "--accelerator", "T4", "--json", cwd=tmp_path)
    assert json.loads(answer)


@pytest.fixture(name="example")
def example_fixture(tmp_path) -> Path:
    """A copy of the plug-in example."""
    return Path(shutil.copytree(EXAMPLE, tmp_path / "ferrum-n1", ignore=shutil.ignore_patterns(*LEFT)))


def test_pip_installs_the_example_of_a_plug_in_as_other_tests_take_it_to_be_installed(example, tools, tmp_path):
    must(*pip(tools), "--no-build-isolation", "--no-deps", "--target", tmp_path / "by-pip", example, cwd=tmp_path)
    ours = install_example(tmp_path / "by-us")
    files = {path.relative_to(ours) for path in ours.rglob("*") if path.is_file()}
    entries = Path("ferrum_n1-1.0.dist-info/entry_points.txt")
    assert entries in files
    for file in files - {Path("ferrum_n1-1.0.dist-info/METADATA"), entries}:
        assert (tmp_path / "by-pip" / file).read_bytes() == (ours / file).read_bytes()
    # Builders differ in the spaces around the sign; readers of entry points do not mind.
    by_pip, by_us = ((folder / entries).read_text().replace(" ", "").strip() for folder in (tmp_path / "by-pip", ours))
    assert by_pip == by_us
    left = {path.name for path in example.rglob("*")} - {path.name for path in EXAMPLE.rglob("*")}
    assert left == set(), "an install leaves nothing in the folder that was copied for a chip"


def test_an_editable_install_of_the_example_is_found_and_travels(example, tools, tmp_path):
    must(*pip(tools), "--no-build-isolation", "--no-deps", "-e", example, cwd=tmp_path)
    code = (
        "from accel_scaling.families import families; from accel_scaling.boot.bundle_files import plug_in_files; "
        "print(*families(), *sorted(plug_in_files()))"
    )
    try:
        done = run(python(tools), "-c", code, cwd=tmp_path, PYTHONPATH=str(ROOT))
    finally:
        must(python(tools), "-m", "pip", "uninstall", "-q", "-y", "ferrum-n1", cwd=tmp_path)
    assert done.stdout.split() == [
        "FERRUM",
        "ferrum_n1-1.0.dist-info/METADATA",
        "ferrum_n1-1.0.dist-info/entry_points.txt",
        "ferrum_n1/__init__.py",
        "ferrum_n1/accelerators.yaml",
        "ferrum_n1/aws.csv",
        "ferrum_n1/hardware.csv",
    ], done.stderr
