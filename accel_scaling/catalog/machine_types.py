"""Machine types from the text of a CSV file: one row each, every row checked."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from accel_scaling.catalog.files import Problem, Source, cloud_of_file, refusal, table_of
from accel_scaling.catalog.model import Chip, MachineType
from accel_scaling.catalog.schema import ACCELERATOR, CORRECTIONS, MACHINE_TYPES, OF_CLOUD, UNKNOWN
from accel_scaling.catalog.table import CellError, OnDemand, RowReader, csv_records, header_of, read_table

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from accel_scaling.catalog.columns import Table
    from accel_scaling.catalog.table import Known, RowValues

    Key = tuple[str, str]


def parse_rows(
    source: Source, chips: Mapping[str, Chip], clouds: Collection[str], *, on_demand: bool = False
) -> tuple[Mapping[Key, MachineType], list[Problem]]:
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
    table = CORRECTIONS if table_of(source.path) is CORRECTIONS else MACHINE_TYPES
    cloud = cloud_of_file(source.path.name, clouds)
    known = {ACCELERATOR: chips, OF_CLOUD: clouds}
    make = _machine_maker(cloud, source.label, chips)
    if on_demand and (unread := _on_demand(source, table, cloud, known, make)) is not None:
        return unread, []
    rows, problems = read_table(
        source, table, make, known, key=lambda row: (row["cloud"] or cloud, row["instance_type"])
    )
    return {(row.cloud, row.name): row for row in rows}, problems


def _on_demand(
    source: Source, table: Table, cloud: str, known: Known, make: Callable[[RowValues, int], MachineType]
) -> OnDemand[Key, MachineType] | None:
    """Return the rows unread; None where they must be read to know their names, or what is wrong with the file."""
    text = source.text
    problems: list[Problem] = []
    header = header_of(csv_records(text, problems), table, problems)
    if header is None or problems or any(mark in text for mark in ('"', "\r", "\0", UNKNOWN)) or "cloud" in header:
        return None
    reader = RowReader(table, header, known)
    name_at, width = header.index("instance_type"), len(header)
    lines = text.split("\n")
    by_key: dict[Key, int] = {}
    for at, line in enumerate(lines):
        if line and at:
            cells = line.split(",")
            if len(cells) != width:
                return None
            by_key[cloud, cells[name_at].strip()] = at
    if not lines[0] or len(by_key) != sum(map(bool, lines)) - 1:  # a name is there twice
        return None

    def row_of(key: Key) -> MachineType:
        at = by_key[key]
        cells = lines[at].split(",")
        try:
            return make(reader.row(cells), at + 1)
        except CellError as error:
            raise refusal(source.path, reader.problems(at + 1, cells, error)) from None

    return OnDemand(by_key, row_of)


def _machine_maker(cloud: str, layer: str, chips: Mapping[str, Chip]) -> Callable[[RowValues, int], MachineType]:
    """Return the function that makes a machine type of a row and its line."""
    has = functools.cache(functools.partial(_accelerator, chips=chips))

    def machine_of(row: RowValues, line: int) -> MachineType:
        of = row["cloud"] or cloud
        chip, count, unknown = has(row["accelerator"], row["count"], of)
        machine = object.__new__(MachineType)
        machine.__dict__.update(  # the __init__ of a frozen dataclass takes three times as long
            cloud=of,
            name=row["instance_type"],
            vcpus=row["vcpus"],
            memory_mib=row["memory_mib"],
            arch=row["arch"],
            chip=chip,
            count=count,
            layer=layer,
            line=line,
            unknown=unknown,
        )
        return machine

    return machine_of


def _accelerator(
    name: str, count: int | None, cloud: str, *, chips: Mapping[str, Chip]
) -> tuple[Chip | None, int, str | None]:
    """Return the chip and how many; for an API's name that no chip has, what is in the machine by that name."""
    if name.startswith(UNKNOWN):
        known, unknown = _resolved(name, count or 0, cloud, chips)
        return known, 0 if known is None else count or 0, unknown
    if not name:
        if count:
            text = f"count is {count} but accelerator is empty; name the accelerator, or empty both"
            raise CellError("accelerator", text)
        return None, 0, None
    if not count:
        amount = "empty" if count is None else count
        text = f"accelerator is {name} but count is {amount}; expected how many devices, 1 or more"
        raise CellError("count", text)
    return chips[name], count, None


def _resolved(cell: str, number: int, cloud: str, chips: Mapping[str, Chip]) -> tuple[Chip | None, str | None]:
    """Return the chip of an API's name, ``?L5``, once exactly one has it; until then, what is in the machine."""
    name = cell.removeprefix(UNKNOWN).strip()
    if not name:
        expected = MACHINE_TYPES.column("accelerator").expected
        raise CellError("accelerator", f"accelerator is {cell}; expected {expected}")
    named = [chip for chip in chips.values() if name in chip.api_names.get(cloud, ())]
    if len(named) == 1 and number:
        return named[0], None
    return None, f"{number} x {name}" if number else name
