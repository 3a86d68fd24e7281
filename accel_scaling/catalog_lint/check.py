"""Validate catalog files for the people who edit them: every problem of every file, not only the first."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from accel_scaling.catalog import schema
from accel_scaling.catalog.chips import lines_of, parse_chips
from accel_scaling.catalog.columns import NO_ACCELERATOR
from accel_scaling.catalog.files import (
    CHIPS_FILE,
    PLACES,
    REFRESH_FOLDER,
    Problem,
    Source,
    describe,
    is_places,
    read,
    refreshed_files,
    shipped,
    shipped_files,
    shipped_rules,
    table_of,
    user_catalog_files,
    with_beside,
)
from accel_scaling.catalog.guest_accelerators import api_names, attach_rules
from accel_scaling.catalog.load import parse_rows, shipped_catalog
from accel_scaling.catalog.model import Chip
from accel_scaling.catalog_lint.chips import CHIP_RULES
from accel_scaling.catalog_lint.machines import MACHINE_RULES, Checked, MayBeNamed, names_in, new_regions, unknown_types
from accel_scaling.catalog_lint.tables import has_rows, hidden, needs_of, parse, tpu_mistakes, unsorted
from accel_scaling.clouds import SHIPPED_FOLDER, known_clouds
from accel_scaling.errors import CatalogFileError
from accel_scaling.families.plugins import loaded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from accel_scaling.catalog.model import MachineType


@dataclass(frozen=True)
class Mistake:
    """A mistake in a file.

    Attributes:
        file: the file.
        line: its line; None where the file could not be read.
        column: the column, or the accelerator's field; empty where it is the line, or the file.
        text: what is wrong, and what is expected.
    """

    file: Path
    line: int | None
    column: str
    text: str

    def __str__(self) -> str:
        """Return ``file:line: what is wrong``."""
        return self.text if self.line is None else describe(self.file, Problem(self.line, self.text))


@dataclass
class Report:
    """The result of a check.

    Attributes:
        machine_types: distinct machine types in the files.
        accelerators: distinct accelerators in the files.
        rules: lines of rule files: what is attached to what, custom machine types, TPU slices, images, places.
        mistakes: everything that is wrong; empty where all is well.
        notes: what may be a slip, or new.
    """

    machine_types: int = 0
    accelerators: int = 0
    rules: int = 0
    mistakes: list[Mistake] = field(default_factory=list)
    notes: list[Mistake] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """One ``file:line: what is wrong`` for each mistake."""
        return [str(mistake) for mistake in self.mistakes]


def check_files(paths: Sequence[Path] = ()) -> Report:
    """Check CSV and YAML files against each other and what ships; what ships alone where none is given."""
    report = Report()
    # Once each: a file that is named may also be beside another.
    every = dict.fromkeys([*paths, *(beside for path in paths for beside in with_beside(path))])
    sources = _read_all(list(every), report) if paths else _ours()
    # Accelerators first: rows name them. Then machine types, which the rules and places name.
    chips, own = _checked_chips(sources, report)
    files = _checked_rows(sources, chips, report)
    machine_types = {key for _, rows in files for key in rows}
    report.machine_types, report.accelerators = len(machine_types), len(own)
    known, base = _known(files)
    for source in sources:
        if not source.is_chips and not has_rows(source):
            rules, problems = parse(source, sources, chips, known)
            report.rules += len(rules)
            _note(report, source, problems)
    checked = Checked(files, known, base, chips, list(own), _chip_families(sources))
    _check_places([source for source in sources if is_places(source.path)], report, checked)
    _hold_invariants(report, sources, checked, own)
    return report


def _check_places(sources: Sequence[Source], report: Report, checked: Checked) -> None:
    """Hold the places to what the catalog has; not while a file is wrong, which may have what seems to lack."""

    def names(cloud: str) -> MayBeNamed:
        of_cloud = {name for of, name in checked.known if of == cloud}
        attached = api_names(checked.chips.values(), cloud) if attach_rules(cloud) else ()
        return MayBeNamed({*of_cloud, *attached}, functools.partial(_more_names, cloud, sources))

    for source in sources if not report.mistakes else ():
        report.notes += [_mistake(source, problem) for problem in new_regions(source)]
        if source.path.resolve().parent.name != REFRESH_FOLDER:  # an API may list a type, and say too little for a row
            _note(report, source, list(unknown_types(source, names)))


def _more_names(cloud: str, places: Sequence[Source]) -> set[str]:
    """Return the machine types of the files beside places files, of the user's own catalog, and of plug-ins."""
    beside = [source.path.with_name(f"{source.path.stem.removesuffix(f'_{PLACES}')}.csv") for source in places]
    others = [path for path in user_catalog_files() if path.suffix.lower() == ".csv" and not is_places(path)]
    files = (path for path in (*beside, *others, *refreshed_files(cloud)) if not is_places(path))
    plugged = {key for plug_in in loaded().plug_ins.values() for key in plug_in.data.machine_types}
    return {name for of, name in plugged if of == cloud}.union(*(names_in(path, cloud) for path in files))


