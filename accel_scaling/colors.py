"""Colours, where a terminal wants them: not off one, never with NO_COLOR (no-color.org); FORCE_COLOR asks for them."""

from __future__ import annotations

import os
import sys
from enum import Enum
from typing import Protocol


class Stream(Protocol):
    """What is written to: a file, a terminal, or one of these with a status line."""

    def write(self, text: str, /) -> object:
        """Write a text."""

    def flush(self) -> object:
        """Let it be seen."""

    def isatty(self) -> bool:
        """Say whether a person looks at it."""


class Paint(Enum):
    """What a word says by its colour."""

    HEAD = "1"
    GOOD = "32"
    BAD = "31"
    WAITS = "33"


def wants_colours(stream: Stream) -> bool:
    """Say whether colours are wanted on a stream."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return os.environ.get("TERM") != "dumb" and stream.isatty()


def painted(text: str, paint: Paint, stream: Stream | None = None) -> str:
    """Return a text in its colour; as it is where the stream wants none.

    Args:
        text: a word or a line.
        paint: what it says.
        stream: where it goes; standard output where it is None.
    """
    return f"\033[{paint.value}m{text}\033[0m" if wants_colours(stream or sys.stdout) else text
