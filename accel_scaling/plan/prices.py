"""The cost of a plan, by the user's own price list; the package has no prices and guesses none."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from accel_scaling.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from accel_scaling.plan.cluster import NodeType

PRICE, SPOT = "price_per_hour", "spot_price_per_hour"


@dataclass(frozen=True)
class Prices:
    """A price list.

    Attributes:
        on_demand: instance type -> price of an hour, in the list's own currency.
        spot: the same for spot.
    """

    on_demand: Mapping[str, float]
    spot: Mapping[str, float]

    def of(self, node_type: NodeType) -> float | None:
        """Return the price of an hour of a node; None where the list has none."""
        return (self.spot if node_type.spot else self.on_demand).get(node_type.instance_type)


def read_prices(path: Path) -> Prices:
    """Return a price list: a CSV with `instance_type,price_per_hour` and maybe `spot_price_per_hour`.

    Raises:
        PlanError: it cannot be read, or a row is wrong; with the line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise PlanError(f"--prices {path} cannot be read: {reason}") from None
    reader = csv.DictReader(io.StringIO(text))
    columns = [name.strip() for name in reader.fieldnames or ()]
    reader.fieldnames = columns
    if "instance_type" not in columns or not {PRICE, SPOT} & set(columns):
        raise PlanError(
            f"{path}:1: the first line names the columns, `instance_type,{PRICE}` and maybe `{SPOT}`; it is "
            f"{','.join(columns) or 'empty'}"
        )
    found: dict[str, dict[str, float]] = {PRICE: {}, SPOT: {}}
    seen: set[str] = set()
    if twice := [name for name in columns if columns.count(name) > 1]:
        raise PlanError(f"{path}:1: the column {twice[0] or 'without a name'} is there twice; keep one")
    for row in _rows(path, reader):
        name = (row["instance_type"] or "").strip()
        where = f"{path}:{reader.line_num}"
        if not name or name in seen:
            raise PlanError(f"{where}: {f'{name} is there twice' if name else 'instance_type is empty'}")
        seen.add(name)
        for column in (PRICE, SPOT):
            price = (row.get(column) or "").strip()
            if price:
                found[column][name] = _price(where, column, price)
    return Prices(found[PRICE], found[SPOT])


def _rows(path: Path, reader: csv.DictReader[str]) -> Iterator[dict[str, str | None]]:
    """Yield the rows; a cell too many is most often a comma within a number, of which half would be the price."""
    try:
        for row in reader:
            if None in row:
                raise PlanError(
                    f"{path}:{reader.line_num}: there are more cells than columns; a number has a point, and no comma"
                )
            yield row
    except csv.Error as error:
        raise PlanError(f"{path}:{reader.line_num}: this is no valid CSV: {error}") from None


def _price(where: str, column: str, text: str) -> float:
    try:
        price = float(text)
    except ValueError:
        price = math.nan
    if not math.isfinite(price) or price < 0:
        raise PlanError(f"{where}: {column} is {text!r}; write a number, such as 32.77, or leave it empty")
    return price
