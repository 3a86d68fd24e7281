"""`tests/run` as a contributor has it: what it installs, and that it asks for no more than the tests need."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ("sh", "dirname", "sed", "cat", "cmp", "mv", "env", "mkdir", "rm", "mktemp", "getconf", "grep", "tail")
LOG = 'echo "$(basename "$0") $*" >>"$CALLS"; exit 0'


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A clone's script and settings, and a PATH on which nothing of a machine for isolated hosts is."""
    (tmp_path / "clone" / "tests").mkdir(parents=True)
    for name in ("tests/run", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / "clone" / name)
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for name in (*TOOLS, "basename"):
        (bin_folder / name).symlink_to(shutil.which(name) or name)
    program(bin_folder, "id", "echo 0")
    program(bin_folder, "apt-get", LOG)
    return tmp_path


def program(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def run(desk: Path, *words: str) -> list[str]:
    """Run the script; return the calls of the programs that stand for others, each as a line."""
    calls = desk / "calls"
    calls.touch()
    environment = {
        "PATH": str(desk / "bin"),
        "HOME": str(desk),
        "VENV": str(desk / "venv"),
        "CALLS": str(calls),
        "PYTHON": "python",
    }
    done = subprocess.run(
        [desk / "clone" / "tests" / "run", *words], env=environment, capture_output=True, text=True, check=False
    )
    assert "not found" not in done.stderr, done.stderr
    return [line.replace(str(desk), "DESK") for line in calls.read_text().splitlines()]


def python_of(desk: Path, *, pip: bool) -> None:
    """A Python of a virtual environment, with pip or as uv makes it."""
    program(desk / "venv" / "bin", "python", f'case $2 in "import pip") exit {0 if pip else 1} ;; esac; {LOG}')
    for name in ("ruff", "lint-imports", "mypy", "pytest"):
        program(desk / "venv" / "bin", name, LOG)


@pytest.mark.parametrize("words", [("-m", "not cluster", "tests/catalog"), ("--quick", "tests/catalog")])
def test_tests_without_clusters_install_nothing_of_the_system(desk: Path, words: tuple[str, ...]) -> None:
    python_of(desk, pip=True)
    assert not [call for call in run(desk, *words) if call.startswith("apt-get")]


def test_what_isolated_hosts_need_is_installed_without_a_terminal(desk: Path) -> None:
    python_of(desk, pip=True)
    calls = [call for call in run(desk, "tests/loop") if call.startswith("apt-get")]
    assert calls[0] == "apt-get update -qq"
    assert calls[1].startswith("apt-get install -y -qq --no-install-recommends")
    assert "rsync" in calls[1]


@pytest.mark.parametrize(
    ("pip", "uv", "by"),
    [
        (True, True, "python -m pip install"),
        (False, True, "uv pip install -q --python DESK/venv/bin/python"),
        (False, False, "python -m ensurepip"),
    ],
)
def test_an_environment_without_pip_gets_its_packages_too(desk: Path, *, pip: bool, uv: bool, by: str) -> None:
    python_of(desk, pip=pip)
    if uv:
        program(desk / "bin", "uv", LOG)
    calls = run(desk, "-m", "not cluster", "tests/catalog")
    assert calls[0].startswith(by), calls
    installs = [call for call in calls if "-e .[dev]" in call]
    assert len(installs) == 1


@pytest.mark.parametrize(("words", "wide"), [((), False), (("--quick",), False), (("--thorough",), True)])
def test_wide_tests_are_run_by_the_thorough_run_alone(desk: Path, words: tuple[str, ...], *, wide: bool) -> None:
    python_of(desk, pip=True)
    program(desk / "venv" / "bin", "coverage", LOG)
    runs = [call for call in run(desk, *words) if "-m pytest" in call]
    assert {"cluster" in call for call in runs} == {True}
    assert {"not wide" in call for call in runs} == {not wide}, runs


def test_the_script_is_the_one_that_contributing_describes() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert "apt-get" in text
    assert os.access(ROOT / "tests" / "run", os.X_OK)
