"""Output for people: colours, bold and aligned columns.

A colour is written to a terminal only; never with NO_COLOR (no-color.org), and always with FORCE_COLOR.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import secrets
import sys
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from accel_scaling.message_text import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence


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


# Stands for a colour until the text is written, and nobody can guess it: colours of a file must not pass for ours.
_SECRET = secrets.token_hex(8)
_MARKED = re.compile(f"\0{_SECRET}:([0-9]+)\0")


_COLOURS = re.compile(r"(\033\[(?:0|1|3[1-3])m)")


def _mark(code: str) -> str:
    return f"\0{_SECRET}:{code}\0"


def _ansi(code: str) -> str:
    return f"\033[{code}m"


class _Printable:
    """A stream to which control characters come spelt, as ``\\x1b``: what is shown may be of a file, or of a node."""

    def __init__(self, stream: Any) -> None:
        # None where the shell closed it (`>&-`): Python writes to nowhere then, and so does this.
        self.whole = io.StringIO() if stream is None else stream

    def write(self, text: str, /) -> object:
        """Write a text; the colours of this package pass."""
        parts = _MARKED.split(text)
        return self.whole.write(
            "".join(_ansi(part) if number % 2 else printable(part) for number, part in enumerate(parts))
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self.whole, name)


@contextlib.contextmanager
def printable_output() -> Iterator[None]:
    """Let nothing that a terminal obeys come to standard output and standard error while the block runs."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Printable(before[0]), _Printable(before[1])
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def write_as_it_is(text: str) -> None:
    """Write a whole file to standard output, its line breaks as they are."""
    stream: Stream = getattr(sys.stdout, "whole", sys.stdout)
    stream.write(text)


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
    target = stream or sys.stdout
    if not wants_colours(target):
        return text
    code = _mark if isinstance(target, _Printable) else _ansi
    return f"{code(paint.value)}{text}{code('0')}"


def without_controls(text: str) -> str:
    """Return a text from elsewhere with `?` for each sign that commands a terminal or turns the direction of writing.

    For what does not go through `printable_output`: a rehearsal, and Ray's messages to drivers. The end of a line
    stays, and the colours of this module.
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
