"""Machine types from the text of a CSV file: one row each, every row checked."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from accel_scaling.catalog.aliases import Names
from accel_scaling.catalog.files import CORRECTIONS, Problem, Source, csv_records, refusal
from accel_scaling.catalog.lazy import OnDemand
from accel_scaling.catalog.model import Chip, MachineType
from accel_scaling.catalog.schema import ARCHITECTURES, IN_ROW, ROW, UNKNOWN, needed
from accel_scaling.catalog.suggest import hint

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    Rows = dict[tuple[str, str], MachineType]

REQUIRED = needed(ROW)
DEFAULT_CLOUD = "aws"

# A value of each column that is never wrong.
_RIGHT = {
    "instance_type": "x",
    "vcpus": "1",
    "memory_mib": "1",
    "arch": ARCHITECTURES[0],
    "accelerator": "",
    "count": "1",
    "cloud": "",
    "because": "-",
    "source": "-",
}

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_MAX_DIGITS = 12  # 10^12 MiB is an exabyte: more digits are a slip of the finger


class _RowError(Exception):
    """What is wrong with one row, and in which column; in none where it is the row's length."""

    def __init__(self, column: str, text: str) -> None:
        super().__init__(text)
        self.column = column


def parse_rows(
    source: Source, chips: Mapping[str, Chip], clouds: Collection[str], *, on_demand: bool = False
) -> tuple[Mapping[tuple[str, str], MachineType], list[Problem]]:
    """Read the machine types of a CSV file.

    Args:
        source: the file; its name gives the cloud (``aws.csv``) where rows have no ``cloud`` cell.
        chips: every accelerator that a row may name.
        clouds: every cloud that a row may name.
        on_demand: read a row when it is asked for, which refuses it where it is wrong; the header, the number of cells
            and the names are checked at once.

    Returns:
        The rows by (cloud, name), and everything that is wrong; with a problem, the rows are not complete.
    """
    rows: Rows = {}
    problems: list[Problem] = []
    records = csv_records(source.text, problems)
    header_line, header = next(records, (1, []))
    wrong_header = _wrong_header(header, source)
    if wrong_header:
        return {}, [*problems, Problem(header_line, wrong_header)]
    read_row = _row_reader(header, source, chips, clouds)
    table = _on_demand(source, [name.strip() for name in header], read_row, clouds) if on_demand else None
    if table is not None:
        return table, []
    for line, cells in records:
        try:
            row = read_row(line, cells)
        except _RowError:
            problems += _wrong_cells(read_row, line, cells, header)
            continue
        key = (row.cloud, row.name)
        if key in rows:
            text = f"instance type {row.name} is already in line {rows[key].line}; keep one of the two"
            problems.append(Problem(line, text))
        rows[key] = row
    return rows, problems


def _on_demand(
    source: Source, header: list[str], read_row: Callable[[int, list[str]], MachineType], clouds: Collection[str]
) -> OnDemand[tuple[str, str], MachineType] | None:
    """Return the rows unread; None where they must be read to know their names, or what is wrong with the file."""
    text = source.text
    if any(mark in text for mark in ('"', "\r", "\0", UNKNOWN)) or "cloud" in header:
        return None
    name_at, width, cloud = header.index("instance_type"), len(header), cloud_of_file(source.path.name, clouds)
    lines = text.split("\n")
    by_key: dict[tuple[str, str], int] = {}
    for at, line in enumerate(lines):
        if line and at:
            cells = line.split(",")
            if len(cells) != width:
                return None
            by_key[cloud, cells[name_at].strip()] = at
    if not lines[0] or len(by_key) != sum(map(bool, lines)) - 1:  # a name is there twice
        return None

    def read(key: tuple[str, str]) -> MachineType:
        at = by_key[key]
        cells = lines[at].split(",")
        try:
            return read_row(at + 1, cells)
        except _RowError:
            raise refusal(source.path, _wrong_cells(read_row, at + 1, cells, header)) from None

    return OnDemand(by_key, read)


def cloud_of_file(name: str, clouds: Collection[str]) -> str:
    """Return the cloud that a file's name begins with (``gcp_mine.csv``), ``aws`` where it names none."""
    return next((cloud for cloud in sorted(clouds) if name.startswith(cloud)), DEFAULT_CLOUD)


def _wrong_header(header: list[str], source: Source) -> str | None:
    names = [name.strip() for name in header]
    for name in names:
        if name not in IN_ROW:
            near = hint(name, IN_ROW)
            return f"column {name!r} is not known{near}; expected {', '.join(REQUIRED)}"
        if names.count(name) > 1:
            return f"column {name} is there {names.count(name)} times; keep one"
    wanted = needed(ROW, correcting=_is_corrections(source))
    missing = [name for name in wanted if name not in names]
    if missing:
        return f"column {', '.join(missing)} is missing; expected {', '.join(wanted)}"
    return None


def _is_corrections(source: Source) -> bool:
    return source.path.stem.endswith(CORRECTIONS)


