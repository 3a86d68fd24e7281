"""Values as YAML text: on one line, or as lines below a key in the style of the file."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from accel_scaling.inputs.yaml_nodes import DUMPER
from accel_scaling.yaml_text.edits import CannotEditError
from accel_scaling.yaml_text.places import is_alias

if TYPE_CHECKING:
    from collections.abc import Callable

_ENDLESS = 10**9  # of a line: PyYAML folds a longer text


class Style(NamedTuple):
    """How a file is indented.

    Attributes:
        step: columns from a key to the keys below it.
        dash: columns from a key to the dashes of its list.
    """

    step: int = 2
    dash: int = 2


def style_of(root: yaml.Node) -> Style:
    """Return the style of a file's first mapping and first list that are below a key; else the usual one."""
    step = dash = None
    todo, seen = [root], {id(root)}
    while todo and (step is None or dash is None):
        node = todo.pop()
        if isinstance(node, yaml.SequenceNode):
            inside = node.value
        elif isinstance(node, yaml.MappingNode):
            inside = [value for _, value in node.value]
            for key, value in () if node.flow_style else node.value:
                columns = value.start_mark.column - key.start_mark.column
                # What an alias stands for begins elsewhere.
                if not _is_block(value) or is_alias(key.end_mark.index, value) or columns > 8:
                    continue
                if isinstance(value, yaml.SequenceNode):
                    dash = columns if dash is None and columns >= 0 else dash
                else:
                    step = columns if step is None and columns > 0 else step
        else:
            continue
        fresh = [child for child in reversed(inside) if id(child) not in seen]
        seen.update(map(id, fresh))
        todo += fresh
    return Style(Style().step if step is None else step, Style().dash if dash is None else dash)


def _is_block(node: yaml.Node) -> bool:
    return isinstance(node, yaml.CollectionNode) and not node.flow_style and bool(node.value)


def flow_text(value: Any) -> str:
    """Return a value on one line, as it may be written in braces and as a block's value."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{flow_text(key)}: {flow_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(flow_text, value)) + "]"
    if isinstance(value, (set, bytearray)):
        raise CannotEditError("a set cannot be written in place")
    return _scalar_text(value, type(value).__name__, flow=True)


def block_text(value: Any) -> str:
    """Return a scalar, or an empty collection, as a block's value."""
    return (
        flow_text(value) if isinstance(value, (dict, list)) else _scalar_text(value, type(value).__name__, flow=False)
    )


@lru_cache(maxsize=4096)
def _scalar_text(value: Any, _kind: str, *, flow: bool) -> str:
    # The kind is a part of the cache's key: 1, 1.0 and True are equal.
    if isinstance(value, str) and not value.isprintable():
        return json.dumps(value)
    try:
        # As an item: a scalar alone ends with a line `...`, and is quoted by other rules.
        written = yaml.dump([value], Dumper=DUMPER, width=_ENDLESS, default_flow_style=flow, allow_unicode=True)
    except yaml.YAMLError as error:
        raise CannotEditError(f"a value cannot be written: {error}") from None
    text = written.strip()[1:-1].strip() if flow else written[2:].rstrip("\n")
    if "\n" in text:
        raise CannotEditError("a value takes several lines")
    return text


def entry_lines(
    key: Any, value: Any, column: int, style: Style, comment: Callable[[tuple[Any, ...], Any], str]
) -> list[str]:
    """Return the lines of an entry of a block mapping.

    Args:
        key: its key.
        value: its value.
        column: where the key begins.
        style: the file's.
        comment: returns the comment behind an entry, from the keys that lead to it and its value; or nothing.
    """
    return _lines((key,), value, column, style, comment)


def item_line(value: Any, column: int, comment: str) -> str:
    """Return the line of an item of a block list."""
    return " " * column + f"- {flow_text(value) if isinstance(value, dict) else block_text(value)}{_behind(comment)}"


def _lines(
    path: tuple[Any, ...], value: Any, column: int, style: Style, comment: Callable[[tuple[Any, ...], Any], str]
) -> list[str]:
    begun = " " * column + f"{block_text(path[-1])}:"
    behind = _behind(comment(path, value))
    if isinstance(value, dict) and value:
        lines = [begun + behind]
        for key, item in value.items():
            lines += _lines((*path, key), item, column + style.step, style, comment)
        return lines
    if isinstance(value, list) and value:
        return [begun + behind, *(item_line(item, column + style.dash, "") for item in value)]
    return [f"{begun} {block_text(value)}{behind}"]


def _behind(comment: str) -> str:
    return f"  # {comment}" if comment else ""
