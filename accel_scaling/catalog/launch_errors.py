"""Launch failures: the table that says which code of a cloud is of which category, and a failure as a value."""

from __future__ import annotations

import fnmatch
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from accel_scaling.catalog.files import shipped
from accel_scaling.catalog.model import Category
from accel_scaling.catalog.schema import LAUNCH_ERRORS
from accel_scaling.catalog.table import read_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from accel_scaling.catalog.files import Problem, Source

    Meaning = tuple[str, str, Category]  # of a code, in a message with this part

__all__ = ["ELSEWHERE", "FOR_GOOD", "PASSING", "SOLD_OUT", "Category", "Failure", "classified", "parse_launch_errors"]

# What one zone lacks, another may have; and it is no use to ask for it again at once.
SOLD_OUT = frozenset({Category.CAPACITY, Category.NOT_OFFERED, Category.QUOTA})
# Without quotas: those of machines are a region's, so another zone has no more (TPU slices' are a zone's).
ELSEWHERE = frozenset({Category.CAPACITY, Category.NOT_OFFERED})
PASSING = frozenset({Category.THROTTLED, Category.UNAVAILABLE})
# What the cloud will say again, until a user changes something. An unknown code is one: most codes are.
FOR_GOOD = frozenset({Category.BAD_REQUEST, Category.PERMISSION, Category.UNKNOWN})

ANY_TEXT = "*"  # in a code of the table
# EC2 writes whose fault it was before the code: of a machine that ended (its StateReason), in old answers of all calls.
_FAULTS = ("Server.", "Client.")


@dataclass(frozen=True)
class Failure:
    """One failure: its category, and the cloud's own code and message."""

    category: Category
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" if self.message else self.code


def classified(cloud: str, codes: Sequence[str], message: str) -> Failure:
    """Return the failure of the most telling code: a row of the cloud's table that fits, the first code first.

    Raises:
        CatalogFileError: the cloud's table has a wrong row.
    """
    words, first = message.lower(), (codes or ["unknown"])[0]
    for code in codes or [""]:
        fault = next((word for word in _FAULTS if code.startswith(word)), "")
        names = {code, code.removeprefix(fault)}
        for row_code, part, category in _rows(cloud):
            if part.lower() in words and any(is_code_of(row_code, name) for name in names):
                return Failure(category, first, message)
    # Google's codes may be HTTP statuses: those of the server's own errors pass, listed or not.
    server = any(code.isdigit() and 500 <= int(code) < 600 for code in codes)
    return Failure(Category.UNAVAILABLE if server else Category.UNKNOWN, first, message)


def is_code_of(row_code: str, code: str) -> bool:
    """Return whether a row's code is this one, or stands for it: ``Invalid*`` for ``InvalidSubnet``."""
    return code == row_code or (ANY_TEXT in row_code and fnmatch.fnmatchcase(code, row_code))


def parse_launch_errors(source: Source) -> tuple[list[Meaning], list[Problem]]:
    """Read what a cloud's codes mean, and everything that is wrong with the file."""
    return read_table(source, LAUNCH_ERRORS, lambda row, _: (row["code"], row["message"], row["category"]))


@functools.cache
def _rows(cloud: str) -> list[Meaning]:
    source = shipped(LAUNCH_ERRORS, cloud)
    return source.accept(parse_launch_errors(source)) if source else []
