"""The parts of a table's description: kinds of cells, columns, tables; `schema` has the tables themselves."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from enum import Enum

CLOUD = "CLOUD"  # in a file pattern: the name of a cloud

ALWAYS, EMPTY, LEFT_OUT = "always", "may be empty", "may be left out"

MAX_DIGITS = 12  # 10^12 MiB is an exabyte: more digits are a typo


# Plain classes: as dataclasses, these nine would take 5 ms of each command's start.


class Text:
    """Text; with a pattern, text of this form."""

    def __init__(self, pattern: str = "", expected: str = "text", empty: Any = "") -> None:
        self.pattern, self.expected, self.empty = pattern, expected, empty
        self._form: re.Pattern[str] | None = None  # compiled when the first cell is read

    def value(self, cell: str) -> str:
        """Return the text.

        Raises:
            ValueError: it has another form.
        """
        if self.pattern:
            self._form = self._form or re.compile(self.pattern)
            if not self._form.fullmatch(cell):
                raise ValueError(cell)
        return cell


class Number:
    """A whole number in decimal digits."""

    def __init__(self, at_least: int = 1, *, empty: int | None = 0) -> None:
        self.at_least, self.empty = at_least, empty
        self.expected = f"a whole number of {at_least} or more"

    def value(self, cell: str) -> int:
        """Return the number.

        Raises:
            ValueError: it is none, or too small.
        """
        # isdigit() and int() alone take the digits of every script, such as Arabic ones.
        if cell.isascii() and cell.isdigit() and len(cell) <= MAX_DIGITS and int(cell) >= self.at_least:
            return int(cell)
        raise ValueError(cell)


class Amount:
    """A decimal number, exactly as it is written."""

    def __init__(self, *, above_zero: bool = True) -> None:
        self.above_zero, self.empty = above_zero, None
        self.expected = "a number above 0" if above_zero else "a number of 0 or more, such as 32.77"

    def value(self, cell: str) -> Decimal:
        """Return the number.

        Raises:
            ValueError: it is none, or too small.
        """
        try:
            number = Decimal(cell)
        except InvalidOperation:
            raise ValueError(cell) from None
        # Decimal reads NaN and Infinity, too.
        if not number.is_finite() or number >= 10**MAX_DIGITS or number < 0 or (self.above_zero and not number):
            raise ValueError(cell)
        return number


class OneOf:
    """One of a few words, each with the value that it stands for."""

    def __init__(self, words: Mapping[str, Any]) -> None:
        self.words, self.empty = words, None
        self.expected = ", ".join(words)

    def value(self, cell: str) -> Any:
        """Return what the word stands for.

        Raises:
            ValueError: it is another word.
        """
        if cell not in self.words:
            raise ValueError(cell)
        return self.words[cell]


class Name:
    """The name of something that is defined elsewhere; the caller of the reader says which names there are.

    Args:
        of: what it names: a key of ``known``, which the reader is given.
        expected: what a cell looks like: the end of "expected ...".
        open: a cell that begins with this sign names something that need not be known.
    """

    def __init__(self, of: str, expected: str, open: str = "") -> None:  # noqa: A002 - the word for it
        self.of, self.expected, self.open, self.empty = of, expected, open, ""

    def value(self, cell: str) -> str:
        """Return the name."""
        return cell


class ListOf:
    """Several words in one cell.

    Args:
        of: each word.
        separator: is between them.
        none: the cell that stands for a list without words.
        empty: what an empty cell stands for.
    """

    def __init__(self, of: Text | Name, separator: str = " ", *, none: str = "", empty: Any = ()) -> None:
        self.of, self.separator, self.none, self.empty = of, separator, none, empty
        between = "" if separator == " " else f", '{separator}' between"
        self.expected = f"a list of {of.expected}{between}"


class ByCloud:
    """In YAML: a list of names for each cloud."""

    def __init__(self, names: ListOf) -> None:
        self.names, self.empty = names, None
        self.expected = f"a mapping of a cloud to {names.expected}"


Value = Text | Number | Amount | OneOf | Name | ListOf | ByCloud


class Column:
    """A column of a CSV file, or a field of a YAML file.

    Args:
        name: as it is written.
        value: what a cell may say.
        means: what it says, in a few words.
        needed: ALWAYS; EMPTY, where a cell may be; LEFT_OUT, where the whole column may be.
        unit: of a number.
    """

    def __init__(self, name: str, value: Value, means: str, needed: str = ALWAYS, unit: str = "") -> None:
        self.name, self.value, self.means, self.needed, self.unit = name, value, means, needed, unit
        self.expected = value.expected


class Table:
    """One kind of file.

    Args:
        files: the name of its files, with ``CLOUD`` for a cloud's name.
        holds: what a row is, in a few words.
        columns: in the order in which they are written.
        key: the columns that no two rows have alike.
        order: the columns by which the rows of shipped and refreshed files are sorted; empty where the order is
            the reader's (the first row that fits), or free.
        others: columns of other names are passed over; else they are refused.
    """

    def __init__(
        self,
        files: str,
        holds: str,
        columns: tuple[Column, ...],
        *,
        key: tuple[str, ...],
        order: tuple[str, ...] = (),
        others: bool = False,
    ) -> None:
        self.files, self.holds, self.columns = files, holds, columns
        self.key, self.order, self.others = key, order, others
        self.names = tuple(column.name for column in columns)
        self.required = tuple(column.name for column in columns if column.needed != LEFT_OUT)
        self.of_cloud = CLOUD in files  # each cloud has a file of its own

    def file_of(self, cloud: str = "") -> str:
        """Return the name of a file that ships; a cloud's, where each has its own."""
        return self.files.replace(CLOUD, cloud)

    def column(self, name: str) -> Column:
        """Return the column of a name."""
        return next(column for column in self.columns if column.name == name)


