"""Where a node's text ends. PyYAML's end of a block is where the next token begins, behind comments and blank lines."""

from __future__ import annotations

import re

import yaml

from accel_scaling.yaml_text.edits import CannotEditError

# What may be between the end of one value and an alias; then the alias.
_ALIAS = re.compile(r"(?:[\s,:-]|(?<=\s)#[^\r\n]*)*\*[^\s,\[\]{}]+")


def is_alias(place: int, node: yaml.Node) -> bool:
    """Return whether a node behind a place is an alias: the node is then the one it stands for, further above."""
    return bool(node.start_mark.index < place)


def content_end(text: str, node: yaml.Node, place: int) -> int:
    """Return where the text of a node ends; of a text in `|`, behind its last line break.

    Args:
        text: the whole text.
        node: a value, or an item of a list.
        place: where the text before it ends.

    Raises:
        CannotEditError: it is an alias that is not found.
    """
    while not is_alias(place, node):
        if not isinstance(node, yaml.CollectionNode) or node.flow_style or not node.value:
            return int(node.end_mark.index)
        if isinstance(node, yaml.MappingNode):
            key, node = node.value[-1]
            place = key.end_mark.index
        else:
            place, node = _before_last(text, node), node.value[-1]
    return alias_end(text, place)


def alias_end(text: str, place: int) -> int:
    """Return where the first alias behind a place ends.

    Raises:
        CannotEditError: there is none.
    """
    found = _ALIAS.match(text, place)
    if found is None:
        raise CannotEditError("it has an alias (`*name`) in a place that cannot be edited")
    return found.end()


def _before_last(text: str, node: yaml.CollectionNode) -> int:
    """Return where the last item but one ends, so an alias as the last one is noticed."""
    begin = int(node.start_mark.index)
    if len(node.value) == 1 or node.value[-1].start_mark.index >= node.value[-2].end_mark.index >= begin:
        return begin
    end = begin
    for item in node.value[:-1]:
        end = content_end(text, item, end)
    return end
