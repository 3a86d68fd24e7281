"""The edits of values in braces or brackets, and of the comment behind it that marks the fill's part."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml

from accel_scaling.fill.marks import flow_mark, key_of, mark_behind, own_part
from accel_scaling.yaml_text.edits import CannotEditError, Edit, line_end, newline, without_spans
from accel_scaling.yaml_text.equality import same
from accel_scaling.yaml_text.nodes import MERGE
from accel_scaling.yaml_text.places import content_end, is_alias
from accel_scaling.yaml_text.value_text import flow_text

if TYPE_CHECKING:
    from collections.abc import Collection

_SHARED = "an anchor (`&`, `*`) shares a value in braces; write it in full"
_NO_PLACE = "it has braces that cannot be changed in place; write one key on each line"


class FlowEdits:
    """Makes the edits of one outermost collection in braces or brackets."""

    def __init__(self, text: str, shared: Collection[int]) -> None:
        self._text, self._shared = text, shared
        self._edits: list[Edit] = []

    def outermost(self, node: yaml.Node, now: Any, users: Any, wanted: Any, *, marked: bool) -> list[Edit]:
        """Return the edits that give a collection the wanted values.

        Args:
            node: its node.
            now: what it holds.
            users: what the user wrote of that.
            wanted: what it is to hold.
            marked: write a mark behind it.

        Raises:
            CannotEditError: its form takes no such change.
        """
        self._collection(node, now, wanted)
        if marked:
            self._mark(node, own_part(users, wanted) if not same(users, wanted) else {})
        return self._edits

    def _value(self, node: yaml.Node, now: Any, wanted: Any) -> None:
        if id(node) in self._shared:
            raise CannotEditError(_SHARED)
        if isinstance(node, yaml.CollectionNode) and now and wanted and isinstance(wanted, type(now)):
            self._collection(node, now, wanted)
            return
        start, end = node.start_mark.index, node.end_mark.index
        if start == end and self._text[start - 1] != ":":
            raise CannotEditError(_NO_PLACE)
        self._edits.append(Edit(start, end, (" " if start == end else "") + flow_text(wanted)))

    def _collection(self, node: yaml.Node, now: Any, wanted: Any) -> None:
        if isinstance(node, yaml.MappingNode) and isinstance(now, dict):
            self._mapping(node, now, wanted)
        elif isinstance(node, yaml.SequenceNode) and isinstance(now, list):
            for number, item in enumerate(node.value[: len(wanted)]):
                if not same(now[number], wanted[number]):
                    self._value(item, now[number], wanted[number])
            items = node.value
            if any(is_alias(node.start_mark.index, item) for item in items):
                raise CannotEditError(_SHARED)
            spans = [(item.start_mark.index, item.end_mark.index) for item in items]
            added = [flow_text(item) for item in wanted[len(now) :]]
            self._parts(node, spans, set(range(len(wanted), len(items))), added)
        else:
            raise CannotEditError(_NO_PLACE)

    def _mapping(self, node: yaml.MappingNode, now: dict[Any, Any], wanted: dict[Any, Any]) -> None:
        own = {key_of(key): value for key, value in node.value if key.tag != MERGE}
        for name, value in own.items():
            if name in wanted and not same(now[name], wanted[name]):
                self._value(value, now[name], wanted[name])
        if any(name not in wanted and name not in own for name in now):
            raise CannotEditError(_SHARED)  # it is from a merge key
        spans = [
            (key.start_mark.index, content_end(self._text, value, key.end_mark.index)) for key, value in node.value
        ]
        leaving = {
            number for number, (key, _) in enumerate(node.value) if key.tag != MERGE and key_of(key) not in wanted
        }
        as_json = self._text[spans[0][0]] == '"'
        missing = [name for name in wanted if name not in own and not (name in now and same(now[name], wanted[name]))]
        self._parts(node, spans, leaving, [_entry(name, wanted[name], as_json=as_json) for name in missing])

    def _parts(self, node: yaml.Node, spans: list[tuple[int, int]], leaving: set[int], added: list[str]) -> None:
        if len(leaving) == len(spans) and added:
            comma = ", ".join(added)
            self._edits.append(Edit(spans[0][0], spans[-1][1], comma))
            return
        if leaving:
            self._edits += without_spans(self._text, node.start_mark.index, spans, leaving)
        if added:
            begin, end = spans[-1]
            column = (node.value[-1][0] if isinstance(node, yaml.MappingNode) else node.value[-1]).start_mark.column
            line = self._text[begin - column : begin]
            # Each on a line of its own where the last one is.
            between = ", " if line.strip() else f",{newline(self._text, begin)}{line}"
            self._edits.append(Edit(end, end, "".join(between + part for part in added)))

    def _mark(self, node: yaml.Node, part: Any) -> None:
        comment = f"  # {flow_mark(part)}" if isinstance(part, dict) and part else ""
        mark = mark_behind(self._text, None, node)
        if mark:
            hash_at = self._text.rindex("#", mark.start, mark.end)
            start = len(self._text[mark.start : hash_at].rstrip()) + mark.start
            self._edits.append(Edit(start, mark.end, comment))
            return
        end = line_end(self._text, node.end_mark.index)[0]
        rest = self._text[node.end_mark.index : end].strip()
        if rest and not rest.startswith("#"):
            raise CannotEditError(_NO_PLACE)
        if comment:
            self._edits.append(Edit(end, end, comment))


def _entry(name: Any, value: Any, *, as_json: bool) -> str:
    if as_json:
        return f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False, default=str)}"
    return f"{flow_text(name)}: {flow_text(value)}"
