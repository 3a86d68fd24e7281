"""The text of a cluster file: YAML in, a dict out, and the line of the key that an error is about.

PyYAML's safe loader, and refused besides: a key that is there twice, of which one would get lost without a word.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

import yaml

from accel_scaling.errors import AccelScalingError, ClusterConfigError

if TYPE_CHECKING:
    from pathlib import Path

# libyaml where PyYAML was built with it: ten times faster than `safe_load`.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE = "tag:yaml.org,2002:merge"  # `<<`; what stands beside it overrides what it brings, which is no key twice
_NODE_TYPES = "available_node_types."
_DEEPEST = 100  # levels; a cluster file has some 8, and Python ends at a few hundred


def load(text: str, name: str) -> Any:
    """Return what the text of a YAML file means.

    Args:
        text: the file's content.
        name: of the file, for the error.

    Raises:
        ClusterConfigError: it is no YAML, a key is there twice, or a value is none that Python can hold; with the line.
    """
    try:
        loader = LOADER(text)
        # Composed before it is constructed: in the dict, a key that was there twice is there once, and lines are lost.
        root = loader.get_single_node()
        if root is None:
            return None
        _check(root, name)
        return loader.construct_document(root)
    except yaml.YAMLError as error:
        raise ClusterConfigError(_sentence(name, _plainer(text, error))) from None
    except RecursionError:
        raise _too_deep(name) from None
    except ValueError as error:  # of a date, or a number of thousands of digits
        raise ClusterConfigError(f"{name} cannot be read as YAML: {error}") from None


def _check(root: yaml.Node, name: str) -> None:
    """Refuse a mapping with a key twice, and a file that is nested too deeply."""
    # An alias (`*x`) is the very node that it stands for: each is looked at once, however often a file repeats it.
    # A list of what is left, not recursion: a file that is nested too deeply is refused by a sentence of ours.
    waiting: list[tuple[yaml.Node, tuple[str, ...]]] = [(root, ())]
    # The root holds every node, so no id is used a second time while this runs.
    seen = {id(root)}
    while waiting:
        node, path = waiting.pop()
        if len(path) > _DEEPEST:
            raise _too_deep(name)
        if isinstance(node, yaml.MappingNode):
            _check_keys(node, path, name)
            inside = [(value, (*path, str(key.value))) for key, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            inside = [(value, (*path, "")) for value in node.value]
        else:
            continue
        fresh = [entry for entry in inside if id(entry[0]) not in seen]
        seen.update(id(value) for value, _ in fresh)
        waiting += fresh


def _check_keys(node: yaml.MappingNode, path: tuple[str, ...], name: str) -> None:
    lines: dict[tuple[str, str], int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
            continue
        line = key.start_mark.line + 1
        if (key.tag, key.value) in lines:
            written = ".".join([word for word in path if word] + [key.value])
            raise ClusterConfigError(
                f"{name}:{line}: {written} is already in line {lines[key.tag, key.value]}, and one of the two would be "
                "dropped; keep one"
            )
        lines[key.tag, key.value] = line


def _too_deep(name: str) -> ClusterConfigError:
    return ClusterConfigError(f"{name} cannot be read as YAML: it is nested too deeply")


def _plainer(text: str, error: yaml.YAMLError) -> yaml.YAMLError:
    """Return the same error by the loader that is written in Python: its words are plainer and its places exact."""
    with contextlib.suppress(RecursionError):
        try:
            # Only now, in a file that is wrong anyway: this loader is ten times slower.
            yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.YAMLError as plainer:
            return plainer
    return error


def _sentence(name: str, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    place = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
    problem = str(getattr(error, "problem", None) or error)
    # PyYAML says only that a tab "cannot start any token".
    hint = "; indent with spaces: YAML takes no tabs" if "'\\t'" in problem else ""
    return f"{place}: this is no valid YAML: {problem}{hint}"


def read_cluster(path: Path) -> dict[str, Any]:
    """Return the cluster file as a dict.

    Raises:
        ClusterConfigError: the file is missing, is no YAML, has a key twice (with the line), or holds no mapping.
    """
    if not path.exists():
        raise ClusterConfigError(f"{path} does not exist")
    config = load(text_of(path), str(path))
    if not isinstance(config, dict):
        raise ClusterConfigError(f"{path} is not a cluster config: expected keys and values at the top level")
    return config


def text_of(path: Path) -> str:
    """Return a file's text, its line breaks as they are.

    Raises:
        ClusterConfigError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise ClusterConfigError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ClusterConfigError(f"{path} is not UTF-8; save it as UTF-8") from None


def at_its_line(error: AccelScalingError, path: Path) -> AccelScalingError:
    """Return the error with the file, and with the line of the key that it begins with, or of a node type it names."""
    sentence = str(error)
    # Read a second time: the dict that was made of it has no lines.
    root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    line = _line_of(root, sentence) or _line_of(root, sentence[max(sentence.find(_NODE_TYPES), 0) :])
    return type(error)(f"{path}:{line}: {error}" if line else f"{path}: {error}")


def _line_of(node: yaml.Node | None, rest: str) -> int | None:
    """Return the line of the deepest key of ``a.b.c`` that begins a sentence; a key may have dots of its own."""
    line: int | None = None
    while isinstance(node, yaml.MappingNode):
        begun = [pair for pair in node.value if _begins(rest, str(pair[0].value))]
        if not begun:
            return line
        # The longest key wins: of node types `a` and `a.b`, an error about the latter begins with both.
        key, node = max(begun, key=lambda pair: len(pair[0].value))
        line, rest = key.start_mark.line + 1, rest[len(key.value) :].removeprefix(".")
    return line


def _begins(said: str, key: str) -> bool:
    return said.startswith(key) and not re.match(r"[\w-]", said[len(key) :])
