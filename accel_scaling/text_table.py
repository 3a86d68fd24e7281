"""Aligned columns for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling.colors import Paint, painted

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


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
