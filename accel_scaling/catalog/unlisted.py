"""What no listing of a cloud has, as data, and how old each file that ships is.

``CLOUD_unlisted.csv`` has machine types that are known from elsewhere alone: what is listed of their family is not said
of them. ``dates.csv`` has a date for each file.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from accel_scaling.catalog.files import shipped
from accel_scaling.catalog.model import UnlistedKind
from accel_scaling.catalog.schema import DATES, UNLISTED
from accel_scaling.catalog.table import read_table

if TYPE_CHECKING:
    from accel_scaling.catalog.files import Problem, Source


@dataclass(frozen=True)
class Unlisted:
    """A thing that no listing of a cloud has; a row of ``CLOUD_unlisted.csv``.

    Attributes:
        name: the cloud's name for it.
        kind: a machine type, an accelerator that is attached, a TPU slice, or a region.
        known: of a machine type without a row: what is known of it; empty for all others.
        source: who says that it exists, or existed.
    """

    name: str
    kind: UnlistedKind
    known: str
    source: str


@dataclass(frozen=True)
class FileDate:
    """The age of a file that ships; a row of ``dates.csv``."""

    file: str
    as_of: str
    source: str


def parse_unlisted(source: Source) -> tuple[list[Unlisted], list[Problem]]:
    """Read what no listing has, and everything that is wrong with the file."""
    return read_table(source, UNLISTED, lambda row, _: Unlisted(row["name"], row["what"], row["known"], row["source"]))


@functools.cache
def unlisted(cloud: str, kind: UnlistedKind = UnlistedKind.TYPE) -> dict[str, Unlisted]:
    """Return what no listing of a cloud has, by name; none where the cloud has no such table.

    Raises:
        CatalogFileError: the file has a wrong row.
    """
    source = shipped(UNLISTED, cloud)
    rows = source.accept(parse_unlisted(source)) if source else ()
    return {row.name: row for row in rows if row.kind is kind}


def parse_dates(source: Source) -> tuple[list[FileDate], list[Problem]]:
    """Read the dates, and everything that is wrong with their file."""
    return read_table(source, DATES, lambda row, _: FileDate(row["file"], row["as_of"], row["source"]))


@functools.cache
def dates() -> dict[str, str]:
    """Return how old each file that ships is, by its name.

    Raises:
        CatalogFileError: the file has a wrong row.
    """
    source = shipped(DATES)
    return {row.file: row.as_of for row in source.accept(parse_dates(source))} if source else {}
