"""Validate catalog files for the people who edit them: every problem of every file, not only the first."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from accel_scaling.catalog.attach import ATTACH_FILE, api_names, parse_attach_rules
from accel_scaling.catalog.chips import parse_chips
from accel_scaling.catalog.custom_rules import CUSTOM_FILE, parse_custom_rules
from accel_scaling.catalog.files import CHIPS_FILE, SHIPPED_FOLDER, Problem, Source, describe, read
from accel_scaling.catalog.kuberay_rules import parse_kuberay
from accel_scaling.catalog.load import chips_beside, known_clouds, merged_chips, shipped_catalog, shipped_sources
from accel_scaling.catalog.node_rules import parse_boot_disks, parse_families, parse_images
from accel_scaling.catalog.rows import parse_rows
from accel_scaling.catalog.rules import CLOUD, KUBERAY_FILES, NODE_FILES, RULE_FILES, is_rules, shipped_rules
from accel_scaling.catalog.tpu_rules import GENERATIONS_FILE, parse_generations, parse_hosts
from accel_scaling.errors import CatalogFileError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from accel_scaling.catalog.model import Chip


@dataclass
class Report:
    """What a check found.

    Attributes:
        machine_types: distinct machine types in the files.
        accelerators: distinct accelerators in the files.
        rules: lines of rule files: what is attached to what, custom machine types, TPU slices, images.
        problems: one ``file:line: what is wrong`` each; empty where all is well.
    """

    machine_types: int = 0
    accelerators: int = 0
    rules: int = 0
    problems: list[str] = field(default_factory=list)


def check_files(paths: Sequence[Path] = ()) -> Report:
    """Check CSV and YAML files against each other and what ships; what ships alone where none is given."""
    report = Report()
    sources = _read_all([*paths, *_beside(paths)], report) if paths else _ours()
    chips = merged_chips([])
    accelerators: set[str] = set()
    for source in (each for each in sources if each.is_chips):
        own, problems = parse_chips(source.text, chips)
        chips.update(own)
        accelerators.update(own)
        _note(report, source, problems)
    machine_types: set[tuple[str, str]] = set()
    for source in (each for each in sources if not each.is_chips and not is_rules(each.path)):
        rows, problems = parse_rows(source, chips, known_clouds())
        machine_types.update(rows)
        _note(report, source, problems)
    report.machine_types, report.accelerators = len(machine_types), len(accelerators)
    for source in (each for each in sources if is_rules(each.path)):
        rules, problems = _parsed_rules(source, chips, sources, {name for of, name in machine_types if of == CLOUD})
        report.rules += len(rules)
        _note(report, source, problems)
    return report


def _parsed_rules(
    source: Source, chips: Mapping[str, Chip], sources: Sequence[Source], machine_types: Collection[str]
) -> tuple[Sequence[object], list[Problem]]:
    """Read a rule file with everything that its names may refer to."""
    if source.path.name == ATTACH_FILE:
        return parse_attach_rules(source, api_names(chips.values()))
    if source.path.name == CUSTOM_FILE:
        return parse_custom_rules(source, chips)
    if source.path.name == GENERATIONS_FILE:
        return parse_generations(source, chips)
    if source.path.name in KUBERAY_FILES:
        return parse_kuberay(source, chips)
    if source.path.name in NODE_FILES:
        return _parsed_node_rules(source, chips, sources)
    beside = next((each for each in sources if each.path.name == GENERATIONS_FILE), None)
    generations, _ = parse_generations(beside or shipped_rules(GENERATIONS_FILE))
    return parse_hosts(
        source, {each.name for each in generations}, machine_types or shipped_catalog().machine_types(CLOUD)
    )


def _parsed_node_rules(
    source: Source, chips: Mapping[str, Chip], sources: Sequence[Source]
) -> tuple[Sequence[object], list[Problem]]:
    families, images, _ = NODE_FILES
    if source.path.name == families:
        return parse_families(source)
    if source.path.name == images:
        beside = next((each for each in sources if each.path.name == families), None)
        known, _ = parse_families(beside or shipped_rules(families))
        return parse_images(source, {each.family for each in known}, chips)
    return parse_boot_disks(source)


def _note(report: Report, source: Source, problems: Sequence[Problem]) -> None:
    report.problems += [describe(source.path, problem) for problem in sorted(problems)]


def _ours() -> list[Source]:
    chips = read(SHIPPED_FOLDER / CHIPS_FILE)
    rows = [source for cloud in known_clouds() for source in shipped_sources(cloud)]
    return [chips, *rows, *map(shipped_rules, (*RULE_FILES, *NODE_FILES, *KUBERAY_FILES))]


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
