"""Tables for people: aligned columns that fit the terminal, with fewer columns or wrapped cells where it is narrow.

In a file or a pipe a table has all its columns, and one line for each row.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from accel_scaling.message_text import listed
from accel_scaling.terminal import bold, fill, width_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from accel_scaling.terminal import Stream

    Cells = Sequence[Sequence[str]]

_GAP = 2  # columns of the terminal between two of a table


def render(
    headers: Sequence[str],
    rows: Cells,
    *,
    right: Collection[int] = (),
    drop: Sequence[int] = (),
    others: str = "",
    stream: Stream | None = None,
) -> str:
    """Return a table with aligned columns, two spaces apart, without a final newline.

    Where the terminal is too narrow, the columns of ``drop`` are left out one after the other, and a last line names
    them. Then cells are wrapped at spaces; and where even that is too wide, each row becomes lines of its own.

    Args:
        headers: the columns' titles.
        rows: the cells, as many in each row as there are headers.
        right: positions of the columns that are aligned to the right (numbers).
        drop: positions of the columns that may be left out, the first one first.
        others: what shows the columns that are left out, beside a wider terminal: ``--json``.
        stream: the target; standard output where it is None.
    """
    width = width_of(stream)
    dropped: list[int] = []
    for position in drop:
        if width is None or _total(_natural(headers, rows, dropped)) <= width:
            break
        dropped.append(position)
    kept = [position for position in range(len(headers)) if position not in dropped]
    texts = _texts([headers[at] for at in kept], [[row[at] for at in kept] for row in rows], width, _new(right, kept))
    if dropped:
        names = listed([headers[at] for at in sorted(dropped)])
        left_out = f"({names} left out: a wider terminal{f' or {others}' if others else ''} shows them)"
        texts.append(fill(left_out, width or len(left_out)))
    return "\n".join(texts)


def _texts(headers: Sequence[str], rows: Cells, width: int | None, right: Collection[int]) -> list[str]:
    """Return the lines of a table: as wide as it is, wrapped, or row by row."""
    widths = _natural(headers, rows, ())
    if width is not None and _total(widths) > width:
        if (narrow := _narrowed(headers, rows, width, right)) is None:
            return _row_by_row(headers, rows, width)
        widths = narrow
    # A wrapped row goes over several lines: what is indented belongs to the row above.
    return [bold(line) for line in _lines(headers, widths, right)] + [
        line for row in rows for line in _lines(row, widths, right)
    ]


def _natural(headers: Sequence[str], rows: Cells, dropped: Collection[int]) -> list[int]:
    lines = [headers, *rows]
    return [max(len(line[at]) for line in lines) for at in range(len(headers)) if at not in dropped]


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _new(positions: Collection[int], kept: Sequence[int]) -> set[int]:
    return {number for number, position in enumerate(kept) if position in positions}


def _narrowed(headers: Sequence[str], rows: Cells, width: int, right: Collection[int]) -> list[int] | None:
    """Return widths with which the table fits when its cells are wrapped; None where a word is too long for that."""
    widths = _natural(headers, rows, ())
    least = [
        natural if at in right else max(_longest_word(line[at]) for line in [headers, *rows])
        for at, natural in enumerate(widths)
    ]
    while _total(widths) > width:
        # The widest column gives first: a sentence beside short names.
        most = max((widths[at] for at in range(len(widths)) if widths[at] > least[at]), default=0)
        if not most:
            return None
        at = max(at for at in range(len(widths)) if widths[at] == most and widths[at] > least[at])
        widths[at] -= 1
    return widths


def _longest_word(text: str) -> int:
    return max(map(len, text.split()), default=0)


def _lines(row: Sequence[str], widths: Sequence[int], right: Collection[int]) -> list[str]:
    cells = [
        [cell] if len(cell) <= width else textwrap.wrap(cell, width, break_long_words=False, break_on_hyphens=False)
        for cell, width in zip(row, widths, strict=True)
    ]
    texts = []
    for number in range(max(map(len, cells))):
        parts = [cell[number] if number < len(cell) else "" for cell in cells]
        texts.append(
            (" " * _GAP)
            .join(
                part.rjust(width) if at in right else part.ljust(width)
                for at, (part, width) in enumerate(zip(parts, widths, strict=True))
            )
            .rstrip()
        )
    return texts


def _row_by_row(headers: Sequence[str], rows: Cells, width: int) -> list[str]:
    """Return each row as lines ``title: cell``, with an empty line between two rows."""
    texts: list[str] = []
    for row in rows:
        texts += [""] if texts else []
        texts += [
            fill(f"{header}: {cell}", width) for header, cell in zip(headers, row, strict=True) if cell not in {"", "-"}
        ]
    return texts
