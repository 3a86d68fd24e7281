"""YAML by PyYAML's safe loader, refused where something would get lost without a word: a key that is there twice."""

from __future__ import annotations

import contextlib
from typing import Any

import yaml

from accel_scaling.errors import ClusterConfigError

# libyaml where PyYAML was built with it: ten times faster than `safe_load`.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE = "tag:yaml.org,2002:merge"  # `<<`; what stands beside it overrides what it brings, which is no key twice
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
        root = loader.get_single_node()
        if root is None:
            return None
        _check(root, name)
        return loader.construct_document(root)
    except yaml.YAMLError as error:
        raise ClusterConfigError(_sentence(name, _told(text, error))) from None
    except RecursionError:
        raise _too_deep(name) from None
    except ValueError as error:  # of a date, or a number of thousands of digits
        raise ClusterConfigError(f"{name} cannot be read as YAML: {error}") from None


def _check(root: yaml.Node, name: str) -> None:
    """Refuse a mapping with a key twice, and a file that is nested too deeply."""
    waiting: list[tuple[yaml.Node, tuple[str, ...]]] = [(root, ())]
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
        fresh = [each for each in inside if id(each[0]) not in seen]
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


def _told(text: str, error: yaml.YAMLError) -> yaml.YAMLError:
    """Return the same error by the loader that is written in Python: its words are plainer and its places exact."""
    with contextlib.suppress(RecursionError):
        try:
            yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.YAMLError as plainer:
            return plainer
    return error


def _sentence(name: str, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    place = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
    problem = str(getattr(error, "problem", None) or error)
    hint = "; indent with spaces: YAML takes no tabs" if "'\\t'" in problem else ""
    return f"{place}: this is no valid YAML: {problem}{hint}"
