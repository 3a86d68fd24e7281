"""Output for people: colours, the width of the terminal, and text wrapped to it.

A colour is written to a terminal only; never with NO_COLOR (no-color.org), and always with FORCE_COLOR. Lines are
wrapped on a terminal only: in a file or a pipe each sentence is one line, for `grep`. The variable COLUMNS sets the
width everywhere.

No library for terminals is used: this module runs on every node as well, where only PyYAML is installed beside Ray,
and a command is to start within a few tenths of a second.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import secrets
import sys
import textwrap
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from accel_scaling.message_text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator


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
    WAITS = "35"  # no yellow, which is hard to read on white


USUAL_WIDTH = 80  # of a terminal that does not tell its own
LEAST_WIDTH = 20  # a smaller one is no place for a sentence
WIDEST_TEXT = 120  # columns of a sentence: longer lines are hard to read; tables take the whole width
LEAST_TEXT = 16  # columns of a sentence beside its indentation, whatever the terminal has
_NO_BREAK = "\0"
_RESET = "\033[0m"
_COMMAND = re.compile(r"`[^`\n]+`")

# Stands for a colour until the text is written, and nobody can guess it: colours of a file must not pass for ours.
_SECRET = secrets.token_hex(8)
_MARKED = re.compile(f"\0{_SECRET}:([0-9]+)\0")


_COLOURS = re.compile(r"(\033\[(?:0|1|3[125])m)")


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
        if text == _RESET:  # colorama, which Ray brings, sets the colours back at the end of the process
            return self.whole.write(text)
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


def width_of(stream: Stream | None = None) -> int | None:
    """Return the columns of a stream's terminal; None for a file or a pipe, whose lines are not wrapped.

    Args:
        stream: the target; standard output where it is None.
    """
    target = stream or sys.stdout
    if columns := _columns_of_environment():
        return columns
    if not target.isatty():
        return None
    with contextlib.suppress(AttributeError, OSError, ValueError):
        columns = os.get_terminal_size(target.fileno()).columns  # type: ignore[union-attr] # suppressed above
        return max(columns, LEAST_WIDTH) if columns else USUAL_WIDTH  # 0: nobody has set the size
    return USUAL_WIDTH


def _columns_of_environment() -> int | None:
    text = os.environ.get("COLUMNS", "")
    return max(int(text), LEAST_WIDTH) if text.isascii() and text.isdigit() and int(text[:6]) > 0 else None


def wrapped(text: str, *, hang: str = "  ", stream: Stream | None = None, used: int = 0) -> str:
    """Return a text with each line wrapped at spaces to its terminal; as it is where there is none.

    Words are not broken, neither at a hyphen nor where they are longer than a line, and a command in backquotes stays
    in one line where it can. Lines after the first have the indentation of the first, and `hang`.

    Args:
        text: lines of text; without colours.
        hang: the further indentation of what is wrapped.
        stream: the target; standard output where it is None.
        used: the columns that are taken before the text, in its first line.
    """
    width = width_of(stream)
    return text if width is None else fill(text, min(width, WIDEST_TEXT), hang, used)


def fill(text: str, width: int, hang: str = "  ", used: int = 0) -> str:
    """Return a text with each line wrapped to a width, as `wrapped` does."""
    lines = [
        line for number, one in enumerate(text.split("\n")) for line in _fill(one, width, hang, 0 if number else used)
    ]
    return "\n".join(lines)


def _fill(line: str, width: int, hang: str, used: int) -> list[str]:
    if len(line) + used <= width:
        return [line]
    indent = line[: len(line) - len(line.lstrip(" "))]
    follow = indent + hang
    # A command keeps its spaces while the line is cut: what is copied from the terminal works.
    room = width - len(follow)
    kept = _COMMAND.sub(lambda match: match[0].replace(" ", _NO_BREAK) if len(match[0]) <= room else match[0], line)
    lines = textwrap.wrap(
        kept.strip(" "),
        max(width, len(follow) + LEAST_TEXT),
        initial_indent="." * used + indent,
        subsequent_indent=follow,
        break_long_words=False,
        break_on_hyphens=False,
    )
    lines[0] = lines[0][used:]
    return [one.replace(_NO_BREAK, " ") for one in lines]


def bold(text: str) -> str:
    """Return the text in bold where standard output is a terminal that takes it."""
    return painted(text, Paint.HEAD)