def _chip_families(sources: Sequence[Source]) -> set[str]:
    """Return every family of accelerators: those that ship, of the checked file where it is there, and plug-ins'."""
    ships = {needs.family for needs in needs_of(sources)} - {NO_ACCELERATOR}
    return ships | {plug_in.family.name for plug_in in loaded().plug_ins.values()}


def _checked_chips(sources: Sequence[Source], report: Report) -> tuple[dict[str, Chip], dict[str, Source]]:
    """Return every accelerator that the files may name, and which file has which of those that are checked."""
    chips = dict(shipped_catalog().chips)
    for plug_in in loaded().plug_ins.values():
        chips.update(plug_in.data.chips)
    own: dict[str, Source] = {}
    for source in sources:
        if source.is_chips:
            of_file, problems = parse_chips(source.text, chips)
            chips.update(of_file)
            own.update(dict.fromkeys(of_file, source))
            _note(report, source, problems)
    return chips, own


def _checked_rows(
    sources: Sequence[Source], chips: Mapping[str, Chip], report: Report
) -> list[tuple[Source, Mapping[tuple[str, str], MachineType]]]:
    files: list[tuple[Source, Mapping[tuple[str, str], MachineType]]] = []
    for source in sources:
        if has_rows(source):
            rows, problems = parse_rows(source, chips, known_clouds())
            files.append((source, rows))
            _note(report, source, problems)
    return files


def _known(
    files: Sequence[tuple[Source, Mapping[tuple[str, str], MachineType]]],
) -> tuple[dict[tuple[str, str], MachineType], dict[tuple[str, str], MachineType]]:
    """Return all machine types that are known, and those of them that corrections refer to."""
    # Without corrections: each must refer to a row, and differ from it.
    base = dict(_shipped_rows(tuple(known_clouds())))
    for source, rows in files:
        if table_of(source.path) is not schema.CORRECTIONS:
            base.update(rows)
    return {**base, **{key: row for _, rows in files for key, row in rows.items()}}, base


@functools.cache
def _shipped_rows(clouds: tuple[str, ...]) -> Mapping[tuple[str, str], MachineType]:
    """Return the rows that ship, without corrections."""
    rows: dict[tuple[str, str], MachineType] = {}
    for cloud in clouds:
        if source := shipped(schema.MACHINE_TYPES, cloud):  # a wrong row is reported where the file is checked
            rows.update(parse_rows(source, shipped_catalog().chips, clouds)[0])
    return rows


def _hold_invariants(report: Report, sources: Sequence[Source], checked: Checked, own: Mapping[str, Source]) -> None:
    """Hold what has the right form to what must be true of it."""
    by_label = {source.label: source for source in sources}
    lines: dict[str, dict[str, dict[str, int]]] = {}
    problems: dict[str, list[Problem]] = {}
    for wrong in itertools.chain.from_iterable(invariant(checked) for invariant in (*MACHINE_RULES, *CHIP_RULES)):
        if isinstance(wrong.of, Chip):
            source = own[wrong.of.name]
            if source.label not in lines:  # a second look at the file, for files with mistakes only
                lines[source.label] = lines_of(source.text)
            at = lines[source.label][wrong.of.name]
            line = at.get(wrong.column, at[""])
        else:
            source, line = by_label[wrong.of.layer], wrong.of.line
        problem = Problem(line, wrong.text, wrong.column)
        if wrong.may_be:
            report.notes.append(_mistake(source, problem))
        else:
            problems.setdefault(source.label, []).append(problem)
    # Sums over several rows, and their order, say nothing while a row is wrong.
    if not report.mistakes:
        for source, problem in tpu_mistakes(sources, checked.chips, checked.known):
            problems.setdefault(source.label, []).append(problem)
        for source in sources:
            problems.setdefault(source.label, []).extend((*unsorted(source), *hidden(source)))
    for label, of_file in problems.items():
        if label in by_label:  # a slice's other file, which is not checked, may not fit this one either
            _note(report, by_label[label], of_file)


def _note(report: Report, source: Source, problems: Sequence[Problem]) -> None:
    report.mistakes += [_mistake(source, problem) for problem in sorted(problems)]


def _mistake(source: Source, problem: Problem) -> Mistake:
    return Mistake(source.path, problem.line, problem.column, problem.text)


def _ours() -> list[Source]:
    """Return every file that ships: those in catalogs/, and those in the folders of clouds from elsewhere."""
    tables = (schema.MACHINE_TYPES, schema.CORRECTIONS, schema.OFFERINGS)
    of_clouds = [source for cloud in known_clouds() for source in shipped_files(cloud, tables)]
    return [read(SHIPPED_FOLDER / CHIPS_FILE), *of_clouds, *shipped_rules()]


def _read_all(paths: Sequence[Path], report: Report) -> list[Source]:
    tried = [(path, _tried(path)) for path in paths]
    report.mistakes += [Mistake(path, None, "", source) for path, source in tried if isinstance(source, str)]
    return [source for _, source in tried if isinstance(source, Source)]


def _tried(path: Path) -> Source | str:
    try:
        return read(path)
    except CatalogFileError as error:
        return str(error)
