"""docs/architecture.md: its paths exist, its folders are the package's, in the order of the layers, and 16 changes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PATH = re.compile(r"`((?:accel_scaling|providers|catalogs|tests|docs)/[^`\s]*|pyproject\.toml)`")
CHANGES = 16


def section(heading: str) -> str:
    """Return the text below a heading, up to the next one of its level."""
    return re.split(r"^## ", TEXT.split(f"\n## {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table below a heading, without its head."""
    lines = [line for line in section(heading).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def folders() -> list[str]:
    """Return the folders of the table of folders, in its order."""
    return [path.rstrip("/") for first, *_ in rows("Folders") for path in PATH.findall(first)]


@pytest.mark.parametrize("path", sorted(set(PATH.findall(TEXT))))
def test_every_path_that_it_names_exists(path: str) -> None:
    assert (ROOT / path).exists()


def test_every_folder_of_the_package_is_in_the_table_of_folders() -> None:
    packages = [*(ROOT / "accel_scaling").glob("*/__init__.py"), *(ROOT / "providers").glob("*/__init__.py")]
    names = {str(path.parent.relative_to(ROOT)) for path in packages if not path.parent.is_symlink()}
    assert names == set(folders())
    assert len(folders()) == len(names)


def test_the_table_has_the_folders_in_the_order_of_the_layers(project: dict[str, Any]) -> None:
    layers = next(part["layers"] for part in project["tool"]["importlinter"]["contracts"] if part["type"] == "layers")
    level = {name.strip(): number for number, layer in enumerate(layers) for name in layer.split(":")}
    names = [f"accel_scaling.{folder.removeprefix('accel_scaling/').replace('/', '.')}" for folder in folders()]
    levels = [level[name] for name in names]
    assert levels == sorted(levels)


def test_sixteen_changes_have_their_files() -> None:
    changes = rows("Sixteen changes")
    assert [int(change.partition(".")[0]) for change, _ in changes] == list(range(1, CHANGES + 1))
    assert all(PATH.search(files) for _, files in changes)
