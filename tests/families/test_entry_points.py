"""Entry points of plug-in families: found as `importlib.metadata` finds them, at a tenth of its time."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from accel_scaling.families.plugins import GROUP, EntryPoint, entry_points, normalized
from tests.support.plugins import EXAMPLE, install_example, write_metadata


def theirs(*folders: Path) -> list[tuple[str, str, str, str]]:
    """Return what the standard library finds."""
    found = importlib.metadata.MetadataPathFinder().find_distributions(
        importlib.metadata.DistributionFinder.Context(path=list(map(str, folders)))
    )
    return sorted(
        (point.name, point.value, distribution.metadata["Name"], distribution.version)
        for distribution in found
        for point in distribution.entry_points
        if point.group == GROUP
    )


def ours(*folders: Path) -> list[tuple[str, str, str, str]]:
    found = entry_points(map(str, folders))
    return sorted((point.resource, point.value, point.package, point.version) for point in found)


def test_a_package_is_found_as_the_standard_library_finds_it(tmp_path):
    site = install_example(tmp_path)
    assert ours(site) == theirs(site) == [("FERRUM", "ferrum_n1:FAMILY", "ferrum-n1", "1.0")]


@pytest.mark.parametrize(
    "text",
    [
        "[console_scripts]\na = b:c\n\n[accel_scaling.families]\nFERRUM=one.two:THREE\n  ZED = four:FIVE.six \n",
        "[accel_scaling.families]\n# not = this:one\nFERRUM = one:A [extra]\n[other]\nX = y:z\n",
        "[accel_scaling.families_of_others]\nFERRUM = one:A\n",
        "[console_scripts]\naccel_scaling.families = one:A\n",
        "",
    ],
)
def test_a_file_of_entry_points_is_read_as_the_standard_library_reads_it(tmp_path, text):
    write_metadata(tmp_path, "one")
    (tmp_path / "one-1.0.dist-info" / "entry_points.txt").write_text(text)
    assert ours(tmp_path) == theirs(tmp_path)


def test_of_a_package_that_is_there_twice_the_first_counts(tmp_path):
    first = write_metadata(tmp_path / "bundle", "ferrum-n1", "FERRUM = new:FAMILY", version="2.0")
    second = write_metadata(tmp_path / "site", "Ferrum.N1", "FERRUM = old:FAMILY")
    assert ours(first, second) == [("FERRUM", "new:FAMILY", "ferrum-n1", "2.0")]


def test_an_egg_and_what_is_no_folder_are_looked_at_too(tmp_path):
    egg = tmp_path / "ferrum_n1.egg-info"
    egg.mkdir()
    (egg / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: ferrum-n1\nVersion: 3.0\n")
    (egg / "entry_points.txt").write_text(f"[{GROUP}]\nFERRUM = ferrum_n1:FAMILY\n")
    (tmp_path / "archive.zip").touch()
    (tmp_path / "odd-1.0.dist-info").mkdir()
    (tmp_path / "odd-1.0.dist-info" / "entry_points.txt").write_bytes(b"\xff\xfe accel_scaling.families")
    found = entry_points([str(tmp_path / "archive.zip"), str(tmp_path / "nowhere"), str(tmp_path)])
    assert found == [EntryPoint("FERRUM", "ferrum_n1:FAMILY", "ferrum-n1", "3.0")]


def test_an_entry_point_knows_its_module_its_attribute_and_what_travels():
    entry = EntryPoint("FERRUM", "makers.ferrum:FAMILY [extra]", "Ferrum-N1")
    assert (entry.module, entry.attribute, entry.root) == ("makers.ferrum", "FAMILY", "makers")
    assert normalized(entry.package) == "ferrum_n1"


def test_where_there_is_no_plug_in_neither_ray_nor_importlib_metadata_is_imported():
    code = (
        "import sys; from accel_scaling.families import register; register(); "
        "print([name for name in ('ray', 'importlib.metadata', 'configparser') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_example_has_fewer_than_a_hundred_lines_all_in():
    files = [file for file in EXAMPLE.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    assert {file.name for file in files} >= {"pyproject.toml", "__init__.py", "aws.csv", "hardware.csv"}
    assert sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files) < 100
