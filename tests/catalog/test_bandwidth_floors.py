"""The floors of the memory test: what a row must say, and that each is the documented part of what is published."""

from __future__ import annotations

from pathlib import Path

import pytest

from accel_scaling.catalog.bandwidth_floors import Copies, floors_of, parse_bandwidth_floors
from accel_scaling.catalog.files import shipped
from accel_scaling.catalog.node_schema import BANDWIDTH_FLOORS
from accel_scaling.catalog_lint.check import check_files
from accel_scaling.clouds import SHIPPED_FOLDER
from accel_scaling.families.catalog import chips_here

SHARES = {Copies.HOST: 4, Copies.MEMORY: 4, Copies.PEER: 5}  # as docs/confirmation.md has them


def test_each_floor_is_the_documented_part_of_what_is_published_for_a_whole_chip_of_nvidias() -> None:
    source = shipped(BANDWIDTH_FLOORS)
    assert source
    rows, problems = parse_bandwidth_floors(source)
    assert problems == []
    for row in rows:
        assert row.at_least_gb_s == row.published_gb_s // SHARES[row.copies], row
        chip = chips_here()[row.chip]
        assert (chip.family, chip.partition_of) == ("nvidia", None), row
    assert {row.chip for row in rows if row.copies is Copies.HOST} == {row.chip for row in rows}


def test_a_chip_without_rows_has_no_floors() -> None:
    assert floors_of("T4") == {Copies.HOST: 4.0, Copies.MEMORY: 80.0}
    assert floors_of("K520") == {}


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("T4,host,16,4,", "T5,host,16,4,", "chip 'T5' is not in accelerators.yaml; nearest: T4"),
        ("T4,host,16,4,", "T4,hosts,16,4,", "copies is hosts; expected host, memory, peer"),
        ("T4,host,16,4,", "T4,host,16,0,", "at_least_gb_s is 0; expected a number above 0"),
        ("T4,host,16,4,", "T4,host,16,16,", "at_least_gb_s is 16; expected less than the 16 published"),
        ("T4,memory,", "T4,host,", "T4 host is already in line "),
    ],
)
def test_what_is_wrong_with_a_row_is_named_with_its_line(old: str, new: str, problem: str, tmp_path: Path) -> None:
    text = (SHIPPED_FOLDER / BANDWIDTH_FLOORS.files).read_text(encoding="utf-8")
    assert f"\n{old}" in text
    path = tmp_path / BANDWIDTH_FLOORS.files
    path.write_text(text.replace(f"\n{old}", f"\n{new}", 1), encoding="utf-8")
    line = text[: text.index(f"\n{old}")].count("\n") + 2
    (found,) = check_files([path]).problems
    assert found.startswith(f"{path}:{line}: {problem}"), found
