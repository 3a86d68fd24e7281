"""The marks of the fill: comments that say what it wrote, so the next fill may replace exactly that.

Each line that the fill writes ends with one, and holds the value again, or a digest where that is long:

    GPU: 8  # accel-scaling fill: 8

A value counts as the fill's as long as it agrees with its mark. Whoever changes it makes it their own. Where values
are in braces, the comment behind the braces names those that are the fill's.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml

from accel_scaling.inputs.yaml_nodes import construct
from accel_scaling.yaml_text.edits import rest_of_line
from accel_scaling.yaml_text.equality import same
from accel_scaling.yaml_text.nodes import STRING, is_null
from accel_scaling.yaml_text.places import is_alias
from accel_scaling.yaml_text.value_text import flow_text

MARK = "accel-scaling fill"
_COMMENT = re.compile(rf"[ \t]+#(?:.*[ ;#])?{MARK}(?:: (?P<summary>\S.*))?$")
_BEHIND_KEY = re.compile(r"[ \t]*:")
_LONGEST = 40  # characters of a value that a mark repeats


class Mark(NamedTuple):
    """A mark in a text.

    Attributes:
        start: where its comment begins, with the blanks before it.
        end: where it ends.
        summary: the value, or its digest; None at the key of a mapping.
    """

    start: int
    end: int
    summary: str | None


@dataclass(frozen=True)
class Marked:
    """What a text holds besides what the fill wrote.

    Attributes:
        config: the values that are the user's.
        changed: line and keys of each value that the fill wrote and a user changed since.
    """

    config: dict[str, Any]
    changed: list[tuple[int, str]] = field(default_factory=list)


def mark_of(value: Any) -> str:
    """Return the mark of a value that the fill writes, without its ``#``."""
    return MARK if isinstance(value, dict) and value else f"{MARK}: {summary(value)}"


def item_mark(value: Any) -> str:
    """Return the mark of an item that the fill adds to a list of the user's."""
    return f"{MARK}: {summary(value)}"


def flow_mark(part: dict[str, Any]) -> str:
    """Return the mark behind braces; see ``own_part``."""
    return f"{MARK}: {json.dumps(part, ensure_ascii=False)}"


def summary(value: Any) -> str:
    """Return a value as a mark holds it: on one line, or its digest."""
    if not isinstance(value, (dict, list)) or not value:
        text = flow_text(value)
        # What begins with a brace is the mark of a part of a value in braces.
        if len(text) <= _LONGEST and text.isprintable() and not (value and text.startswith("{")):
            return text
    written = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(written.encode()).hexdigest()[:8]


def mark_behind(text: str, key: yaml.Node | None, value: yaml.Node) -> Mark | None:
    """Return the mark of an entry, or of an item of a list where there is no key; None without one."""
    place = value.end_mark.index
    if isinstance(value, yaml.CollectionNode) and not value.flow_style:
        colon = _BEHIND_KEY.match(text, key.end_mark.index) if key is not None else None
        if colon is None:
            return None
        place = colon.end()
    elif isinstance(value, yaml.ScalarNode) and value.style in ("|", ">"):
        return None
    rest = rest_of_line(text, place).rstrip()
    if MARK not in rest:
        return None
    found = _COMMENT.match(rest)
    return Mark(place + found.start(), place + found.end(), found["summary"]) if found else None


def key_of(node: yaml.Node) -> Any:
    """Return a key as a value."""
    return node.value if node.tag == STRING else construct(node)


def users_part(text: str, root: yaml.Node) -> Marked:
    """Return what the user wrote of a text that may have been filled before.

    Args:
        text: the file, without a byte-order mark.
        root: its nodes, which are changed.
    """
    reader = _Reader(text)
    reader.block(root, ())
    return Marked(construct(root), reader.changed)


class _Reader:
    """Takes the entries and items that agree with their marks out of a tree of nodes."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._seen: set[int] = set()  # an alias is the node that it stands for
        self.changed: list[tuple[int, str]] = []

    def block(self, node: yaml.Node, path: tuple[str, ...]) -> None:
        if not isinstance(node, yaml.CollectionNode) or node.flow_style or id(node) in self._seen:
            return
        self._seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            node.value = [(key, value) for key, value in node.value if self._stays(key, value, (*path, str(key.value)))]
        else:
            numbered = enumerate(node.value)
            node.value = [item for number, item in numbered if self._stays(None, item, (*path, str(number)))]

    def _stays(self, key: yaml.Node | None, value: yaml.Node, path: tuple[str, ...]) -> bool:
        """Return whether an entry is the user's; what is in it is looked at too."""
        is_elsewhere = key is not None and is_alias(key.end_mark.index, value)
        mark = None if is_elsewhere else mark_behind(self._text, key, value)
        is_block = isinstance(value, yaml.CollectionNode) and not value.flow_style
        if mark is None or (mark.summary is None and not is_block):
            self.block(value, path)
            return True
        if mark.summary is None:
            self.block(value, path)
            return bool(value.value)
        part = _part(mark.summary) if isinstance(value, yaml.CollectionNode) and value.flow_style else None
        if part is not None:
            self._flow(value, part, path)
            return True
        if summary(construct(value)) == mark.summary:
            return False
        self._note(value, path)
        self.block(value, path)
        return True

    def _flow(self, node: yaml.Node, part: dict[str, Any], path: tuple[str, ...]) -> None:
        if isinstance(node, yaml.MappingNode):
            node.value = [pair for pair in node.value if self._flow_stays(pair[1], str(pair[0].value), part, path)]
        elif isinstance(node, yaml.SequenceNode):
            numbered = enumerate(node.value)
            node.value = [item for number, item in numbered if self._flow_stays(item, str(number), part, path)]

    def _flow_stays(self, value: yaml.Node, name: str, part: dict[str, Any], path: tuple[str, ...]) -> bool:
        wrote = part.get(name)
        if wrote is None:
            return True
        if isinstance(wrote, dict):
            self._flow(value, wrote, (*path, name))
            return bool(value.value)
        if summary(construct(value)) == wrote:
            return False
        self._note(value, (*path, name))
        return True

    def _note(self, value: yaml.Node, path: tuple[str, ...]) -> None:
        if not is_null(value):
            self.changed.append((value.start_mark.line + 1, ".".join(path)))


def _part(text: str) -> dict[str, Any] | None:
    if not text.startswith("{"):
        return None
    try:
        part = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return part if isinstance(part, dict) and part else None


def own_part(users: Any, wanted: Any) -> Any:
    """Return what the fill wrote of a value: by key or number, and a summary where all of it is the fill's.

    Args:
        users: what the user wrote there; anything but a mapping or a list where that is nothing.
        wanted: the new text after the fill.
    """
    if isinstance(wanted, dict) and wanted:
        own = users if isinstance(users, dict) else {}
        pairs = [(key, own.get(key), value) for key, value in wanted.items()]
    elif isinstance(wanted, list) and isinstance(users, list):
        pairs = [(number, users[number] if number < len(users) else None, item) for number, item in enumerate(wanted)]
    else:
        return summary(wanted)
    parts = {str(key): own_part(own, value) for key, own, value in pairs if not same(own, value)}
    return parts or summary(wanted)
