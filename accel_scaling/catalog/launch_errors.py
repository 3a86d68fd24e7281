"""Kinds of launch failures, and the tables that say which code of a cloud is of which kind."""

from __future__ import annotations

import csv
import functools
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from accel_scaling.clouds import known_clouds

if TYPE_CHECKING:
    from collections.abc import Sequence


class Category(str, Enum):
    """Kinds of failure, by what helps: another zone or time, more quota, less haste, a changed file, a role."""

    CAPACITY = "capacity"
    NOT_OFFERED = "not offered"
    QUOTA = "quota"
    THROTTLED = "throttled"
    BAD_REQUEST = "bad request"
    PERMISSION = "permission"
    UNAVAILABLE = "unavailable"
    UNKNOWN = "unknown"


# What one zone lacks, another may have; and it is no use to ask for it again at once.
SOLD_OUT = frozenset({Category.CAPACITY, Category.NOT_OFFERED, Category.QUOTA})
ELSEWHERE = frozenset({Category.CAPACITY, Category.NOT_OFFERED})
PASSING = frozenset({Category.THROTTLED, Category.UNAVAILABLE})


@dataclass(frozen=True)
class Failure:
    """One failure: its kind, and the cloud's own code and message."""

    category: Category
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" if self.message else self.code


def classified(cloud: str, codes: Sequence[str], message: str) -> Failure:
    """Return the failure of the most telling code: a row of the cloud's table that fits, the first code first."""
    for code in codes:
        for wanted, part, category in _table(cloud):
            if code == wanted and part.lower() in message.lower():
                return Failure(category, codes[0], message)
    server = any(code.isdigit() and 500 <= int(code) < 600 for code in codes)
    return Failure(Category.UNAVAILABLE if server else Category.UNKNOWN, (codes or ["unknown"])[0], message)


@functools.cache
def _table(cloud: str) -> list[tuple[str, str, Category]]:
    with (known_clouds()[cloud].data / f"{cloud}_launch_errors.csv").open(encoding="utf-8", newline="") as file:
        return [(row["code"], row["message"], Category(row["category"])) for row in csv.DictReader(file)]
