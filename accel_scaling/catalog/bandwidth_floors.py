"""How fast a chip must copy at least: the table of floors, by which the memory test judges."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from accel_scaling.catalog.files import shipped
from accel_scaling.catalog.model import Copies
from accel_scaling.catalog.node_schema import BANDWIDTH_FLOORS
from accel_scaling.catalog.table import CellError, Known, RowValues, read_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accel_scaling.catalog.files import Problem, Source

__all__ = ["BandwidthFloor", "Copies", "floors_of", "parse_bandwidth_floors"]


@dataclass(frozen=True)
class BandwidthFloor:
    """One row of ``bandwidth_floors.csv``.

    Attributes:
        chip: a key of ``accelerators.yaml``.
        copies: between what and what.
        published_gb_s: what its maker publishes.
        at_least_gb_s: a device that copies slower is too slow.
    """

    chip: str
    copies: Copies
    published_gb_s: float
    at_least_gb_s: float


def floors_of(chip: str) -> Mapping[Copies, float]:
    """Return the least GB/s of each kind of copies; empty for a chip without rows, which is not judged.

    Raises:
        CatalogFileError: the table has a wrong row.
    """
    return _rows().get(chip, {})


def parse_bandwidth_floors(source: Source, known: Known | None = None) -> tuple[list[BandwidthFloor], list[Problem]]:
    """Read the floors, and everything that is wrong with the file; the chips in it too, where given."""
    return read_table(source, BANDWIDTH_FLOORS, lambda row, _: _row(row), known)


def _row(row: RowValues) -> BandwidthFloor:
    published, least = float(row["published_gb_s"]), float(row["at_least_gb_s"])
    if least >= published:
        raise CellError("at_least_gb_s", f"at_least_gb_s is {least:g}; expected less than the {published:g} published")
    return BandwidthFloor(row["chip"], row["copies"], published, least)


@functools.cache
def _rows() -> Mapping[str, Mapping[Copies, float]]:
    source = shipped(BANDWIDTH_FLOORS)
    floors: dict[str, dict[Copies, float]] = {}
    for row in source.accept(parse_bandwidth_floors(source)) if source else ():
        floors.setdefault(row.chip, {})[row.copies] = row.at_least_gb_s
    return floors
