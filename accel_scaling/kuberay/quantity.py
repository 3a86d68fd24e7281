"""Kubernetes quantities: ``4``, ``"16Gi"``, ``500m``."""

from __future__ import annotations

import re
from decimal import Decimal

_QUANTITY = re.compile(r"\+?(?P<number>\d+(?:\.\d*)?|\.\d+)(?P<suffix>[numkMGTPE]|[KMGTPE]i|[eE][+-]?\d{1,3})?")
_SUFFIXES = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = "KMGTPE"


def amount(text: str) -> Decimal | None:
    """Return what a quantity stands for, None where it is none."""
    found = _QUANTITY.fullmatch(text.strip())
    if not found:
        return None
    number, suffix = Decimal(found["number"]), found["suffix"] or ""
    if suffix.endswith("i"):
        return number * Decimal(1024) ** (_BINARY.index(suffix[0]) + 1)
    exponent = int(suffix[1:]) if len(suffix) > 1 else _SUFFIXES.get(suffix, 0)
    return number.scaleb(exponent)


def whole(text: str) -> int | None:
    """Return a quantity that is a whole number of 0 or more, None for any other."""
    found = amount(text)
    return int(found) if found is not None and found == found.to_integral_value() else None
