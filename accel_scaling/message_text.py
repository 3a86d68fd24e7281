"""Text of users in messages: values shortened, and no character that a terminal would obey.

A value comes from a file, an argument or another machine, and may have any length and any character.
"""

from __future__ import annotations

import re
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

# Of a value in a sentence: what one looks for in the file is found by its beginning and its end.
MOST_SHOWN = 120
# Of a word, such as a path: longer ones are legal, and nobody reads them.
LONGEST_WORD = 400

_DEEPEST = 3  # levels of a list or a mapping that are shown
_MOST_ITEMS = 6  # of each of them
_MOST_BITS = 128  # of a whole number; Python itself refuses to write one of more than 4,300 digits
_WORDS = re.compile(rf"\S{{{LONGEST_WORD + 1},}}")
_MOST_OF_LINE = 4000  # characters: a sentence of Ray's or of a cloud's may hold a whole value


def shown(value: object) -> str:
    """Return a value as ``repr`` does, in about MOST_SHOWN characters at the most."""
    piece = _piece(value, _DEEPEST)
    # A text has been cut, and says how long it was.
    return piece if isinstance(value, str) else _cut(piece, 2 * MOST_SHOWN)


def listed(words: Sequence[str], conjunction: str = "and") -> str:
    """Return words as a part of a sentence: ``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {conjunction} {words[-1]}"


def utc(unix_s: float) -> str:
    """Return a time with its day: ``2026-11-28 20:15 UTC``.

    Args:
        unix_s: Unix seconds.
    """
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(unix_s))


def printable(text: str) -> str:
    """Return a text without control characters: each is spelt, as ``\\x1b``; line breaks and tabs stay."""
    if text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return "".join(char if char.isprintable() or char in "\n\t" else ascii(char)[1:-1] for char in text)


def flat(text: str) -> str:
    """Return a text from elsewhere as one line, without control characters and signs that turn its direction."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def one_line(text: str, most: int) -> str:
    """Return a text from elsewhere as one line, as `flat` does, in at most so many characters."""
    # Twice the length: what is left out or joined must not let a long text through, nor cost its whole length.
    line = flat(text[: 2 * most])
    return line if len(line) <= most else line[: most - 3] + "..."


def sentence(text: str) -> str:
    """Return a message as it is shown: without control characters, and long words and lines shortened."""
    short = _WORDS.sub(lambda match: _cut(match.group(), MOST_SHOWN), printable(text))
    return "\n".join(_cut(line, _MOST_OF_LINE) for line in short.split("\n"))


def _piece(value: Any, levels: int) -> str:
    if isinstance(value, str):
        # Cut before it is quoted: `repr` of a text of megabytes takes its time.
        return _cut(repr(value[: 2 * MOST_SHOWN]), MOST_SHOWN, len(value) + 2)
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        return f"{'-' if value < 0 else ''}a whole number of {_digits(value)} digits"
    if isinstance(value, (dict, list, tuple)):
        return _container(value, levels)
    return repr(value)


def _container(value: Any, levels: int) -> str:
    opened, closed = ("{", "}") if isinstance(value, dict) else ("[", "]") if isinstance(value, list) else ("(", ")")
    if not levels and value:
        return f"{opened}...{closed}"
    if isinstance(value, dict):
        first = [value_pair for value_pair, _ in zip(value.items(), range(_MOST_ITEMS), strict=False)]
        pieces = [f"{_piece(key, levels - 1)}: {_piece(inner, levels - 1)}" for key, inner in first]
    else:
        pieces = [_piece(inner, levels - 1) for inner in value[:_MOST_ITEMS]]
    pieces += ["..."] if len(value) > _MOST_ITEMS else []
    lonely = "," if opened == "(" and len(value) == 1 else ""
    return f"{opened}{', '.join(pieces)}{lonely}{closed}"


def _digits(number: int) -> int:
    """Return about how many decimal digits a number has; exact up to the size that Python writes."""
    about = int(number.bit_length() * 0.30103) + 1
    most = getattr(sys, "get_int_max_str_digits", lambda: 4300)() or 4300
    return len(str(abs(number))) if about < most - 1 else about


def _cut(text: str, most: int, length: int | None = None) -> str:
    """Return a text with its middle left out where it is longer than ``most``; ``length`` is that of the whole."""
    length = len(text) if length is None else max(length, len(text))
    if len(text) <= most:
        return text
    end = most // 4
    return f"{text[: most - end]}...{text[-end:]} ({length:,} characters)"
