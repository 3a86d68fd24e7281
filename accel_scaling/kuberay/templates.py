"""Finds values of a manifest that a tool (`envsubst`, `helm template`, ...) fills in later.

What does not depend on such a value can be filled; for the rest, the file must be rendered first.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable

# No number, quantity or label of Kubernetes has any of these in it.
_OPEN = re.compile(
    r"\$\{|\$\(|\$[A-Za-z_]|\{\{|\{%|<%"  # envsubst, kustomize and OpenShift; Helm and Jinja
    r"|^<[A-Za-z][^<>]*>$|^(?:__|@@?|%%?)[A-Za-z]\w*(?:__|@@?|%%?)$"  # replaced by hand, or by sed
)
RENDER_FIRST = "render the file first (with envsubst, `helm template` or what fills it in)"
RENDER = f"{RENDER_FIRST}, then fill it"


def is_open(node: yaml.Node | None) -> bool:
    """Return whether a value is left open: a scalar with a placeholder, or ``{{ }}``, which YAML reads as a mapping."""
    if isinstance(node, yaml.ScalarNode):
        return is_open_text(str(node.value))
    return _braces(node) is not None


def is_open_text(text: str) -> bool:
    """Return whether a text has a placeholder in it."""
    return _OPEN.search(text.strip()) is not None


def has_open_key(node: yaml.Node | None) -> bool:
    """Return whether a template leaves open which entries a mapping has."""
    keys = [key for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
    return is_open(node) or any(map(is_open, keys))


def shown(node: yaml.Node | None) -> str:
    """Return a value that is left open as it is written, for messages."""
    inner = _braces(node)
    if inner is not None:
        return f"{{{{ {inner.value if isinstance(inner, yaml.ScalarNode) else '...'} }}}}"
    return str(node.value) if isinstance(node, yaml.ScalarNode) else "{{ }}"


def note(places: Iterable[str]) -> str:
    """Return the sentence about what is left open.

    Args:
        places: each place with its value, as ``numOfHosts: ${HOSTS}``.
    """
    named = list(dict.fromkeys(places))
    are = "is" if len(named) == 1 else "are"
    return f"{' and '.join(named)} {are} left open by a template: {RENDER}"


def _braces(node: yaml.Node | None) -> yaml.Node | None:
    """Return what is between ``{{ }}``: for YAML a mapping in place of the one key of a mapping."""
    if isinstance(node, yaml.MappingNode) and len(node.value) == 1:
        key = node.value[0][0]
        if isinstance(key, yaml.MappingNode) and key.flow_style:
            return key.value[0][0] if len(key.value) == 1 else key
    return None
