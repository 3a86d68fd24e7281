"""Reading a cluster file: YAML in, a dict out, and the line of a key for the errors that are about it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from accel_scaling.cluster.yaml_loader import load
from accel_scaling.errors import AccelScalingError, ClusterConfigError

if TYPE_CHECKING:
    from pathlib import Path

_NODE_TYPES = "available_node_types."


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
    said = str(error)
    root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    line = _line_of(root, said) or _line_of(root, said[max(said.find(_NODE_TYPES), 0) :])
    return type(error)(f"{path}:{line}: {error}" if line else f"{path}: {error}")


def _line_of(node: yaml.Node | None, said: str) -> int | None:
    """Return the line of the deepest key of ``a.b.c`` that begins a sentence; a key may have dots of its own."""
    line: int | None = None
    while isinstance(node, yaml.MappingNode):
        begun = [pair for pair in node.value if _begins(said, str(pair[0].value))]
        if not begun:
            return line
        key, node = max(begun, key=lambda pair: len(pair[0].value))
        line, said = key.start_mark.line + 1, said[len(key.value) :].removeprefix(".")
    return line


def _begins(said: str, key: str) -> bool:
    return said.startswith(key) and not re.match(r"[\w-]", said[len(key) :])
