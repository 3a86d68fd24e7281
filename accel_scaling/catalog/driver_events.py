"""Errors of devices that drivers report: the table that says which end a node's work, and which are a program's."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from accel_scaling.catalog.files import shipped
from accel_scaling.catalog.model import Effect
from accel_scaling.catalog.node_schema import DRIVER_EVENTS
from accel_scaling.catalog.table import Known, RowValues, read_table

if TYPE_CHECKING:
    from accel_scaling.catalog.files import Problem, Source

    _Row = tuple[tuple[str, str], tuple[str, Effect]]

__all__ = ["Effect", "effect_of"]

_UNKNOWN = ("an error that driver_events.csv does not have", Effect.LOOK)


def effect_of(family: str, code: str) -> tuple[str, Effect]:
    """Return what an error is, as the end of a sentence, and what becomes of the node.

    Args:
        family: whose driver reports it.
        code: as the driver names it, such as ``XID 79``; of one without a row, the devices are looked at.

    Raises:
        CatalogFileError: the table has a wrong row.
    """
    return _rows().get((family, code), _UNKNOWN)


def parse_driver_events(source: Source, known: Known | None = None) -> tuple[list[_Row], list[Problem]]:
    """Read what errors mean, and everything that is wrong with the file; the families in it too, where given."""
    return read_table(source, DRIVER_EVENTS, lambda row, _: _row(row), known)


def _row(row: RowValues) -> _Row:
    return (row["family"], row["code"]), (row["name"], row["effect"])


@functools.cache
def _rows() -> dict[tuple[str, str], tuple[str, Effect]]:
    source = shipped(DRIVER_EVENTS)
    return dict(source.accept(parse_driver_events(source))) if source else {}
