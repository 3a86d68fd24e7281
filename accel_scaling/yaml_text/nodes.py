"""Questions about YAML nodes with their place in the text: no value is constructed, so none is reformatted."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import yaml

from accel_scaling.inputs.yaml_nodes import children

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Pairs = Mapping[str, tuple[yaml.Node, yaml.Node]]

MERGE = "tag:yaml.org,2002:merge"
STRING = "tag:yaml.org,2002:str"
_NULL = "tag:yaml.org,2002:null"
BOM = "\ufeff"


def shared_nodes(root: yaml.Node) -> frozenset[int]:
    """Return the ids of the nodes that an anchor and its aliases put into several places."""
    counts: Counter[int] = Counter()
    todo = [root]
    while todo:
        node = todo.pop()
        counts[id(node)] += 1
        # Into each node once: with aliases of aliases, there are millions of ways to the same node.
        if counts[id(node)] > 1:
            continue
        todo += children(node)
    return frozenset(key for key, count in counts.items() if count > 1)


# Of each mapping once: a mapping that merges others, which merge others, would be resolved again for each question.
_pairs: WeakKeyDictionary[yaml.Node, Pairs] = WeakKeyDictionary()


def pairs(node: yaml.Node | None) -> Pairs:
    """Return the key and value nodes of a mapping by key, merge keys (``<<``) resolved; empty for anything else."""
    if not isinstance(node, yaml.MappingNode):
        return {}
    if (known := _pairs.get(node)) is None:
        known = _pairs[node] = _resolved(node)
    return known


def _resolved(node: yaml.MappingNode) -> Pairs:
    entries: dict[str, tuple[yaml.Node, yaml.Node]] = {}
    # YAML's rule: of merged mappings the first has precedence, and the mapping's own entries before all.
    for merged in _merged(node):
        for key, pair in pairs(merged).items():
            entries.setdefault(key, pair)
    return {**entries, **own_pairs(node)}


def own_pairs(node: yaml.Node | None) -> Pairs:
    """Return ``pairs`` without the entries from merge keys."""
    if not isinstance(node, yaml.MappingNode):
        return {}
    return {key.value: (key, value) for key, value in node.value if isinstance(key, yaml.ScalarNode)}


def at(node: yaml.Node | None, *path: str) -> yaml.Node | None:
    """Return the value below a mapping's keys, None where one is missing or null."""
    for key in path:
        _, node = pairs(node).get(key, (None, None))
    return None if is_null(node) else node


def items(node: yaml.Node | None) -> list[yaml.Node]:
    """Return the items of a list; empty for anything else."""
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def word(node: yaml.Node | None) -> str | None:
    """Return a scalar as it is written, without its quotes; None for anything else."""
    return str(node.value) if isinstance(node, yaml.ScalarNode) and not is_null(node) else None


def is_null(node: yaml.Node | None) -> bool:
    """Return whether there is no value: no node, or null."""
    return node is None or (isinstance(node, yaml.ScalarNode) and node.tag == _NULL)


def line(node: yaml.Node) -> int:
    """Return the first line of a node, counted from 1."""
    return int(node.start_mark.line) + 1


def plain(node: yaml.Node, patched: Callable[[yaml.Node, Any], Any] = lambda _, value: value) -> Any:
    """Return a node as values that can be compared: scalars with their tags, mappings as dicts, lists.

    Args:
        node: any node.
        patched: takes each mapping with its values, and returns the values to use.
    """
    if isinstance(node, yaml.MappingNode):
        values = ((str(plain(key)), plain(value, patched)) for key, value in node.value)
        return patched(node, dict(values))
    if isinstance(node, yaml.SequenceNode):
        return [plain(item, patched) for item in node.value]
    # With the tag: for Kubernetes `8` and `"8"` are different values.
    return (node.tag, node.value)


def plain_key(name: str) -> str:
    """Return a key as ``plain`` has it."""
    return str(plain_text(name))


def plain_text(text: str) -> tuple[str, str]:
    """Return a text as ``plain`` has it."""
    return (STRING, text)


def _merged(node: yaml.MappingNode) -> Iterator[yaml.Node]:
    for key, value in node.value:
        if key.tag == MERGE:
            yield from items(value) or [value]
