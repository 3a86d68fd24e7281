"""Reading a cluster file: YAML in, a dict out, and the line of a key for the errors that are about it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from accel_scaling.errors import AccelScalingError, ClusterConfigError

if TYPE_CHECKING:
    from pathlib import Path

_NODE_TYPE = re.compile(r"available_node_types\.([^\s:(]+?)(?=[:\s(]|\.node_config|\.resources|$)")
_OF_PROVIDER = re.compile(r"^provider\.(\w+)")


def read_cluster(path: Path) -> dict[str, Any]:
    """Return the cluster file as a dict.

    Raises:
        ClusterConfigError: the file is missing, is no YAML (with the line), or holds no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ClusterConfigError(f"{path} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ClusterConfigError(f"{path} cannot be read: {error}") from None
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ClusterConfigError(_yaml_sentence(path, error)) from None
    if not isinstance(config, dict):
        raise ClusterConfigError(f"{path} is not a cluster config: expected keys and values at the top level")
    return config


def at_its_line(error: AccelScalingError, path: Path) -> AccelScalingError:
    """Return the error with the file, and with the line of the node type or the key of `provider` that it names."""
    node_type, of_provider = _NODE_TYPE.search(str(error)), _OF_PROVIDER.match(str(error))
    line = None
    if of_provider:
        line = _line_of(path, "provider", of_provider[1]) or _line_of(path, "provider")
    elif node_type:
        line = _line_of(path, "available_node_types", node_type[1])
    return type(error)(f"{path}:{line}: {error}" if line else f"{path}: {error}")


def _line_of(path: Path, *keys: str) -> int | None:
    line: int | None = None
    root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    for key in keys:
        for key_node, value_node in getattr(root, "value", []):
            if key_node.value == key:
                line, root = key_node.start_mark.line + 1, value_node
                break
        else:
            return None
    return line


def _yaml_sentence(path: Path, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
    problem = str(getattr(error, "problem", None) or error)
    hint = "; indent with spaces: YAML takes no tabs" if "'\\t'" in problem else ""
    return f"{place}: this is no valid YAML: {problem}{hint}"
