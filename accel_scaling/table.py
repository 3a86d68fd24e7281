"""Aligned columns for people, and whether a terminal wants colours."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_BOLD, _PLAIN = "\033[1m", "\033[0m"


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
    """Return the text in bold on a terminal that takes it; NO_COLOR (no-color.org) turns it off."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not sys.stdout.isatty()
    return text if plain else f"{_BOLD}{text}{_PLAIN}"
