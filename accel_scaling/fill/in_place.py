"""Turns a cluster file's text into one that holds the filled values; all that need not change stays, byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from accel_scaling.fill.flow_edits import FlowEdits
from accel_scaling.fill.marks import Mark, item_mark, key_of, mark_behind, mark_of, summary
from accel_scaling.yaml_text.edits import BREAK, BREAKS, CannotEditError, Edit, applied, line_end, lines_at, newline
from accel_scaling.yaml_text.equality import same
from accel_scaling.yaml_text.nodes import MERGE, is_null, shared_nodes
from accel_scaling.yaml_text.places import alias_end, content_end, is_alias
from accel_scaling.yaml_text.value_text import block_text, entry_lines, item_line, style_of

if TYPE_CHECKING:
    from collections.abc import Mapping

SHARED = "it shares values through anchors (`&`, `*`, `<<`), and the fill differs between the places that share them"
_ONE_A_LINE = "it has a form to which lines cannot be added; write one key on each line"


class Values(NamedTuple):
    """What a node holds now, what the user wrote of it (None for nothing), and what it is to hold."""

    now: Any
    users: Any
    wanted: Any

    def at(self, key: Any) -> Values:
        """Return the same of an entry or an item."""
        inside = self.users
        if isinstance(inside, list):
            users = inside[key] if key < len(inside) else None
        else:
            users = inside.get(key) if isinstance(inside, dict) else None
        return Values(self.now[key], users, self.wanted[key])


def edited(text: str, root: yaml.Node, values: Values, reasons: Mapping[str, str], *, marked: bool = True) -> str:
    """Return the text with the wanted values; what the fill writes is marked.

    Args:
        text: a YAML text, without a byte-order mark.
        root: its nodes.
        values: its values.
        reasons: what the comments of some keys say besides.
        marked: mark what is written as the fill's; else it is the user's from now on.

    Raises:
        CannotEditError: its form takes no such change; the text says why.
    """
    editor = _Editor(text, root, reasons, marked=marked)
    editor.change(None, root, values)
    return applied(text, editor.edits)


class _Editor:
    """Collects the edits of one text. All are of the original text: none of them moves the place of another."""

    def __init__(self, text: str, root: yaml.Node, reasons: Mapping[str, str], *, marked: bool) -> None:
        self._text, self._root, self._reasons, self._marked = text, root, reasons, marked
        self._style = style_of(root)
        self._shared = shared_nodes(root)
        self._done: dict[int, Any] = {}
        self.edits: list[Edit] = []

    def change(self, key: yaml.Node | None, node: yaml.Node, values: Values) -> None:
        """Edit a value of a block mapping (with its key), of a block list, or the whole file."""
        if key is not None and is_alias(key.end_mark.index, node):
            self._alias(key, self._done.get(id(node), values.now), values.wanted)
            return
        if id(node) in self._done:  # an item that is an alias
            if same(self._done[id(node)], values.wanted):
                return
            raise CannotEditError(SHARED)
        if id(node) in self._shared:
            self._done[id(node)] = values.wanted
        now, wanted = values.now, values.wanted
        # A list that is the fill's as a whole is written as a whole: its mark is a digest of all items.
        alike = isinstance(wanted, type(now)) and bool(now) and bool(wanted)
        if alike and isinstance(node, yaml.CollectionNode) and node.flow_style:
            in_braces = FlowEdits(self._text, self._shared)
            self.edits += in_braces.outermost(node, *values, marked=self._marked and node is not self._root)
        elif alike and isinstance(node, yaml.MappingNode) and isinstance(now, dict):
            self._mapping(node, values)
        elif alike and isinstance(node, yaml.SequenceNode) and isinstance(now, list) and values.users is not None:
            self._list(node, values)
        else:
            self._replace(key, node, values)

    def _mapping(self, node: yaml.MappingNode, values: Values) -> None:
        scalars = [pair for pair in node.value if isinstance(pair[0], yaml.ScalarNode) and pair[0].tag != MERGE]
        own = {key_of(pair[0]): pair for pair in scalars}
        for name in values.now:
            if name in values.wanted and same(values.now[name], values.wanted[name]):
                continue
            if name in values.wanted and name in own:
                self.change(own[name][0], own[name][1], values.at(name))
            elif name in own:
                self.edits.append(self._without(own[name][0], own[name][1]))
            elif name not in values.wanted:
                raise CannotEditError(SHARED)  # it is from a merge key
        # A key that is from a merge key gets an entry of its own, which comes before it.
        added = {
            name: value
            for name, value in values.wanted.items()
            if name not in own and (name not in values.now or not same(values.now[name], value))
        }
        if added:
            self._add(node, added)

    def _add(self, node: yaml.MappingNode, added: dict[Any, Any]) -> None:
        first, (last, value) = node.value[0][0], node.value[-1]
        column = first.start_mark.column
        lines = [
            line for name, item in added.items() for line in entry_lines(name, item, column, self._style, self._comment)
        ]
        end = content_end(self._text, value, last.end_mark.index)
        if end == len(self._text) and self._text[end - 1] not in BREAKS and _ends_in_block_text(value):
            # A further line would give the text in `|` a line break at its end: they go before it.
            start = last.start_mark.index - last.start_mark.column
            self.edits.append(lines_at(self._text, start, lines, newline(self._text, start)))
            return
        self._insert(end, column, lines)

    def _insert(self, place: int, column: int, lines: list[str]) -> None:
        """Add lines after the line of a place, and after the comments there that belong to the same mapping."""
        text = self._text
        at = place if place and text[place - 1] in BREAKS else line_end(text, place)[1]
        here = at
        while here < len(text):
            before, behind = line_end(text, here)
            words = text[here:before].lstrip(" \t")
            if words and not (words.startswith("#") and before - here - len(words) >= column):
                break
            here = behind
            at = here if words else at
        self.edits.append(lines_at(text, at, lines, newline(text, place)))

    def _alias(self, key: yaml.Node, there: Any, wanted: Any) -> None:
        """Give an alias (`*name`) what differs from the place that it stands for, with a merge key."""
        if same(there, wanted):
            return
        if not isinstance(there, dict) or not isinstance(wanted, dict) or there.keys() - wanted.keys():
            raise CannotEditError(SHARED)
        colon = self._text.index(":", key.end_mark.index) + 1
        end = alias_end(self._text, colon)
        column = key.start_mark.column + self._style.step
        lines = [" " * column + f"<<: {self._text[colon:end].strip()}"]
        for name, item in wanted.items():
            if name not in there or not same(there[name], item):
                lines += entry_lines(name, item, column, self._style, self._comment)
        self.edits.append(Edit(colon, end, ""))
        self._insert(end, column, lines)

    def _list(self, node: yaml.SequenceNode, values: Values) -> None:
        now, wanted = values.now, values.wanted
        for number, item in enumerate(node.value[: len(wanted)]):
            if not same(now[number], wanted[number]):
                self.change(None, item, values.at(number))
        for item in node.value[len(wanted) :]:
            self.edits.append(self._without(None, item))
        if len(wanted) > len(now):
            first = node.value[0].start_mark
            before = self._text[first.index - first.column : first.index].rstrip()
            if not before.endswith("-"):
                raise CannotEditError(_ONE_A_LINE)
            column = len(before) - 1
            end = content_end(self._text, node, node.start_mark.index)
            self._insert(
                end, column, [item_line(item, column, self._item_comment(item)) for item in wanted[len(now) :]]
            )

    def _replace(self, key: yaml.Node | None, node: yaml.Node, values: Values) -> None:
        wanted, start, end = values.wanted, node.start_mark.index, node.end_mark.index
        if id(node) in self._shared:
            raise CannotEditError(SHARED)
        is_many = isinstance(wanted, (dict, list)) and bool(wanted)
        mark = mark_behind(self._text, key, node)
        empty = is_null(node) or (isinstance(node, yaml.CollectionNode) and node.flow_style and not node.value)
        if isinstance(node, yaml.ScalarNode) and node.style not in ("|", ">") and not is_many:
            self.edits.append(Edit(start, end, (" " if start == end else "") + block_text(wanted)))
            self._mark(mark, wanted)
        elif key is not None and empty and is_many and not mark and key.start_mark.line == node.end_mark.line:
            self._below(key, node, wanted)
        elif key is not None:
            self._whole_entry(key, node, wanted, marked=values.users is None)
        else:
            raise CannotEditError(_ONE_A_LINE)

    def _below(self, key: yaml.Node, node: yaml.Node, wanted: Any) -> None:
        """Put a mapping or list below a key that has none yet: `resources: {}`."""
        colon = self._text.index(":", key.end_mark.index) + 1
        if node.end_mark.index > colon:
            self.edits.append(Edit(colon, node.end_mark.index, ""))
        _, *lines = entry_lines(key_of(key), wanted, key.start_mark.column, self._style, self._comment)
        if isinstance(wanted, list) and self._marked:
            lines = [f"{line}  # {item_mark(item)}" for line, item in zip(lines, wanted, strict=True)]
        self._insert(node.end_mark.index, key.start_mark.column + 1, lines)

    def _whole_entry(self, key: yaml.Node, node: yaml.Node, wanted: Any, *, marked: bool) -> None:
        """Write an entry again in its place."""
        start, column = key.start_mark.index, key.start_mark.column
        if self._text[start - column : start].strip(" -"):
            raise CannotEditError(_ONE_A_LINE)
        end = content_end(self._text, node, key.end_mark.index)
        mark = mark_behind(self._text, key, node)
        comment = self._comment if marked or mark else (lambda *_: "")
        lines = entry_lines(key_of(key), wanted, column, self._style, comment)
        lines += self._comments_in(node, start, end)
        end_of_line = newline(self._text, start)
        behind = end_of_line if self._text[end - 1] in BREAKS else ""
        end = max(end, mark.end if mark else end)
        self.edits.append(Edit(start, end, end_of_line.join(lines).lstrip(" ") + behind))

    def _without(self, key: yaml.Node | None, node: yaml.Node) -> Edit:
        """Return the edit that removes an entry or an item with its lines; the user's comments among them stay."""
        first = key or node
        start = first.start_mark.index - first.start_mark.column
        if self._text[start : first.start_mark.index].strip(None if key else " -"):
            raise CannotEditError(_ONE_A_LINE)
        end = content_end(self._text, node, first.end_mark.index if key else start)
        kept = self._comments_in(node, start, end)
        if self._text[end - 1] not in BREAKS:
            end = line_end(self._text, end)[1]
        if end == len(self._text) and not self._text.endswith(tuple(BREAKS)):
            # The last line of a file without a line break at its end: the break before it is removed instead.
            start = len(self._text[:start].rstrip(BREAKS)) if not kept else start
            return Edit(start, end, newline(self._text, start).join(kept))
        return Edit(start, end, "".join(line + newline(self._text, start) for line in kept))

    def _comments_in(self, node: yaml.Node, start: int, end: int) -> list[str]:
        """Return the lines that are comments between the first and the last line of an entry."""
        if not isinstance(node, yaml.CollectionNode) or node.flow_style:
            return []
        lines = BREAK.split(self._text[start:end])
        return [line for line in lines[1:] if line.lstrip().startswith("#")]

    def _mark(self, mark: Mark | None, value: Any) -> None:
        if mark is None or mark.summary is None:
            return
        self.edits.append(Edit(mark.end - len(mark.summary), mark.end, summary(value)))

    def _comment(self, path: tuple[Any, ...], value: Any) -> str:
        reason = self._reasons.get(path[0], "") if len(path) == 1 else ""
        return "; ".join(part for part in (reason, mark_of(value) if self._marked else "") if part)

    def _item_comment(self, item: Any) -> str:
        return item_mark(item) if self._marked else ""


def _ends_in_block_text(node: yaml.Node) -> bool:
    while isinstance(node, yaml.CollectionNode) and node.value and not node.flow_style:
        last = node.value[-1]
        node = last[1] if isinstance(node, yaml.MappingNode) else last
    return isinstance(node, yaml.ScalarNode) and node.style in ("|", ">")
