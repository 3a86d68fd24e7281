"""What a template leaves open in a cluster file: values that Jinja, envsubst or similar tools fill in before `ray up`.

Commands, start scripts and containers' options may well hold ``${HOME}`` or ``{{.ID}}``, for a shell or for Docker. So
only values are looked at that no shell gets to see.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from accel_scaling.errors import ClusterConfigError
from accel_scaling.inputs.values import texts
from accel_scaling.message_text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

RENDER = "render the file first, with Jinja, envsubst or what fills it in"

# Jinja, Helm and Go; ERB; envsubst.
_OPEN = re.compile(r"\{\{|\{%|<%|\$\{|\$[A-Za-z_]")
# A value that is a placeholder and nothing else; within another text, a cloud may take it as it is.
_WHOLE = re.compile(r"\{\{.*\}\}|\{%.*%\}|<%.*%>|\$\{[^}]*\}|\$[A-Za-z_]\w*", re.DOTALL)
# Values of a cloud's own: versions of a launch template (EC2, LaunchTemplateSpecification).
_OF_A_CLOUD = ("$Latest", "$Default")
# Where YAML begins to read a template that is not its own: `key: {{ name }}`, `- {{ name }}`, `{% if x %}`.
_BRACES = re.compile(r"^\s*\{%|(?:^|[:\-,\[{]\s*)\{\{|(?:^|[:\-]\s+)[<]?%", re.MULTILINE)

# A dollar sign in a secret is none of a template's, and no message shows a secret.
_NOT_OF_PROVIDER = ("cloudwatch", "aws_credentials", "gcp_credentials")
_OF_CLUSTER = ("cluster_name", "head_node_type", "max_workers", "upscaling_speed", "idle_timeout_minutes")
_OF_NODE_TYPE = ("min_workers", "max_workers", "idle_timeout_s", "priority", "resources", "labels")


def advice(text: str, line: int | None) -> str:
    """Return what to do about a text that is not YAML, where it is a template; else nothing.

    Args:
        text: the file's.
        line: where YAML gives up, counted from 1.
    """
    lines = text.splitlines()
    here = lines[line - 1] if line and line <= len(lines) else ""
    if _BRACES.search(text) or _OPEN.search(here):
        return f"; it is a template: {RENDER}"
    return ""


def check_rendered(config: dict[Any, Any]) -> None:
    """Refuse a cluster config whose keys or values a template has left open.

    Args:
        config: what a cluster file holds, of any shape.

    Raises:
        ClusterConfigError: names the first such key.
    """
    for path, value in _values(config):
        if _OPEN.search(value):
            raise ClusterConfigError(f"{path} is {shown(value)}, which is still a placeholder of a template: {RENDER}")
    for path, value in _node_configs(config):
        if value not in _OF_A_CLOUD and _WHOLE.fullmatch(value.strip()):
            raise ClusterConfigError(f"{path} is {shown(value)}, which is still a placeholder of a template: {RENDER}")


def _values(config: dict[Any, Any]) -> Iterator[tuple[str, str]]:
    """Yield the texts that Ray or a provider reads, with their places, and each name that the file gives."""
    for key in config:
        yield "a key of the file", str(key)
    for key in _OF_CLUSTER:
        yield from texts(config.get(key), key)
    provider = config.get("provider")
    if isinstance(provider, dict):
        shown_keys = {key: value for key, value in provider.items() if key not in _NOT_OF_PROVIDER}
        yield from texts(shown_keys, "provider")
    for name, node_type in _node_types(config):
        yield "the name of a node type", name
        for key in _OF_NODE_TYPE:
            yield from texts(node_type.get(key), f"available_node_types.{name}.{key}")


def _node_configs(config: dict[Any, Any]) -> Iterator[tuple[str, str]]:
    for name, node_type in _node_types(config):
        yield from texts(node_type.get("node_config"), f"available_node_types.{name}.node_config")


def _node_types(config: dict[Any, Any]) -> Iterator[tuple[str, dict[Any, Any]]]:
    types = config.get("available_node_types")
    for name, node_type in types.items() if isinstance(types, dict) else ():
        yield str(name), node_type if isinstance(node_type, dict) else {}