def _row_reader(
    header: list[str], source: Source, chips: Mapping[str, Chip], clouds: Collection[str]
) -> Callable[[int, list[str]], MachineType]:
    """Return the function that makes a machine type of a line's cells; it raises _RowError.

    What a cell says is worked out once for all rows that have it: two thousand rows have few different numbers.
    """
    at = {name.strip(): position for position, name in enumerate(header)}
    name_at, vcpus_at, memory_at, arch_at, chip_at, count_at = (at[name] for name in REQUIRED)
    cloud_at = at.get("cloud")
    reasons = needed(ROW, correcting=_is_corrections(source))[len(REQUIRED) :]
    file_cloud = cloud_of_file(source.path.name, clouds)
    width, layer = len(header), source.label
    number, arch_of = functools.cache(_number), functools.cache(_arch)
    cloud_of = functools.cache(functools.partial(_cloud, file_cloud=file_cloud, clouds=clouds))
    accelerator = functools.cache(functools.partial(_accelerator, chips=chips))

    def machine_of(line: int, cells: list[str]) -> MachineType:
        if len(cells) != width:
            raise _RowError("", f"has {len(cells)} cells; expected {width}, one for each column")
        for column in reasons:
            if not cells[at[column]].strip():
                raise _RowError(column, f"{column} is empty; a correction says why it is one, and who says so")
        cloud = file_cloud if cloud_at is None else cloud_of(cells[cloud_at])
        chip, count, unknown = accelerator(cells[chip_at], cells[count_at], cloud)
        machine = object.__new__(MachineType)
        machine.__dict__.update(  # the __init__ of a frozen dataclass takes three times as long
            cloud=cloud,
            name=_name(cells[name_at]),
            vcpus=number("vcpus", cells[vcpus_at]),
            memory_mib=number("memory_mib", cells[memory_at]),
            arch=arch_of(cells[arch_at]),
            chip=chip,
            count=count,
            layer=layer,
            line=line,
            unknown=unknown,
        )
        return machine

    return machine_of


def _wrong_cells(
    read_row: Callable[[int, list[str]], MachineType], line: int, cells: list[str], header: list[str]
) -> list[Problem]:
    """Return all that is wrong with a row: what is found is put right, and the row is read again."""
    columns = [name.strip() for name in header]
    found: list[Problem] = []
    while len(found) <= len(columns):
        try:
            read_row(line, cells)
            break
        except _RowError as error:
            found.append(Problem(line, str(error), error.column))
            if not error.column:
                break
            right = dict(zip(columns, cells, strict=True))
            right[error.column] = _RIGHT[error.column]
            if error.column == "accelerator" or not right["accelerator"].strip():
                right["count"] = ""
            cells = [right[column] for column in columns]
    return found


def _accelerator(
    cell: str, count: str, cloud: str, *, chips: Mapping[str, Chip]
) -> tuple[Chip | None, int, str | None]:
    """Return the chip and how many; for an API's name that no chip has, what is in the machine by that name."""
    name, count = cell.strip(), count.strip()
    number = _number("count", count) if count else 0
    if name.startswith(UNKNOWN):
        known, unknown = _resolved(name, number, cloud, chips)
        return known, 0 if known is None else number, unknown
    if not name:
        if number:
            text = f"count is {number} but accelerator is empty; name the accelerator, or empty both"
            raise _RowError("accelerator", text)
        return None, 0, None
    chip = chips.get(name)
    if chip is None:
        raise _RowError("accelerator", f"accelerator {name!r} is in no accelerators.yaml{_meant(name, chips)}")
    if not number:
        text = f"accelerator is {name} but count is {count or 'empty'}; expected how many devices, 1 or more"
        raise _RowError("count", text)
    return chip, number, None


def _meant(name: str, chips: Mapping[str, Chip]) -> str:
    """Return the tail of the error of a name that is no key: what has that name otherwise, or the nearest keys."""
    found = [chip.name for chip in Names(chips.values()).meant(name)]
    if len(found) > 1:
        return f"; the catalog has {' and '.join(found)}: write the one that the machine has"
    return f"; write {found[0]}" if found else hint(name, chips)


def _resolved(cell: str, number: int, cloud: str, chips: Mapping[str, Chip]) -> tuple[Chip | None, str | None]:
    """Return the chip of an API's name, ``?L5``, once exactly one has it; until then, what is in the machine."""
    name = cell.removeprefix(UNKNOWN).strip()
    if not name:
        raise _RowError("accelerator", f"accelerator is {cell}; expected {IN_ROW['accelerator'].expected}")
    found = [chip for chip in chips.values() if name in chip.api_names.get(cloud, ())]
    if len(found) == 1 and number:
        return found[0], None
    return None, f"{number} x {name}" if number else name


def _number(column: str, cell: str) -> int:
    cell = cell.strip()
    if cell.isascii() and cell.isdigit() and len(cell) <= _MAX_DIGITS:
        number = int(cell)
        if number or IN_ROW[column].kind == "count":
            return number
    raise _RowError(column, f"{column} is {cell or 'empty'}; expected {IN_ROW[column].expected}")


def _name(cell: str) -> str:
    cell = cell.strip()
    if _NAME.fullmatch(cell):
        return cell
    if not cell:
        raise _RowError("instance_type", "instance_type is empty; expected the cloud's name for it")
    raise _RowError("instance_type", f"instance_type is {cell!r}; expected {IN_ROW['instance_type'].expected}")


def _arch(cell: str) -> str:
    cell = cell.strip()
    if cell not in ARCHITECTURES:
        raise _RowError("arch", f"arch is {cell or 'empty'}; expected {IN_ROW['arch'].expected}")
    return cell


def _cloud(cell: str, *, file_cloud: str, clouds: Collection[str]) -> str:
    cell = cell.strip()
    if cell and cell not in clouds:
        raise _RowError("cloud", f"cloud is {cell}; expected {', '.join(sorted(clouds))}")
    return cell or file_cloud
