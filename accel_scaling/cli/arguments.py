"""Arguments of the command line: numbers within bounds, and errors that show a long argument shortened."""

from __future__ import annotations

import argparse
import math
from typing import NoReturn

from accel_scaling.message_text import sentence, shown

_MOST_DIGITS = 6  # of a count: more devices, CPUs or machines than any cluster has
MOST_SECONDS = 7 * 24 * 3600.0  # a week; Python's own waits fail for numbers of some 300 years


class Parser(argparse.ArgumentParser):
    """A parser whose errors are readable, whatever the argument is."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and the error, and exit with 2."""
        super().error(sentence(message))


def whole_number(text: str, *, least: int) -> int:
    """Return a whole number; for ``type=`` of an argument.

    Raises:
        argparse.ArgumentTypeError: it is none, or is below ``least``, or has more than six digits.
    """
    # isdigit alone accepts signs such as `\u00b2`, for which int() raises.
    if text.isascii() and text.isdigit() and len(text.lstrip("0")) <= _MOST_DIGITS and int(text) >= least:
        return int(text)
    most = "" if len(text) <= _MOST_DIGITS else f", at most {10**_MOST_DIGITS - 1:,}"
    raise argparse.ArgumentTypeError(f"{shown(text)} is not a whole number of {least} or more{most}")


def seconds(text: str) -> float:
    """Return a duration in seconds; for ``type=`` of an argument.

    Raises:
        argparse.ArgumentTypeError: it is no number, is negative, or is more than a week.
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan  # in no range, and so refused below
    if not 0 <= number <= MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"{shown(text)} is not a number of seconds, as 60")
    return number
