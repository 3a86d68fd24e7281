"""The text of a migrated file: the provider's lines and the blocks of Ray 1 are edited where they stand.

What is edited here stays at its place, with its comments. Everything else that a migration adds or drops is written by
the editor of the fill (`fill/in_place.py`), from values; whatever cannot be edited here, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from accel_scaling.cluster.node_type_defaults import HEAD, TYPES
from accel_scaling.inputs.yaml_nodes import compose
from accel_scaling.migration.ray_1 import HEAD_NODE
from accel_scaling.yaml_text.edits import BREAK, BREAKS, CannotEditError, Edit, applied, line_end, lines_after, newline
from accel_scaling.yaml_text.nodes import own_pairs
from accel_scaling.yaml_text.places import content_end, is_alias
from accel_scaling.yaml_text.value_text import flow_text, style_of

if TYPE_CHECKING:
    from collections.abc import Mapping


def with_provider(text: str, module: str) -> str:
    """Return a file's text with `type: external`, and the module in the next line.

    Raises:
        CannotEditError: the provider has a form that takes no such change.
    """
    root = compose(text, like_ray=True)[0]
    key, provider = own_pairs(root).get("provider", (None, None))
    if key is None or provider is None or is_alias(key.end_mark.index, provider):
        raise CannotEditError("an anchor (`&`, `*`) shares the provider section")
    own = own_pairs(provider)
    type_key, value = own.get("type", (None, None))
    if type_key is None or value is None or "module" in own or is_alias(type_key.end_mark.index, value):
        raise CannotEditError("the provider's type is elsewhere")
    start, end = value.start_mark.index, value.end_mark.index
    if not isinstance(provider, yaml.MappingNode) or provider.flow_style:
        quoted = text[type_key.start_mark.index] == '"'
        entry = f'"module": "{module}"' if quoted else f"module: {flow_text(module)}"
        kind = '"external"' if quoted else "external"
        return applied(text, [Edit(start, end, f"{kind}, {entry}")])
    indent = " " * type_key.start_mark.column
    return applied(text, [Edit(start, end, "external"), lines_after(text, end, [f"{indent}module: {module}"])])


@dataclass(frozen=True)
class _Block:
    """A key of Ray 1 with its lines.

    Attributes:
        start: where its first line begins, its comments above included.
        key_line: where the line of the key begins.
        end: where its last line ends, behind the line break.
        lines: the new text instead.
    """

    start: int
    key_line: int
    end: int
    lines: list[str]


def with_node_types(text: str, moved: Mapping[str, str], least: Any) -> str:
    """Return a file's text in which keys of Ray 1 are node types, with the lines that they held.

    Args:
        text: the file, without a byte-order mark.
        moved: the new node type of each key.
        least: min_workers of the workers; nothing for none.

    Raises:
        CannotEditError: a key has a form that takes no such change.
    """
    root = compose(text, like_ray=True)[0]
    pairs = own_pairs(root)
    if not isinstance(root, yaml.MappingNode) or root.flow_style or TYPES in pairs:
        raise CannotEditError("it is in braces")
    blocks = []
    for old, new in moved.items():
        first = [f"min_workers: {least}"] if old != HEAD_NODE and least else []
        blocks.append(_block(text, root, *pairs[old], name=new, first=first))
    blocks.sort(key=lambda block: block.key_line)
    head = [] if HEAD in pairs else [f"{HEAD}: {moved.get(HEAD_NODE, 'head')}"]
    begun = [*head, f"{TYPES}:"]
    end = newline(text, 0)
    behind = text[blocks[0].end : blocks[-1].start] if len(blocks) > 1 else ""
    edits = [Edit(blocks[0].key_line, blocks[0].end, _joined([*begun, *blocks[0].lines], end))]
    if len(blocks) > 1 and not behind.strip():
        edits.append(Edit(blocks[1].key_line, blocks[1].end, _joined(blocks[1].lines, end)))
    elif len(blocks) > 1:
        # Other keys are between: it goes to the other one, with the comments above it.
        margin = blocks[1].lines[0][: -len(blocks[1].lines[0].lstrip())]
        above = BREAK.split(text[blocks[1].start : blocks[1].key_line].rstrip(BREAKS))
        comments = ["", *(margin + line.lstrip() for line in above)] if above[0] else []
        edits.append(Edit(blocks[1].start, blocks[1].end, ""))
        edits[0] = edits[0]._replace(text=edits[0].text + _joined([*comments, *blocks[1].lines], end))
    return applied(text, edits)


def _joined(lines: list[str], end: str) -> str:
    return "".join(line + end for line in lines)


def _block(text: str, root: yaml.Node, key: yaml.Node, value: yaml.Node, *, name: str, first: list[str]) -> _Block:
    if is_alias(key.end_mark.index, value) or not isinstance(value, yaml.MappingNode):
        raise CannotEditError("an anchor (`&`, `*`) shares it")
    start = key.start_mark.index - key.start_mark.column
    column, step = key.start_mark.column, style_of(root).step
    end = _with_comments(text, line_end(text, _last(text, value, key))[1], column)
    was = column if value.flow_style else value.value[0][0].start_mark.column
    resources = _resources(text, value, column + 2 * step - was)
    kept = _cut(text, key.end_mark.index, end, resources)
    first_line, *inside = BREAK.split(kept.rstrip(BREAKS))
    shift = " " * max(0, column + (2 if value.flow_style else 3) * step - was)
    margin = " " * column
    lines = [f"{margin}{' ' * step}{name}:"]
    lines += [f"{margin}{' ' * 2 * step}{line}" for line in [*first, f"node_config{first_line}"]]
    lines += [shift + line if line.strip() else line for line in inside]
    lines += resources.lines
    return _Block(_comments_above(text, start), start, end, lines)


class _Resources(NamedTuple):
    """The lines of `resources:` in a node_config of Ray 1, and what they are for a node type; none without any."""

    start: int = 0
    end: int = 0
    lines: tuple[str, ...] = ()


def _resources(text: str, value: yaml.MappingNode, by: int) -> _Resources:
    key, entry = own_pairs(value).get("resources", (None, None))
    if key is None or entry is None or value.flow_style or by < 0 or is_alias(key.end_mark.index, entry):
        return _Resources()
    start = key.start_mark.index - key.start_mark.column
    end = line_end(text, _last(text, entry, key))[1]
    lines = BREAK.split(text[start:end].rstrip(BREAKS))
    return _Resources(start, end, tuple(" " * by + line if line.strip() else line for line in lines))


def _cut(text: str, start: int, end: int, resources: _Resources) -> str:
    if not resources.lines:
        return text[start:end]
    return text[start : resources.start] + text[resources.end : end]


def _last(text: str, value: yaml.Node, key: yaml.Node) -> int:
    """Return where the last character of a value is, before its line break."""
    end = content_end(text, value, key.end_mark.index)
    return end - 1 if text[end - 1] in BREAKS else end


def _with_comments(text: str, end: int, column: int) -> int:
    """Return where the comments end that follow a block and are indented as what is in it."""
    place = end
    while place < len(text):
        stop, following = line_end(text, place)
        line = text[place:stop]
        if line.strip() and not (line.lstrip().startswith("#") and len(line) - len(line.lstrip()) > column):
            break
        place = following
        end = place if line.strip() else end
    return end


def _comments_above(text: str, start: int) -> int:
    """Return where the comments right above a line begin."""
    while start:
        above = text.rfind("\n", 0, start - 1) + 1
        if not text[above:start].lstrip().startswith("#"):
            break
        start = above
    return start
