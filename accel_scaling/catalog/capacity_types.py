"""How a cloud sells a machine type, where it does not sell it in every way: ``CLOUD_capacity_types.csv``."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

from accel_scaling.catalog.files import shipped
from accel_scaling.catalog.model import SoldAs
from accel_scaling.catalog.node_schema import CAPACITY_TYPES
from accel_scaling.catalog.table import read_table

if TYPE_CHECKING:
    from accel_scaling.catalog.files import Problem, Source


class CapacityTypes(NamedTuple):
    """The ways in which machine types are sold; a row of the file.

    Attributes:
        types: a machine type, or the beginning of its name.
        sold_as: every way in which the cloud sells it.
        source: who says so.
        block_end_min: so many minutes before the end of their block the cloud ends the machines; None for as usual.
    """

    types: str
    sold_as: tuple[SoldAs, ...]
    source: str
    block_end_min: int | None = None


def parse_capacity_types(source: Source) -> tuple[list[CapacityTypes], list[Problem]]:
    """Read the rows, and everything that is wrong with the file."""
    return read_table(
        source,
        CAPACITY_TYPES,
        lambda row, _: CapacityTypes(
            row["types"], tuple(map(SoldAs, row["sold_as"])), row["source"], row["block_end_min"]
        ),
    )


def sold_as(cloud: str, machine_type: str) -> CapacityTypes | None:
    """Return how a cloud sells a machine type; None where it sells it in every way, as far as is known.

    Raises:
        CatalogFileError: the file has a wrong row.
    """
    # The longest beginning is the most exact: a3-highgpu-1g before a3.
    fitting = [row for row in _rows(cloud) if _begins(machine_type, row.types)]
    return max(fitting, key=lambda row: len(row.types), default=None)


def _begins(machine_type: str, types: str) -> bool:
    """Return whether a name begins with these words: `a4` is the beginning of a4-highgpu-8g, and not of a4x-..."""
    return machine_type == types or machine_type.startswith((f"{types}-", f"{types}."))


@functools.cache
def _rows(cloud: str) -> tuple[CapacityTypes, ...]:
    source = shipped(CAPACITY_TYPES, cloud)
    return tuple(source.accept(parse_capacity_types(source))) if source else ()
