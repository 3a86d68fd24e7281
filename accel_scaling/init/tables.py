"""The tables of first cluster files: where accelerators usually are, and what a cloud offers no more."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from accel_scaling.catalog.columns import EMPTY, Column, ListOf, Table, Text
from accel_scaling.catalog.files import read
from accel_scaling.catalog.table import read_table

if TYPE_CHECKING:
    from pathlib import Path

    from accel_scaling.catalog.table import RowValues

_SOURCE = Column("source", Text(), "who says so")
USUAL_REGIONS = Table(
    "usual_regions.csv",
    "where machines with an accelerator usually are",
    (
        Column("accelerator", Text(), "a key of accelerators.yaml; empty for any other", EMPTY),
        Column("region", Text(), "the cloud's name"),
        Column("zones", ListOf(Text()), "in the order to try them; empty for all of the region's", EMPTY),
        Column("head", Text(), "the machine type of the head there"),
        _SOURCE,
    ),
    key=("accelerator",),
)
NOT_OFFERED = Table(
    "not_offered.csv",
    "what a cloud offers no more",
    (
        Column("name", Text(), "how the machine types' names begin, or an attached accelerator's name"),
        Column("because", Text(), "as a clause"),
        _SOURCE,
    ),
    key=("name",),
)


@functools.cache
def rows_of(table: Table, folder: Path) -> tuple[RowValues, ...]:
    """Return the rows of one of the two tables of a cloud's folder.

    Raises:
        CatalogFileError: the file has a wrong row.
    """
    source = read(folder / table.files)
    return tuple(source.accept(read_table(source, table, lambda row, _: row)))
