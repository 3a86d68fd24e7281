"""The names of accel_scaling._ray: those that mypy sees are those that programs get."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from accel_scaling import _ray


def test_programs_get_the_names_that_mypy_sees() -> None:
    tree = ast.parse(Path(_ray.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    seen = {
        each.name: node.module.rpartition(".")[2]
        for node in imports
        if node.module and node.module.startswith(f"{_ray.__name__}.")
        for each in node.names
    }
    assert seen == _ray._HOMES
    for name, module in seen.items():
        assert getattr(_ray, name) is getattr(importlib.import_module(f"{_ray.__name__}.{module}"), name)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'accel_scaling\._ray' has no attribute 'no_such_name'"):
        _ray.no_such_name  # type: ignore[attr-defined]  # noqa: B018


def test_detection_loads_no_more_of_it_than_the_facts_and_the_versions() -> None:
    code = (
        "import sys, accel_scaling.families.inventory\n"
        "print(*sorted(name for name in sys.modules if name.startswith('accel_scaling._ray.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [f"accel_scaling._ray.{name}" for name in ("facts", "files", "versions")]
