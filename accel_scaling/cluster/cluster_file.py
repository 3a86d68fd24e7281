"""The text of a cluster file: YAML in, a dict out, and the line of the key that an error is about.

PyYAML's safe loader, as `ray up` reads it, and refused besides: a key that is there twice, of which one would get lost
silently, and what is beyond the bounds of `inputs`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from accel_scaling.cluster.other_files import RAY_MANIFESTS, of_manifest
from accel_scaling.cluster.placeholders import advice
from accel_scaling.errors import AccelScalingError, ClusterConfigError
from accel_scaling.inputs import yaml_nodes
from accel_scaling.inputs.file_text import MissingFileError, NotUtf8Error, UnreadableError, name_of, read_text
from accel_scaling.message_text import listed
from accel_scaling.yaml_text.nodes import MERGE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_NODE_TYPES = "available_node_types."


@dataclass(frozen=True)
class ClusterFile:
    """A cluster file that has been read, once: a pipe cannot be read again.

    Attributes:
        path: the file, as errors name it.
        config: its content.
        root: the same as YAML nodes, which know their lines.
        text: the same as it was read.
    """

    path: Path
    config: dict[str, Any]
    root: yaml.Node
    text: str

    def line_of(self, place: str) -> int | None:
        """Return the line of a key, or of the deepest key above it that the file has: ``provider.type``."""
        return line_in(self.root, place)

    def at_its_line(self, error: AccelScalingError) -> AccelScalingError:
        """Return the error with the file, and the line of the key that it begins with, or of a node type it names."""
        text = error.text
        line = line_in(self.root, text) or line_in(self.root, text[max(text.find(_NODE_TYPES), 0) :])
        others = [f"{key} is in line {line_in(self.root, key)}" for key in getattr(error, "others", ())]
        text = f"{text} ({listed(others)})" if others else text
        name = name_of(self.path)
        return type(error)(f"{name}:{line}: {text}" if line else f"{name}: {text}")


def load(text: str, name: str) -> Any:
    """Return what the text of a YAML file means.

    Args:
        text: the file's content.
        name: of the file, for the error.

    Raises:
        ClusterConfigError: it is not YAML, goes beyond a bound, has a key twice, or a value that Python cannot hold;
            with the line.
    """
    root = _root(text, name)
    return None if root is None else _value(root, text, name)


def read_cluster(path: Path) -> ClusterFile:
    """Return the cluster file, read.

    Raises:
        ClusterConfigError: the file is missing, is not YAML, has a key twice (with the line), or holds no mapping.
    """
    return cluster_in(text_of(path), path)


def cluster_in(text: str, path: Path) -> ClusterFile:
    """Return the cluster file with this text.

    Args:
        text: the file's content.
        path: the file, for errors; `-` is standard input.

    Raises:
        ClusterConfigError: as ``read_cluster``, but for what is about the file itself.
    """
    name = name_of(path)
    root = _root(text, name)
    config = None if root is None else _value(root, text, name)
    if root is None or config is None:
        raise ClusterConfigError(f"{name} is not a cluster config: it is empty; let `accel-scaling init` write one")
    if not isinstance(config, dict):
        raise ClusterConfigError(f"{name} is not a cluster config: expected keys and values at the top level")
    return ClusterFile(path, config, root, text)


def text_of(path: Path) -> str:
    """Return a file's text, its line breaks as they are.

    Raises:
        ClusterConfigError: it does not exist, cannot be read, or is not UTF-8.
    """
    try:
        return read_text(path)
    except MissingFileError:
        raise ClusterConfigError(f"{path} does not exist") from None
    except NotUtf8Error:
        raise ClusterConfigError(f"{name_of(path)} is not UTF-8; save it as UTF-8") from None
    except UnreadableError as error:
        raise ClusterConfigError(f"{name_of(path)} cannot be read: {error}") from None


def _root(text: str, name: str) -> yaml.Node | None:
    try:
        roots = yaml_nodes.compose(text, like_ray=True)
    except yaml_nodes.NotYamlError as error:
        raise ClusterConfigError(_sentence_of(error, name, text)) from None
    if len(roots) > 1:
        _check_no_manifest(roots, name)
        line = roots[1].start_mark.line + 1
        raise ClusterConfigError(f"{name}:{line}: a second YAML document begins; a cluster file has one")
    if roots:
        _check_keys_of_all(roots[0], name)
    return roots[0] if roots else None


def _value(root: yaml.Node, text: str, name: str) -> Any:
    try:
        return yaml_nodes.construct(root)
    except yaml_nodes.NotYamlError as error:
        raise ClusterConfigError(_sentence_of(error, name, text)) from None


def _sentence_of(error: yaml_nodes.NotYamlError, name: str, text: str) -> str:
    """Return the sentence for a file that is not YAML, or goes beyond a bound; a template is told to be one."""
    place = name if error.line is None else f"{name}:{error.line}:{error.column}"
    if not error.grammar:
        return f"{place}: {error.problem}"
    return f"{place}: this is not valid YAML: {error.problem}{advice(text, error.line)}"


def _check_no_manifest(roots: Sequence[yaml.Node], name: str) -> None:
    """Refuse the manifests of Kubernetes, of which a file has several, by what they are."""
    manifests = []
    for root in roots:
        pairs = root.value if isinstance(root, yaml.MappingNode) else []
        scalars = {str(key.value): str(value.value) for key, value in pairs if isinstance(value, yaml.ScalarNode)}
        if {"apiVersion", "kind"} <= scalars.keys():
            manifests.append((scalars["kind"] not in RAY_MANIFESTS, root.start_mark.line + 1, scalars["kind"]))
    if manifests:
        _, line, kind = min(manifests)  # one that Ray is told of comes before others
        raise ClusterConfigError(f"{name}:{line}: {of_manifest(kind)}")


def _check_keys_of_all(root: yaml.Node, name: str) -> None:
    """Refuse a mapping with a key twice."""
    # An alias (`*x`) is the very node that it stands for: each is looked at once, however often a file repeats it.
    waiting: list[tuple[yaml.Node, tuple[str, ...]]] = [(root, ())]
    # The root holds every node, so no id is used a second time while this runs.
    seen = {id(root)}
    while waiting:
        node, path = waiting.pop()
        if isinstance(node, yaml.MappingNode):
            _check_keys(node, path, name)
            inside = [(value, (*path, str(key.value))) for key, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            inside = [(value, (*path, "")) for value in node.value]
        else:
            continue
        fresh = [entry for entry in inside if not isinstance(entry[0], yaml.ScalarNode) and id(entry[0]) not in seen]
        seen.update(id(value) for value, _ in fresh)
        waiting += fresh


def _check_keys(node: yaml.MappingNode, path: tuple[str, ...], name: str) -> None:
    lines: dict[tuple[str, str], int] = {}
    for key, _ in node.value:
        # What is beside `<<` overrides what it brings, which is no key twice.
        if not isinstance(key, yaml.ScalarNode) or key.tag == MERGE:
            continue
        line = key.start_mark.line + 1
        if (key.tag, key.value) in lines:
            written = ".".join([word for word in path if word] + [key.value])
            raise ClusterConfigError(
                f"{name}:{line}: {written} is already in line {lines[key.tag, key.value]}, and `ray up` would "
                f"silently drop that one; keep one"
            )
        lines[key.tag, key.value] = line


def line_in(node: yaml.Node | None, rest: str) -> int | None:
    """Return the line of the deepest key of ``a.b.c`` that begins a text; a key may have dots of its own."""
    line: int | None = None
    while isinstance(node, yaml.MappingNode):
        begun = [pair for pair in node.value if _begins(rest, str(pair[0].value))]
        if not begun:
            return line
        # The longest key wins: of node types `a` and `a.b`, an error about the latter begins with both. Of two like
        # ones the last: what a merge key brings has been put in front.
        key, node = max(reversed(begun), key=lambda pair: len(pair[0].value))
        line, rest = key.start_mark.line + 1, rest[len(key.value) :].removeprefix(".")
    return line


def _begins(said: str, key: str) -> bool:
    return said.startswith(key) and not re.match(r"[\w-]", said[len(key) : len(key) + 1])
