"""The edits of a group in a manifest: what is added to it below its key, and what leaves it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import yaml

from accel_scaling.yaml_text import nodes as yt
from accel_scaling.yaml_text.edits import BREAK, BREAKS, CannotEditError, Edit, from_flow, line_end, lines_after

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_INDENT = 2
_ONE_A_LINE = "write its keys and those of rayStartParams on a line each, with the value"


def add_entries(text: str, key: yaml.Node, mapping: yaml.Node, entries: Mapping[str, str]) -> Edit:
    """Return the edit that adds entries at the beginning of a key's mapping; the rest stays as it is.

    Raises:
        CannotEditError: the mapping does not begin below its key.
    """
    if isinstance(mapping, yaml.MappingNode) and mapping.flow_style:
        return _into_flow(text, mapping, [(name, _quoted(value)) for name, value in entries.items()])
    # In the column of the entries that are there: YAML allows one indentation in a mapping.
    column = mapping.value[0][0].start_mark.column if yt.pairs(mapping) else key.start_mark.column + _INDENT
    if yt.pairs(mapping) and mapping.value[0][0].start_mark.line == key.start_mark.line:
        raise CannotEditError(_ONE_A_LINE)
    return lines_after(text, key.end_mark.index, _block(column, entries))


def add_mapping(text: str, group: yaml.Node, group_key: yaml.Node | None, blocks: Mapping[str, dict[str, str]]) -> Edit:
    """Return the edit that adds keys to a group, each with a mapping.

    They go below the group's key, or below its ``groupName`` where it is an item of a list, so each comment stays
    beside its entry.

    Raises:
        CannotEditError: the group's form has no such place.
    """
    if isinstance(group, yaml.MappingNode) and group.flow_style:
        return _into_flow(text, group, [(name, _flow(entries)) for name, entries in blocks.items()])
    first = group.value[0][0].start_mark
    lines = []
    for name, entries in blocks.items():
        lines += [" " * first.column + f"{name}:", *_block(first.column + _step(group), entries)]
    if group_key is not None and first.line > group_key.end_mark.line:
        return lines_after(text, group_key.end_mark.index, lines)
    name_key, name_value = yt.own_pairs(group).get("groupName", (None, None))
    if name_key is None or name_value is None or name_key.start_mark.line != name_value.end_mark.line:
        raise CannotEditError(_ONE_A_LINE)
    return lines_after(text, name_value.end_mark.index, lines)


def remove_entries(text: str, key: yaml.Node, mapping: yaml.Node, names: Collection[str]) -> list[Edit]:
    """Return the edits that remove entries from a key's mapping.

    Raises:
        CannotEditError: an entry shares a line with another one.
    """
    if not isinstance(mapping, yaml.MappingNode):
        return []
    if mapping.flow_style:
        return from_flow(mapping, names, text)
    edits = [_lines_of(text, name, value) for name, value in mapping.value if name.value in names]
    # The key must keep a mapping: with null there, Ray's autoscaler raises (`"num-gpus" in None`).
    if len(edits) == len(mapping.value):
        behind = re.compile(r"\s*:(?:[ \t]+&\S+)?").match(text, key.end_mark.index)
        if behind is None:
            raise CannotEditError(_ONE_A_LINE)
        edits.append(Edit(behind.end(), behind.end(), " {}"))
    return edits


def replace_scalar(text: str, value: yaml.Node, new: str) -> Edit:
    """Return the edit that replaces a scalar by a quoted one."""
    start, end = value.start_mark.index, value.end_mark.index
    plain = new.isprintable() and "'" not in new
    # A block scalar ends after its line breaks, which stay.
    return Edit(start, start + len(text[start:end].rstrip()), f"'{new}'" if plain else json.dumps(new))


def _block(column: int, entries: Mapping[str, str]) -> list[str]:
    return [" " * column + f"{_key(name)}: {_scalar(value)}" for name, value in entries.items()]


def _flow(entries: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{json.dumps(name)}: {_quoted(value)}" for name, value in entries.items()) + "}"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z][A-Za-z0-9._/-]*", name) else json.dumps(name)


def _scalar(value: str) -> str:
    """Return a value in quotes, with its comment after it."""
    comment = value.partition(_COMMENT)[2]
    return _quoted(value) + (f"  {comment}" if comment else "")


def _quoted(value: str) -> str:
    # In quotes always: Kubernetes takes strings only here, and a plain `true` or `8` is none. JSON's quotes are YAML's.
    return json.dumps(value.partition(_COMMENT)[0], ensure_ascii=False)


_COMMENT = "\0"  # between a moved value and its comment; YAML has no such character


def with_comment(value: str, comment: str) -> str:
    """Return a value for ``add_entries`` and ``add_mapping`` with a comment."""
    return f"{value}{_COMMENT}{comment}" if comment else value


def _step(group: yaml.Node) -> int:
    """Return the indentation of the group's mappings."""
    for key, value in group.value:
        if isinstance(value, yaml.MappingNode) and value.value and not value.flow_style:
            step = int(value.value[0][0].start_mark.column - key.start_mark.column)
            if step > 0:
                return step
    return _INDENT


def _lines_of(text: str, key: yaml.Node, value: yaml.Node) -> Edit:
    """Return the edit that removes an entry with its lines."""
    start = key.start_mark.index - key.start_mark.column
    last = len(text[: value.end_mark.index].rstrip()) if value.end_mark.index > key.end_mark.index else 0
    _, end = line_end(text, max(last, key.end_mark.index))
    if text[start : key.start_mark.index].strip():
        raise CannotEditError(_ONE_A_LINE)
    if end == len(text) and not BREAK.search(text, max(last, key.end_mark.index)):
        # The last line of a file without a line break at its end: the break before it is removed instead.
        start = len(text[:start].rstrip(BREAKS))
    return Edit(start, end, "")


def _into_flow(text: str, mapping: yaml.Node, entries: list[tuple[str, str]]) -> Edit:
    """Add entries after the opening brace; each on its own line where the first entry is."""
    inside = text.index("{", mapping.start_mark.index) + 1
    gap = re.compile(r"\s*").match(text, inside)
    between = gap.group() if gap and BREAK.search(gap.group()) and mapping.value else ""
    # In quotes: the manifest may be JSON, and must stay so.
    written = [f"{json.dumps(name)}: {value}" for name, value in entries]
    if not mapping.value:
        return Edit(inside, inside, ", ".join(written))
    behind = "" if between else " "
    return Edit(inside, inside, "".join(f"{between}{entry},{behind}" for entry in written))
