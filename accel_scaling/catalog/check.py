"""Validate catalog files for the people who edit them: every problem of every file, not only the first."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from accel_scaling.catalog.chips import parse_chips
from accel_scaling.catalog.files import CHIPS_FILE, SHIPPED_FOLDER, Source, describe, read
from accel_scaling.catalog.load import chips_beside, known_clouds, merged_chips, shipped_sources
from accel_scaling.catalog.rows import parse_rows
from accel_scaling.errors import CatalogFileError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass
class Report:
    """What a check found.

    Attributes:
        machine_types: distinct machine types in the files.
        accelerators: distinct accelerators in the files.
        problems: one ``file:line: what is wrong`` each; empty where all is well.
    """

    machine_types: int = 0
    accelerators: int = 0
    problems: list[str] = field(default_factory=list)


def check_files(paths: Sequence[Path] = ()) -> Report:
    """Check CSV and YAML files against each other and the shipped accelerators; ours where none is given."""
    report = Report()
    sources = _read_all([*paths, *_beside(paths)], report) if paths else _ours()
    chips = merged_chips([])
    accelerators: set[str] = set()
    for source in (each for each in sources if each.is_chips):
        own, problems = parse_chips(source.text, chips)
        chips.update(own)
        accelerators.update(own)
        report.problems += [describe(source.path, problem) for problem in sorted(problems)]
    machine_types: set[tuple[str, str]] = set()
    for source in (each for each in sources if not each.is_chips):
        rows, problems = parse_rows(source, chips, known_clouds())
        machine_types.update(rows)
        report.problems += [describe(source.path, problem) for problem in sorted(problems)]
    report.machine_types, report.accelerators = len(machine_types), len(accelerators)
    return report


def _ours() -> list[Source]:
    chips = read(SHIPPED_FOLDER / CHIPS_FILE)
    return [chips, *(source for cloud in known_clouds() for source in shipped_sources(cloud))]


def _beside(paths: Sequence[Path]) -> list[Path]:
    """Return the YAML files that belong to the CSV files, each once, without those that were given."""
    found = (chips for path in paths if path.suffix == ".csv" for chips in chips_beside(path))
    return [path for path in dict.fromkeys(found) if path not in paths]


def _read_all(paths: Sequence[Path], report: Report) -> list[Source]:
    tried = [_tried(path) for path in paths]
    report.problems += [each for each in tried if isinstance(each, str)]
    return [each for each in tried if isinstance(each, Source)]


def _tried(path: Path) -> Source | str:
    try:
        return read(path)
    except CatalogFileError as error:
        return str(error)
