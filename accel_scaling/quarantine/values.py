"""Checks values of the state file, each with its place in the file: people edit it by hand."""

from __future__ import annotations

import math
from typing import Any

from accel_scaling.message_text import shown

_LAST_S = 253_402_300_799.0  # the end of the year 9999, the last that can be written as a date


def checked(value: Any, expected: type, path: str) -> Any:
    """Return the value, of which ``path`` is the place in the file.

    Raises:
        ValueError: it is not of the expected type.
    """
    if not isinstance(value, expected):
        raise ValueError(f"{path} is {shown(value)}")  # noqa: TRY004 - of the file, not of our code
    return value


def time_of(value: Any, path: str) -> float:
    """Return a time, in Unix seconds.

    Raises:
        ValueError: it is no number, or no time that can be written as a date.
    """
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= _LAST_S or math.isnan(value):
        raise ValueError(f"{path} is {shown(value)}")
    return float(value)


def strings(content: Any, keys: tuple[str, ...], path: str) -> dict[str, str]:
    """Return these keys of a mapping, each of which is a text.

    Raises:
        ValueError: it is no mapping, or lacks one of them.
    """
    checked(content, dict, path)
    return {key: checked(content.get(key), str, f"{path}.{key}") for key in keys}


def texts(content: Any, path: str) -> dict[str, str]:
    """Return a mapping of names to texts.

    Raises:
        ValueError: it is none.
    """
    return {key: checked(value, str, path) for key, value in checked(content, dict, path).items()}
