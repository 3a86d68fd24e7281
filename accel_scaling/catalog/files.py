"""Catalog files: which table each is, its text, and what is wrong with it as lines."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from accel_scaling.catalog import schema
from accel_scaling.catalog.columns import CLOUD
from accel_scaling.clouds import SHIPPED_FOLDER, default_cloud, known_clouds
from accel_scaling.errors import CatalogFileError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from accel_scaling.catalog.columns import Table

T = TypeVar("T")

CHIPS_FILE = schema.CHIPS.files
CORRECTIONS = "_corrections"
REFRESH_FOLDER = "refresh"  # below ~/.accel_scaling

_BY_ENDING = (schema.CORRECTIONS, schema.OFFERINGS, schema.LAUNCH_ERRORS)
_LAYERED = (schema.MACHINE_TYPES, schema.CORRECTIONS, schema.OFFERINGS)  # a user's own files add to these


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
        return is_yaml(self.path)

    def accept(self, parsed: tuple[T, list[Problem]]) -> T:
        """Return what was parsed from this file, or refuse the file whole.

        Raises:
            CatalogFileError: the file has a problem; the text names the first one, and how to see the rest.
        """
        value, problems = parsed
        if problems:
            raise refusal(self.path, problems)
        return value


def is_yaml(path: Path) -> bool:
    """Return whether a file's name is that of a YAML file."""
    return path.suffix.lower() in {".yaml", ".yml"}


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


def table_of(path: Path) -> Table:
    """Return the table that a file is by its name; a CSV file of any other name holds machine types."""
    return schema.CHIPS if is_yaml(path) else _table_named(path.name.lower(), tuple(known_clouds()))


@functools.cache
def _table_named(name: str, clouds: tuple[str, ...]) -> Table:
    for table in schema.TABLES:
        ending = table.files.removeprefix(CLOUD)
        if table in _BY_ENDING and name.endswith(ending):
            return table
        if name in (map(table.file_of, clouds) if table.of_cloud else (table.files,)):
            return table
    return schema.OFFERINGS if name == "places.csv" else schema.MACHINE_TYPES


def shipped(table: Table, cloud: str = "") -> Source | None:
    """Return the shipped file of a table, a cloud's where each has its own; None where there is none."""
    name = table.file_of(cloud)
    path = (known_clouds()[cloud].data if cloud else SHIPPED_FOLDER) / name
    return read(path, label=name) if path.is_file() else None


def shipped_files(cloud: str, tables: Iterable[Table]) -> list[Source]:
    """Return a cloud's shipped files of some tables, as far as it has them."""
    return [source for table in tables if (source := shipped(table, cloud))]


def shipped_rules() -> list[Source]:
    """Return the shipped files that no user's file adds to: what goes with what, images, launch errors, Kubernetes."""
    rules = [table for table in schema.TABLES if table not in {*_LAYERED, schema.CHIPS}]
    of_clouds = [shipped(table, cloud) for table in rules if table.of_cloud for cloud in known_clouds()]
    return [source for source in (*of_clouds, *(shipped(table) for table in rules if not table.of_cloud)) if source]


def cloud_of_file(name: str, clouds: Collection[str] | None = None) -> str:
    """Return the cloud that a file's name begins with (``gcp_mine.csv``); the default cloud where it names none."""
    named = [cloud for cloud in (known_clouds() if clouds is None else clouds) if name.startswith(cloud)]
    return max(named, key=len, default=default_cloud())
