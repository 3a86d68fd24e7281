"""Whether two values of YAML are the same for every reader, which Python's `==` does not say: True == 1 == 1.0."""

from __future__ import annotations

from typing import Any


def same(one: Any, other: Any) -> bool:
    """Return whether two values are of the same kinds and equal; the order of keys does not count."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return len(one) == len(other) and all(key in other and same(value, other[key]) for key, value in one.items())
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    # The third is for `.nan`.
    return bool(one == other) or bool(one != one and other != other)  # noqa: PLR0124
