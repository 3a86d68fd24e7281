"""Tables for people: aligned columns that fit the terminal, with fewer columns or wrapped cells where it is narrow.

In a file or a pipe a table has all its columns, and one line for each row.
"""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Any

from accel_scaling.message_text import listed
from accel_scaling.terminal import bold, fill, width_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from accel_scaling.terminal import Stream

    Cells = Sequence[Sequence[str]]

_GAP = 2  # columns of the terminal between two of a table
_COMFORTABLE = 40  # columns of a cell: before one becomes narrower, columns are left out
_NO_BREAK = "\0"
_NUMBERED = re.compile(r": (?=[\d.]+(?:[,;]|$))")
_AT_SPACES: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}


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
    found = _fitting(headers, rows, width, right, drop)
    if found is None:
        return "\n".join(_row_by_row(headers, rows, width or 0))
    widths, dropped = found
    kept = [at for at in range(len(headers)) if at not in dropped]
    numbers, sizes = {kept.index(at) for at in right if at in kept}, [widths[at] for at in kept]
    texts = [bold(text) for text in _lines([headers[at] for at in kept], sizes, numbers)]
    texts += [text for row in rows for text in _lines([row[at] for at in kept], sizes, numbers)]
    if dropped:
        names = listed([headers[at] for at in sorted(dropped)])
        left_out = f"({names} left out: a wider terminal{f' or {others}' if others else ''} shows them)"
        texts.append(fill(left_out, width or len(left_out)))
    return "\n".join(texts)


def _fitting(
    headers: Sequence[str], rows: Cells, width: int | None, right: Collection[int], drop: Sequence[int]
) -> tuple[list[int], Sequence[int]] | None:
    """Return the columns' widths with which a table fits, and which columns are left out; None where nothing fits."""
    if width is None:
        return _natural(headers, rows), ()
    for floor in (_COMFORTABLE, 0):
        for count in range(len(drop) + 1):
            widths = _narrowed(headers, rows, width, right, dropped=drop[:count], floor=floor)
            if widths is not None:
                return widths, drop[:count]
    return None


def _natural(headers: Sequence[str], rows: Cells) -> list[int]:
    return [max(len(line[at]) for line in [headers, *rows]) for at in range(len(headers))]


def _narrowed(
    headers: Sequence[str],
    rows: Cells,
    width: int,
    right: Collection[int],
    *,
    dropped: Collection[int],
    floor: int,
) -> list[int] | None:
    """Return widths with which the table fits, its cells wrapped where they must be; None where it does not fit.

    Args:
        headers: as for ``render``.
        rows: as for ``render``.
        width: the terminal's.
        right: as for ``render``; these columns are not wrapped.
        dropped: columns that are left out.
        floor: no column is made narrower than that, nor than its longest word.
    """
    widths = [0 if at in dropped else natural for at, natural in enumerate(_natural(headers, rows))]
    least = [
        natural if at in right else max(min(natural, floor), *(_longest_word(line[at]) for line in [headers, *rows]))
        for at, natural in enumerate(widths)
    ]
    spare = width - _GAP * (len(widths) - len(set(dropped)) - 1) - sum(widths)
    while spare < 0:
        # The widest column gives first: a sentence beside short names.
        wide = [at for at in range(len(widths)) if widths[at] > least[at]]
        if not wide:
            return None
        widths[max(wide, key=lambda at: (widths[at], at))] -= 1
        spare += 1
    return widths


def _longest_word(text: str) -> int:
    return max(map(len, _joined(text).split()), default=0)


def _joined(text: str) -> str:
    """Return a cell with `name: 1` as one word."""
    return _NUMBERED.sub(f":{_NO_BREAK}", text)


def _lines(row: Sequence[str], widths: Sequence[int], right: Collection[int]) -> list[str]:
    cells = [
        [part.replace(_NO_BREAK, " ") for part in textwrap.wrap(_joined(cell), width, **_AT_SPACES)] or [""]
        if len(cell) > width
        else [cell]
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
