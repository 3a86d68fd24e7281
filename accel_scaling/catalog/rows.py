"""Machine types from the text of a CSV file: one row each, every row checked."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from accel_scaling.catalog.files import CORRECTIONS, Problem, Source, csv_records
from accel_scaling.catalog.model import Chip, MachineType
from accel_scaling.catalog.near import hint

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    Rows = dict[tuple[str, str], MachineType]

REQUIRED = ("instance_type", "vcpus", "memory_mib", "arch", "accelerator", "count")
OPTIONAL = ("cloud", "because", "source")
ARCHITECTURES = ("x86_64", "arm64", "i386")
DEFAULT_CLOUD = "aws"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_MAX_DIGITS = 12  # 10^12 MiB is an exabyte: more digits are a slip of the finger


class _RowError(Exception):
    """What is wrong with one row."""


def parse_rows(source: Source, chips: Mapping[str, Chip], clouds: Collection[str]) -> tuple[Rows, list[Problem]]:
    """Read the machine types of a CSV file.

    Args:
        source: the file; its name gives the cloud (``aws.csv``) where rows have no ``cloud`` cell.
        chips: every accelerator that a row may name.
        clouds: every cloud that a row may name.

    Returns:
        The rows by (cloud, name), and everything that is wrong; with a problem, the rows are not complete.
    """
    rows: Rows = {}
    lines: dict[tuple[str, str], int] = {}
    problems: list[Problem] = []
    records = csv_records(source.text, problems)
    header_line, header = next(records, (1, []))
    wrong_header = _wrong_header(header, source)
    if wrong_header:
        return {}, [*problems, Problem(header_line, wrong_header)]
    read_row = _row_reader(header, source, chips, clouds)
    for line, cells in records:
        row = read_row(line, cells)
        if isinstance(row, Problem):
            problems.append(row)
            continue
        key = (row.cloud, row.name)
        if key in lines:
            text = f"instance type {row.name} is already in line {lines[key]}; keep one of the two"
            problems.append(Problem(line, text))
        rows[key] = row
        lines[key] = line
    return rows, problems


def cloud_of_file(name: str, clouds: Collection[str]) -> str:
    """Return the cloud that a file's name begins with (``gcp_mine.csv``), ``aws`` where it names none."""
    return next((cloud for cloud in sorted(clouds) if name.startswith(cloud)), DEFAULT_CLOUD)


def _wrong_header(header: list[str], source: Source) -> str | None:
    names = [name.strip() for name in header]
    for name in names:
        if name not in REQUIRED and name not in OPTIONAL:
            near = hint(name, (*REQUIRED, *OPTIONAL))
            return f"column {name!r} is not known{near}; expected {', '.join(REQUIRED)}"
        if names.count(name) > 1:
            return f"column {name} is there {names.count(name)} times; keep one"
    wanted = (*REQUIRED, "because", "source") if _is_corrections(source) else REQUIRED
    missing = [name for name in wanted if name not in names]
    if missing:
        return f"column {', '.join(missing)} is missing; expected {', '.join(wanted)}"
    return None


def _is_corrections(source: Source) -> bool:
    return source.path.stem.endswith(CORRECTIONS)


def _row_reader(
    header: list[str], source: Source, chips: Mapping[str, Chip], clouds: Collection[str]
) -> Callable[[int, list[str]], MachineType | Problem]:
    """Return the function that makes a machine type of a line's cells, or says what is wrong with them."""
    at = {name.strip(): position for position, name in enumerate(header)}
    name_at, vcpus_at, memory_at, arch_at, chip_at, count_at = (at[name] for name in REQUIRED)
    cloud_at = at.get("cloud")
    reasons = ("because", "source") if _is_corrections(source) else ()
    file_cloud = cloud_of_file(source.path.name, clouds)
    width, layer = len(header), source.label

    def machine_of(line: int, cells: list[str]) -> MachineType:
        if len(cells) != width:
            raise _RowError(f"has {len(cells)} cells; expected {width}, one for each column")
        cells = [cell.strip() for cell in cells]
        for column in reasons:
            if not cells[at[column]]:
                raise _RowError(f"{column} is empty; a correction says why it is one, and who says so")
        chip, count = _accelerator(cells[chip_at], cells[count_at], chips)
        return MachineType(
            cloud=_cloud(cells[cloud_at], clouds) if cloud_at is not None and cells[cloud_at] else file_cloud,
            name=_name(cells[name_at]),
            vcpus=_number("vcpus", cells[vcpus_at], at_least=1),
            memory_mib=_number("memory_mib", cells[memory_at], at_least=1),
            arch=_arch(cells[arch_at]),
            chip=chip,
            count=count,
            layer=layer,
            line=line,
        )

    def read_row(line: int, cells: list[str]) -> MachineType | Problem:
        try:
            return machine_of(line, cells)
        except _RowError as error:
            return Problem(line, str(error))

    return read_row


def _accelerator(name: str, count: str, chips: Mapping[str, Chip]) -> tuple[Chip | None, int]:
    number = _number("count", count, at_least=0) if count else 0
    if not name:
        if number:
            raise _RowError(f"count is {number} but accelerator is empty; name the accelerator, or empty both")
        return None, 0
    chip = chips.get(name)
    if chip is None:
        raise _RowError(f"accelerator {name!r} is in no accelerators.yaml{hint(name, chips)}")
    if not number:
        raise _RowError(f"accelerator is {name} but count is {count or 'empty'}; expected how many devices, 1 or more")
    return chip, number


def _number(column: str, cell: str, *, at_least: int) -> int:
    if cell.isascii() and cell.isdigit() and len(cell) <= _MAX_DIGITS:
        number = int(cell)
        if number >= at_least:
            return number
    raise _RowError(f"{column} is {cell or 'empty'}; expected a whole number of {at_least} or more")


def _name(cell: str) -> str:
    if not cell:
        raise _RowError("instance_type is empty; expected the cloud's name for it")
    if not _NAME.fullmatch(cell):
        raise _RowError(f"instance_type is {cell!r}; expected letters, digits, '.', '-' and '_'")
    return cell


def _arch(cell: str) -> str:
    if cell not in ARCHITECTURES:
        raise _RowError(f"arch is {cell or 'empty'}; expected {', '.join(ARCHITECTURES)}")
    return cell


def _cloud(cell: str, clouds: Collection[str]) -> str:
    if cell not in clouds:
        raise _RowError(f"cloud is {cell}; expected {', '.join(sorted(clouds))}")
    return cell
