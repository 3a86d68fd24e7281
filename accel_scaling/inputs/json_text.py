"""JSON of users and of other machines, within bounds."""

from __future__ import annotations

import json
from typing import Any

from accel_scaling.inputs.bounds import LONGEST_NUMBER
from accel_scaling.inputs.values import UnusableValueError, check


class NotJsonError(ValueError):
    """A text that is not JSON, or has a value beyond the bounds; the text is one sentence's end."""


def loads(text: str) -> Any:
    """Return what a JSON text means.

    Raises:
        NotJsonError: it is not JSON, is nested too deeply, or has a number or a name that is too long.
    """
    try:
        content = json.loads(text, parse_int=_whole, parse_float=_number)
        check(content)
    except RecursionError:
        raise NotJsonError("it is nested too deeply") from None
    except UnusableValueError as error:
        raise NotJsonError(str(error)) from None
    except NotJsonError:
        raise
    except ValueError as error:
        raise NotJsonError(str(error)) from None
    return content


def _whole(text: str) -> int:
    return int(_bounded(text))


def _number(text: str) -> float:
    return float(_bounded(text))


def _bounded(text: str) -> str:
    if len(text) > LONGEST_NUMBER:
        raise NotJsonError(f"the number {text[:12]}... has {len(text):,} digits; at most {LONGEST_NUMBER} are read")
    return text
