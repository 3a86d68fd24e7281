"""The cost of a plan, by the user's own price list; the package has no prices and guesses none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from accel_scaling.catalog.columns import LEFT_OUT, Amount, Column, Table, Text
from accel_scaling.catalog.files import Source, describe
from accel_scaling.catalog.table import csv_records, read_table
from accel_scaling.cluster.capacity import CapacityType
from accel_scaling.errors import PlanError
from accel_scaling.inputs.file_text import NotUtf8Error, UnreadableError, read_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from accel_scaling.plan.cluster import AutoscalerNodeType

PRICE, SPOT = "price_per_hour", "spot_price_per_hour"
# A column for each way to buy a machine. A reservation costs the same, used or not: its price is the machine's share.
COLUMNS = {
    CapacityType.ON_DEMAND: PRICE,
    CapacityType.SPOT: SPOT,
    CapacityType.RESERVED: "reserved_price_per_hour",
    CapacityType.BLOCK: "block_price_per_hour",
    CapacityType.FLEX_START: "flex_start_price_per_hour",
}
PRICES = Table(
    "prices.csv",
    "what a machine type costs",
    (
        Column("instance_type", Text(), "the cloud's name"),
        Column(PRICE, Amount(above_zero=False), "of an hour, in the list's own currency", LEFT_OUT),
        *(
            Column(name, Amount(above_zero=False), f"the same for a machine that is bought as {type_.value}", LEFT_OUT)
            for type_, name in COLUMNS.items()
            if name != PRICE
        ),
    ),
    key=("instance_type",),
    others=True,
)


@dataclass(frozen=True)
class Prices:
    """A price list.

    Attributes:
        by_type: capacity type -> instance type -> price of an hour, in the list's own currency.
    """

    by_type: Mapping[CapacityType, Mapping[str, float]]

    def of(self, node_type: AutoscalerNodeType, instance_type: str, bought: CapacityType) -> float | None:
        """Return the price of an hour of a node of one machine type, bought in one way; None where there is none."""
        if not node_type.has_machine:
            return None
        # A spot node without a spot price has none: with the on-demand price the sum would be wrong and look right.
        return self.by_type[bought].get(instance_type)


def read_prices(path: Path) -> Prices:
    """Return a price list: a CSV with `instance_type,price_per_hour`, and maybe a column of another capacity type.

    Raises:
        PlanError: it cannot be read, or a row is wrong; with the line.
    """
    try:
        text = read_text(path).removeprefix("\ufeff")  # spreadsheet programs write a byte-order mark before UTF-8
    except NotUtf8Error:
        raise PlanError(f"--prices {path} cannot be read: it is not UTF-8 text") from None
    except UnreadableError as error:
        raise PlanError(f"--prices {path} cannot be read: {error}") from None
    _, header = next(csv_records(text, []), (1, []))
    columns = [name.strip() for name in header]
    if "instance_type" not in columns or not {*COLUMNS.values()} & set(columns):
        raise PlanError(
            f"{path}:1: the first line names the columns, `instance_type,{PRICE}` and maybe `{SPOT}`; it is "
            f"{','.join(columns) or 'empty'}"
        )
    rows, problems = read_table(Source(path, str(path), text), PRICES, lambda row, _: row)
    if problems:
        first = min(problems)
        # A mistake of no column is a wrong number of cells: mostly a price with a decimal comma.
        comma = "" if first.column else "; a number has a point, and no comma"
        raise PlanError(describe(path, first) + comma)
    return Prices(
        {
            type_: {row["instance_type"]: float(row[column]) for row in rows if row[column] is not None}
            for type_, column in COLUMNS.items()
        }
    )
