"""The script that tries an install as people install: what it refuses, and that each Python is tried each night."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / ".github" / "try_install.py"


@pytest.fixture(name="try_install", scope="module")
def try_install_fixture() -> Iterator[ModuleType]:
    """The script as a module; it imports the release script, which is beside it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPT.parent))
        yield importlib.import_module(SCRIPT.stem)
        for name in (SCRIPT.stem, "release"):
            sys.modules.pop(name, None)


def test_an_install_that_changes_a_version_that_was_there_is_refused(try_install: ModuleType) -> None:
    before = {"ray": "2.54.1", "click": "8.1"}
    assert try_install.changes(before, {**before, "boto3": "1.44"}) == []
    changed = ["ray was 2.54.1 and is 2.60.0", "click was 8.1 and is gone"]
    assert try_install.changes(before, {"ray": "2.60.0"}) == changed


def test_the_nightly_run_tries_what_the_quickstart_names() -> None:
    nightly = yaml.safe_load((ROOT / ".github" / "workflows" / "nightly.yml").read_text(encoding="utf-8"))
    rows = nightly["jobs"]["installed"]["strategy"]["matrix"]["include"]
    text = (ROOT / "docs" / "quickstart-aws.md").read_text(encoding="utf-8")
    assert [row["python"] for row in rows] == ["3.10", "3.11", "3.12", "3.13", "3.14"]
    assert {row["tool"] for row in rows} == {"pip", "uv"}
    assert {row["ray"] for row in rows if row["ray"] not in text} == set()
    assert f".github/{SCRIPT.name}" in text


def test_a_malformed_version_is_refused_before_anything_is_installed() -> None:
    words = [sys.executable, SCRIPT, "--ray", "newest"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--ray: one version, such as 2.60.0" in done.stderr
