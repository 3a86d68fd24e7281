"""Catalog files as text, and what is wrong with them as lines: shared by the two parsers (chips, rows)."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from accel_scaling.errors import CatalogFileError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

T = TypeVar("T")

CHIPS_FILE = "accelerators.yaml"
CORRECTIONS = "_corrections"
REFRESH_FOLDER = "refresh"  # below ~/.accel_scaling


class Problem(NamedTuple):
    """One thing that is wrong in a file, and in which column or field; empty where it is the line, or the file."""

    line: int
    text: str
    column: str = ""


@dataclass(frozen=True)
class Source:
    """A catalog file that has been read.

    Attributes:
        path: the file.
        label: how answers name it as their layer: the bare name for a shipped file, else the path.
        text: its content, without a byte-order mark.
    """

    path: Path
    label: str
    text: str

    @property
    def is_chips(self) -> bool:
        """Whether the file describes accelerators (YAML) rather than machine types (CSV)."""
        return self.path.suffix.lower() in {".yaml", ".yml"}

    def accept(self, parsed: tuple[T, list[Problem]]) -> T:
        """Return what was parsed from this file, or refuse the file whole.

        Raises:
            CatalogFileError: the file has a problem; the text names the first one, and how to see the rest.
        """
        value, problems = parsed
        if problems:
            raise refusal(self.path, problems)
        return value


def refusal(path: Path, problems: list[Problem]) -> CatalogFileError:
    """Return the error of a file with problems: the first one, and how to see the rest."""
    first = describe(path, min(problems))
    more = len(problems) - 1
    return CatalogFileError(first + (f" (and {more} more: `accel-scaling catalog check {path}`)" if more else ""))


def describe(path: Path, problem: Problem) -> str:
    """Return ``file:line: what is wrong``."""
    return f"{path}:{problem.line}: {problem.text}"


def read(path: Path, *, label: str | None = None) -> Source:
    """Read a catalog file.

    Raises:
        CatalogFileError: there is no such file, it cannot be read, or it is not UTF-8.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CatalogFileError(f"{path}: cannot be read as a catalog file: {error.strerror}") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CatalogFileError(f"{path}:{line}: is not UTF-8; save the file as UTF-8") from error
    return Source(path, label or str(path), text)


def csv_records(text: str, problems: list[Problem]) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, cells) of each record that is not blank; text that is not CSV becomes a problem."""
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
        line = reader.line_num + 1
