"""Reads YAML as nodes with their place in the text: no value is constructed, so that none is reformatted."""

from __future__ import annotations

import functools
from collections import Counter
from typing import TYPE_CHECKING, Any

import yaml

from accel_scaling.cluster.cluster_file import LOADER
from accel_scaling.errors import ClusterConfigError
from accel_scaling.kuberay.templates import RENDER, is_open_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MERGE = "tag:yaml.org,2002:merge"
_STRING = "tag:yaml.org,2002:str"
_NULL = "tag:yaml.org,2002:null"
BOM = "\ufeff"


def documents(text: str, file: str) -> list[yaml.Node]:
    """Return the root node of each document that has one.

    Args:
        text: one or several YAML documents, without a byte-order mark.
        file: its name, for the error.

    Raises:
        ClusterConfigError: it is not YAML; the text has the line.
    """
    try:
        # libyaml reads what Kubernetes' reader reads, for example a tab before a comment.
        roots = [node for node in yaml.compose_all(text, Loader=LOADER) if node is not None]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{file}:{mark.line + 1}" if mark else file
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        advice = "; it holds {{ }}: render the chart first (`helm template`)" if "{{" in text else ""
        # In braces, `${N}` without quotes is no YAML: the file is one for envsubst, or the like.
        lines = text.splitlines()
        if not advice and mark and mark.line < len(lines) and is_open_text(lines[mark.line]):
            advice = f"; it is a template: {RENDER}"
        raise ClusterConfigError(f"{place}: is not YAML: {problem}{advice}") from None
    except RecursionError:
        raise ClusterConfigError(f"{file}: is nested too deeply for a manifest") from None
    for node in roots:
        if (inner := _inside_itself(node)) is not None:
            raise ClusterConfigError(f"{file}:{line(inner)}: an anchor contains itself; write it in full")
    return roots


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
        todo += _children(node)
    return frozenset(key for key, count in counts.items() if count > 1)


# Kept for a file's nodes: a merge of merges is otherwise resolved anew at each of its places, and by each question.
@functools.lru_cache(maxsize=4096)
def pairs(node: yaml.Node | None) -> dict[str, tuple[yaml.Node, yaml.Node]]:
    """Return the key and value nodes of a mapping by key, merge keys (``<<``) resolved; empty for anything else."""
    if not isinstance(node, yaml.MappingNode):
        return {}
    entries: dict[str, tuple[yaml.Node, yaml.Node]] = {}
    # YAML's rule: of merged mappings the first has precedence, and the mapping's own entries before all.
    for merged in _merged(node):
        for key, pair in pairs(merged).items():
            entries.setdefault(key, pair)
    return entries | own_pairs(node)


def own_pairs(node: yaml.Node | None) -> dict[str, tuple[yaml.Node, yaml.Node]]:
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


def words(node: yaml.Node | None) -> dict[str, str]:
    """Return the scalars of a mapping by key."""
    entries = {key: word(value) for key, (_, value) in pairs(node).items()}
    return {key: value for key, value in entries.items() if value is not None}


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
    return (_STRING, text)


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return items(node)


def _inside_itself(root: yaml.Node) -> yaml.Node | None:
    """Return a node that contains itself, None where there is none."""
    # A stack and not recursion, so that the depth has no limit of Python's; each node is entered once.
    path: list[tuple[yaml.Node, Iterator[yaml.Node]]] = [(root, iter(_children(root)))]
    on_path, done = {id(root)}, set()
    while path:
        node, rest = path[-1]
        child = next(rest, None)
        if child is None:
            path.pop()
            on_path.discard(id(node))
            done.add(id(node))
        elif id(child) in on_path:
            return child
        elif id(child) not in done:
            on_path.add(id(child))
            path.append((child, iter(_children(child))))
    return None


def _merged(node: yaml.MappingNode) -> Iterator[yaml.Node]:
    for key, value in node.value:
        if key.tag == _MERGE:
            yield from items(value) or [value]
