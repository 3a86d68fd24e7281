"""The tables of first cluster files: where accelerators usually are, and what a cloud offers no more."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.catalog.columns import EMPTY, Column, ListOf, Name, Table, Text
from accel_scaling.catalog.files import read
from accel_scaling.catalog.schema import OF_CLOUD
from accel_scaling.catalog.table import read_table
from accel_scaling.clouds import known_clouds

if TYPE_CHECKING:
    from accel_scaling.catalog.table import RowValues

_CLOUD = Column("cloud", Name(OF_CLOUD, "the name of a cloud"), "whose")
_SOURCE = Column("source", Text(), "who says so")
USUAL_PLACES = Table(
    "usual_places.csv",
    "where machines with an accelerator usually are",
    (
        _CLOUD,
        Column("accelerator", Text(), "a key of accelerators.yaml; empty for any other", EMPTY),
        Column("region", Text(), "the cloud's name"),
        Column("zones", ListOf(Text()), "in the order to try them; empty for all of the region's", EMPTY),
        Column("head", Text(), "the machine type of the head there"),
        _SOURCE,
    ),
    key=("cloud", "accelerator"),
)
PASSED_OVER = Table(
    "passed_over.csv",
    "what a cloud offers no more",
    (
        _CLOUD,
        Column("name", Text(), "how the machine types' names begin, or an attached accelerator's name"),
        Column("because", Text(), "as a clause"),
        _SOURCE,
    ),
    key=("cloud", "name"),
)


@functools.cache
def rows_of(table: Table) -> tuple[RowValues, ...]:
    """Return the rows of one of the two tables.

    Raises:
        CatalogFileError: the file has a wrong row.
    """
    source = read(Path(__file__).parent / table.files)
    return tuple(source.accept(read_table(source, table, lambda row, _: row, {OF_CLOUD: known_clouds()})))