def documented(table: Table) -> str:
    """Return the columns as the table that the documents show."""
    lines = ["| name | is | expected | needed |", "|---|---|---|---|"]
    for column in table.columns:
        unit = f", in {column.unit}" if column.unit else ""
        lines.append(f"| `{column.name}` | {column.means} | {column.expected}{unit} | {column.needed} |")
    return "\n".join(lines)


# --- what several tables share ---

ARCHITECTURES = ("x86_64", "arm64", "i386")
UNKNOWN = "?"  # before the API's own name of an accelerator that the catalog does not know yet; written by a refresh
MIXED = " + "  # between the names of several kinds of accelerator in one machine
WHOLE = "*"  # in `types` of an offerings file: the region itself
NOWHERE = "-"  # in `zones` there: no zone has it
NO_ACCELERATOR = "none"  # the family of a machine without one, in the tables about nodes
ANY_SERIES = "*"

# What names may refer to: keys of `known` at the reader.
ACCELERATOR, API_NAME, OF_CLOUD = "accelerator", "accelerator of the API", "cloud"
FAMILY, GENERATION, MACHINE_TYPE = "family", "TPU generation", "machine type"


def words_of(words: type[Enum]) -> OneOf:
    """Return the kind of cell that holds one word of an enum."""
    return OneOf({word.value: word for word in words})


NAME = Text(r"[A-Za-z0-9][A-Za-z0-9._-]*", "letters, digits, '.', '-' and '_'")
OPTIONS = ListOf(
    # What reaches a shell on the node, unquoted by Ray: no space, no quote, no sign that a shell reads.
    Text(r"--?[a-z][a-z-]*(?:=[A-Za-z0-9_./:,=-]*(?:\{n\})?)?", "options without spaces, as --device=/dev/kfd")
)
TOPOLOGY = "[1-9][0-9]{0,3}x[1-9][0-9]{0,3}(?:x[1-9][0-9]{0,3})?"
TOPOLOGIES = ListOf(Text(TOPOLOGY, "edges, as 2x2x4"))
ZONES = ListOf(Text("[a-z0-9]+(?:-[a-z0-9]+){2,}", "full names of zones, as us-east1-c"))
LABEL = Text(r"[a-z0-9.-]+/[A-Za-z0-9._-]+", "a name such as nvidia.com/gpu")
CHIP = Name(ACCELERATOR, "a key of accelerators.yaml")
CHIPS_OF = ListOf(Name(ACCELERATOR, "keys of accelerators.yaml"))
CLOUD_NAME = Name(OF_CLOUD, "the name of a cloud")
FAMILY_NAME = Name(FAMILY, "a family of node_families.csv")
ARCH = OneOf({word: word for word in ARCHITECTURES})
YES_OR_NO = OneOf({"yes": True, "no": False})
NAMES = ListOf(Text(expected="names"))
SOURCE = Column("source", Text(), "who says so, and when")
