"""The one reader of CSV files: records, typed cells, and every problem with its line and column.

A row becomes a mapping of column name to typed value, by the table's description in ``schema``; a function of the
module that owns the table makes its value of that.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping
from operator import getitem, itemgetter
from typing import TYPE_CHECKING, Any, TypeVar

from accel_scaling.catalog import columns
from accel_scaling.catalog.columns import ALWAYS, ByCloud, Column, ListOf, Name
from accel_scaling.catalog.files import Problem
from accel_scaling.catalog.product_names import meant_by
from accel_scaling.catalog.suggest import hint
from accel_scaling.message_text import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from accel_scaling.catalog.columns import Amount, Number, OneOf, Table, Text
    from accel_scaling.catalog.files import Source

RowValues = Mapping[str, Any]
Known = Mapping[str, Collection[str]]

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")


class CellError(Exception):
    """One wrong cell; raised by the functions that make a value of a row, too."""

    def __init__(self, column: str, text: str) -> None:
        super().__init__(text)
        self.column = column


class RowReader:
    """Reads the rows of one file.

    What a cell says is worked out once for all rows that have it: thousands of rows have few different cells.

    Args:
        table: the file's.
        header: its columns' names.
        known: the names that a cell may hold, by what they name (``Name.of``); of what is not there, any name will do.
    """

    def __init__(self, table: Table, header: Sequence[str], known: Known) -> None:
        self._width = len(header)
        columns = {column.name: column for column in table.columns}
        self._cells = [_Cells(columns.get(name), known) for name in header]
        absent = [column for column in table.columns if column.name not in header]
        self.names = (*header, *(column.name for column in absent))
        self._absent = tuple(column.value.empty for column in absent)

    def values(self, cells: Sequence[str]) -> tuple[Any, ...]:
        """Return the typed values of a line's cells, in the order of ``names``.

        Raises:
            CellError: one is wrong.
        """
        if len(cells) != self._width:
            raise CellError("", f"has {len(cells)} cells; expected {self._width}, one for each column")
        # No Python runs for a cell that was read before: rows load in half the time.
        return (*map(getitem, self._cells, cells), *self._absent)

    def row(self, cells: Sequence[str]) -> RowValues:
        """Return the typed values of a line's cells by column.

        Raises:
            CellError: one is wrong.
        """
        return dict(zip(self.names, self.values(cells), strict=True))

    def problems(self, line: int, cells: Sequence[str], error: CellError) -> list[Problem]:
        """Return everything that is wrong with a line's cells, given the first error."""
        # `values` stops at the first wrong cell; a person who repairs the file wants to see all of them.
        problems = [] if len(cells) != self._width else self._wrong_cells(line, cells)
        return problems or [Problem(line, str(error), error.column)]

    def _wrong_cells(self, line: int, cells: Sequence[str]) -> list[Problem]:
        problems = []
        for of, cell in zip(self._cells, cells, strict=True):
            try:
                of[cell]
            except CellError as error:  # noqa: PERF203 - each wrong cell is named
                problems.append(Problem(line, str(error), error.column))
        return problems


class _Cells(dict[str, Any]):
    """The typed values of a column by the cells that say them."""

    def __init__(self, column: Column | None, known: Known) -> None:
        super().__init__()
        self._column = column
        self._known = known

    def __missing__(self, cell: str) -> Any:
        value = self[cell] = cell.strip() if self._column is None else value_of(self._column, cell.strip(), self._known)
        return value


def value_of(column: Column, cell: str, known: Known) -> Any:
    """Return the typed value of a cell, which has no space around it.

    Raises:
        CellError: it is wrong; the text says what is expected.
    """
    if not cell:
        if column.needed == ALWAYS:
            raise CellError(column.name, f"{column.name} is empty; expected {column.expected}")
        return column.value.empty
    value = column.value
    if isinstance(value, ByCloud):
        raise CellError(column.name, f"{column.name} is {cell}; expected {value.expected}")
    if not isinstance(value, ListOf):
        return _word(column, value, cell, known, "is")
    if value.none and cell == value.none:
        return ()
    words = cell.split(value.separator)
    return tuple(
        _word(column, value.of, word if value.separator == " " else word.strip(), known, "has") for word in words
    )


def _word(column: Column, value: Text | Number | Amount | OneOf | Name, word: str, known: Known, verb: str) -> Any:
    if isinstance(value, Name) and (names := known.get(value.of)) is not None and word not in names:
        if value.open and word.startswith(value.open):
            return word
        raise CellError(column.name, f"{column.name} {_unknown(value, word, names)}")
    try:
        if word:  # two separators side by side have an empty word between them
            return value.value(word)
    except ValueError:
        pass
    shown = (word if word.isprintable() else repr(word)) or "an empty word"
    raise CellError(column.name, f"{column.name} {verb} {shown}; expected {value.expected}") from None


