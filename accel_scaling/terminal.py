"""Output for people: colours, bold and aligned columns.

A colour is written to a terminal only; never with NO_COLOR (no-color.org), and always with FORCE_COLOR.
"""

from __future__ import annotations

import os
import re
import sys
from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


_COLOURS = re.compile(r"(\033\[(?:0|1|3[1-3])m)")


class Stream(Protocol):
    """The target of an output: a file, a terminal, or one of these with a status line."""

    def write(self, text: str, /) -> object:
        """Write a text."""

    def flush(self) -> object:
        """Write out what is buffered."""

    def isatty(self) -> bool:
        """Return whether it is a terminal."""


class Paint(Enum):
    """A colour by its meaning; the value is the ANSI code."""

    HEAD = "1"
    GOOD = "32"
    BAD = "31"
    WAITS = "33"


def wants_colours(stream: Stream) -> bool:
    """Return whether to write colours to a stream."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return os.environ.get("TERM") != "dumb" and stream.isatty()


def painted(text: str, paint: Paint, stream: Stream | None = None) -> str:
    """Return a text in its colour; as it is where the stream wants none.

    Args:
        text: a word or a line.
        paint: its meaning.
        stream: the target; standard output where it is None.
    """
    return f"\033[{paint.value}m{text}\033[0m" if wants_colours(stream or sys.stdout) else text


def without_controls(text: str) -> str:
    """Return a text from elsewhere with `?` for each sign that commands a terminal or turns the direction of writing.

    The end of a line stays, and the colours of this module.
    """
    parts = _COLOURS.split(text)  # odd ones are colours
    return "".join(part if number % 2 else _plain(part) for number, part in enumerate(parts))


def _plain(text: str) -> str:
    if text.isascii() and text.isprintable():  # nearly always
        return text
    return "".join(sign if sign.isprintable() or sign == "\n" else " " if sign.isspace() else "?" for sign in text)


def render(headers: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[int] = ()) -> str:
    """Return a table with aligned columns, two spaces apart, without a final newline.

    Args:
        headers: the columns' titles.
        rows: the cells, as many in each row as there are headers.
        right: positions of the columns that are aligned to the right (numbers).
    """
    lines = [list(headers), *(list(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = [
        "  ".join(
            cell.rjust(width) if position in right else cell.ljust(width)
            for position, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return "\n".join([bold(texts[0]), *texts[1:]])


def bold(text: str) -> str:
    """Return the text in bold where standard output is a terminal that takes it."""
    return painted(text, Paint.HEAD)
