"""Plug-in families for tests: folders as pip leaves them after an install, and this very process seeing them."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from accel_scaling.families import catalog, plugins
from accel_scaling.testing.devices import ec2_machines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs" / "ferrum-n1"

FAMILY = """
from accel_scaling.families import Family
FAMILY = Family(name="ferrum", resource="FERRUM", visible_devices="FERRUM_VISIBLE_DEVICES", nodes="ferrum[0-9]*",
                driver="the ferrum kernel driver"{more})
"""
CHIPS = "Ferrum-N1: {family: ferrum, resource: FERRUM, detected_type: Ferrum-N1, pci_ids: ['fe00:0001']}\n"


def install_example(site: Path) -> Path:
    """Put the example into a folder as `pip install --target` leaves it; tests/test_packaging.py holds it to pip."""
    shutil.copytree(EXAMPLE / "ferrum_n1", site / "ferrum_n1", ignore=shutil.ignore_patterns("__pycache__"))
    return write_metadata(site, "ferrum-n1", "FERRUM = ferrum_n1:FAMILY", version="1.0")


def write_metadata(site: Path, package: str, *lines: str, version: str = "1.0") -> Path:
    """Write a package's entry points, as an installer does, and return the folder that holds them."""
    folder = site / f"{package.replace('-', '_')}-{version}.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n\nA package\n")
    (folder / "entry_points.txt").write_text("[accel_scaling.families]\n" + "".join(f"{line}\n" for line in lines))
    return site


def write_package(site: Path, module: str = "ferrum", text: str = FAMILY, **files: str) -> Path:
    """Write a package with a family and its data; ``files`` are names with ``_dot_`` for the dot, and contents."""
    folder = site / module
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(text.replace("{more}", ""))
    for name, content in ({"chips_dot_yaml": CHIPS} | files).items():
        (folder / name.replace("_dot_", ".")).write_text(content)
    return site


def forget() -> None:
    """Make this process look for plug-ins again."""
    for cached in (plugins.loaded, catalog.chips_here, ec2_machines._table):
        cached.cache_clear()


@contextmanager
def seen(site: Path) -> Iterator[None]:
    """Make this process see the packages of a folder; after that, nothing of them is loaded any more."""
    modules = set(sys.modules)
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(site))
        importlib.invalidate_caches()
        forget()
        yield
    unload(modules)
    forget()


def unload(before: set[str]) -> None:
    """Unload the plug-ins' modules: the next test has a package of the same name in another folder."""
    for name in set(sys.modules) - before:
        if name.partition(".")[0].startswith(("ferrum", "other")):
            del sys.modules[name]


@pytest.fixture(name="plugged")
def plugged_fixture(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """Make this process, and those that it starts, see the packages of a folder."""
    modules = set(sys.modules)

    def see(site: Path) -> None:
        monkeypatch.syspath_prepend(str(site))
        inherited = os.environ.get("PYTHONPATH")
        monkeypatch.setenv("PYTHONPATH", f"{site}:{inherited}" if inherited else str(site))
        importlib.invalidate_caches()
        forget()

    yield see
    monkeypatch.undo()
    unload(modules)
    forget()


@pytest.fixture(name="ferrum")
def ferrum_fixture(tmp_path: Path, plugged: Callable[[Path], None]) -> Path:
    """The example, installed."""
    site = install_example(tmp_path / "site")
    plugged(site)
    return site