def _unknown(value: Name, word: str, names: Collection[str]) -> str:
    if value.of == columns.ACCELERATOR and isinstance(names, Mapping):
        return f"{shown(word)} is not in accelerators.yaml{meant_by(word, names)}"
    if value.of == columns.OF_CLOUD:
        return f"is {word}; expected {', '.join(sorted(names))}"
    return f"{shown(word)} is not known{hint(word, names)}"


def read_table(
    source: Source,
    table: Table,
    make: Callable[[RowValues, int], T],
    known: Known | None = None,
    *,
    key: Callable[[RowValues], object] | None = None,
) -> tuple[list[T], list[Problem]]:
    """Read the rows of a file.

    Args:
        source: the file.
        table: what it is.
        make: makes a value of a row and its line; raises CellError.
        known: the names that cells may hold, as for RowReader.
        key: what no two rows may have in common; the table's key where it is None.

    Returns:
        The values, and everything that is wrong; with a problem, the values are not complete.
    """
    key = key or itemgetter(*table.key)

    def keyed(reader: RowReader, cells: Sequence[str], line: int) -> tuple[object, T]:
        row = reader.row(cells)
        return key(row), make(row, line)

    return read_rows(source, table, keyed, known or {})


def read_rows(
    source: Source, table: Table, make: Callable[[RowReader, Sequence[str], int], tuple[object, T]], known: Known
) -> tuple[list[T], list[Problem]]:
    """Read the rows of a file; as read_table(), for files of which speed matters.

    Args:
        source: the file.
        table: what it is.
        make: makes what no two rows may have in common, and a value, of a line's cells; raises CellError.
        known: the names that cells may hold, as for RowReader.
    """
    problems: list[Problem] = []
    records = csv_records(source.text, problems)
    header = header_of(records, table, problems)
    if header is None:
        return [], problems
    reader = RowReader(table, header, known)
    values: list[T] = []
    lines: dict[object, int] = {}
    for line, cells in records:
        try:
            key, value = make(reader, cells, line)
        except CellError as error:
            problems += reader.problems(line, cells, error)
            continue
        # A second row of the same key is a problem in any file: which of the two counts would depend on their order.
        first = lines.setdefault(key, line)
        if first != line:
            row = dict(zip(header, (cell.strip() for cell in cells), strict=True))
            what = " ".join(row[name] for name in table.key if row[name])
            problems.append(Problem(line, f"{what} is already in line {first}; keep one of the two", table.key[0]))
        values.append(value)
    return values, problems


def header_of(
    records: Iterator[tuple[int, list[str]]], table: Table, problems: list[Problem]
) -> tuple[str, ...] | None:
    """Return the columns' names from the first record; None where they are wrong, which becomes a problem."""
    line, cells = next(records, (1, []))
    names = tuple(cell.strip() for cell in cells)
    expected = ", ".join(table.required)
    missing = [name for name in table.required if name not in names]
    text = ""
    for name in names:
        if name not in table.names and not table.others:
            text = text or f"column {shown(name)} is not known{hint(name, table.names)}; expected {expected}"
        elif names.count(name) > 1:
            text = text or f"column {name} appears {names.count(name)} times; keep one"
    if missing and not text:
        text = f"column {', '.join(missing)} is missing; expected {expected}"
    if text:  # the first problem alone: with a wrong header every row would be wrong, too
        problems.append(Problem(line, text))
    return None if text else names


def csv_records(text: str, problems: list[Problem]) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, cells) of each record that is not blank; text that is not CSV becomes a problem."""
    # strict: else a quote that is never closed makes one cell of the rest of the file.
    # newline="": line breaks within quotes are the csv module's to read.
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problems.append(Problem(max(line, 1), f"is not CSV: {error}"))
            return
        if cells:
            yield line, cells
        line = reader.line_num + 1  # a record with line breaks in quotes has several lines


def cells_of(source: Source) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line, cells by column) of each record, whatever else may be wrong with the file; spaces are cut off."""
    records = csv_records(source.text, [])
    _, header = next(records, (1, []))
    names = [name.strip() for name in header]
    for line, cells in records:
        # Not strict: a row with too few cells is reported where the file is read, and must not stop this.
        yield line, dict(zip(names, (cell.strip() for cell in cells), strict=False))


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return the text of a file with these columns and cells."""
    text = io.StringIO()
    # The csv module's own line end is \r\n: it would change every line of the files in git.
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    return text.getvalue()


class OnDemand(Mapping[K, V]):
    """A mapping that knows its keys, and makes each value when it is asked for: most answers need one of 2,000 rows.

    Args:
        keys: the keys, in their order.
        make: makes the value of a key; what it raises, the look-up raises.
    """

    def __init__(self, keys: Mapping[K, object], make: Callable[[K], V]) -> None:
        self._keys = keys
        self._make = make
        self._made: dict[K, V] = {}

    def __getitem__(self, key: K) -> V:
        if key not in self._made:
            if key not in self._keys:
                raise KeyError(key)
            self._made[key] = self._make(key)
        return self._made[key]

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __iter__(self) -> Iterator[K]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)
