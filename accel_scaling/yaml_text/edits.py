"""Edits of a YAML text: lines and entries that are added or removed, while every other byte stays."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    import yaml

BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
"""What libyaml reads as the end of a line."""
BREAKS = "\r\n\x85\u2028\u2029"


class CannotEditError(Exception):
    """The YAML has a form that cannot be changed in place; the text says why."""


class Edit(NamedTuple):
    """One change: the text from ``start`` to ``end`` becomes ``text``."""

    start: int
    end: int
    text: str


def applied(text: str, edits: Iterable[Edit]) -> str:
    """Return the text with all edits."""
    result, done = [], 0
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        result += [text[done : edit.start], edit.text]
        done = max(done, edit.end)
    return "".join([*result, text[done:]])


def line_end(text: str, place: int) -> tuple[int, int]:
    """Return the end of the line, before and after its line break."""
    line_break = BREAK.search(text, place)
    return (line_break.start(), line_break.end()) if line_break else (len(text), len(text))


def newline(text: str, place: int) -> str:
    """Return the file's own kind of line break: the other lines must not differ in it."""
    line_break = BREAK.search(text, place) or BREAK.search(text)
    return line_break.group() if line_break else "\n"


def rest_of_line(text: str, place: int) -> str:
    """Return the text from a place to the end of its line."""
    return text[place : line_end(text, place)[0]]


def trailing_comment(text: str, value: yaml.Node) -> str:
    """Return the comment after a value on its line, with its ``#``; empty where there is none."""
    rest = rest_of_line(text, value.end_mark.index).strip()
    return rest if rest.startswith("#") else ""


def lines_after(text: str, place: int, lines: Sequence[str]) -> Edit:
    """Return the edit that adds lines after the line of a place."""
    return lines_at(text, line_end(text, place)[1], lines, newline(text, place))


def lines_at(text: str, at: int, lines: Sequence[str], end: str) -> Edit:
    """Return the edit that adds lines where a line begins, or at the end of the text; ``end`` is their line break."""
    if at == len(text) and not text.endswith(tuple(BREAKS)):  # the file's last line, without a line break
        return Edit(at, at, "".join(end + line for line in lines))
    return Edit(at, at, "".join(line + end for line in lines))


def from_flow(mapping: yaml.MappingNode, names: Collection[str], text: str) -> list[Edit]:
    """Return the edits that remove entries from a flow mapping, each with its comma."""
    spans = [(key.start_mark.index, value.end_mark.index) for key, value in mapping.value]
    leaving = {number for number, (key, _) in enumerate(mapping.value) if key.value in names}
    return without_spans(text, mapping.start_mark.index, spans, leaving)


def without_spans(text: str, start: int, spans: Sequence[tuple[int, int]], leaving: Collection[int]) -> list[Edit]:
    """Return the edits that remove parts of a flow collection, each with its comma.

    Args:
        text: the whole text.
        start: where the collection begins.
        spans: the place of each part.
        leaving: the numbers of the parts to remove.
    """
    if len(leaving) == len(spans):
        comma = re.compile(r"\s*,").match(text, spans[-1][1])
        return [Edit(spans[0][0], comma.end() if comma else spans[-1][1], "")] if spans else []
    last_kept = max(number for number in range(len(spans)) if number not in leaving)
    edits, kept_end = [], start
    for number, (begin, end) in enumerate(spans):
        if number not in leaving:
            kept_end = end
        elif number < last_kept:
            edits.append(Edit(begin, spans[number + 1][0], ""))
        else:
            edits.append(Edit(kept_end, end, ""))
            kept_end = end
    return edits
