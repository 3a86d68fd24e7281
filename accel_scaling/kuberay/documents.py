"""The YAML documents of a manifest file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling.errors import ClusterConfigError
from accel_scaling.inputs.yaml_nodes import NotYamlError, compose
from accel_scaling.kuberay.templates import RENDER, is_open_text

if TYPE_CHECKING:
    import yaml


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
        return compose(text)
    except NotYamlError as error:
        place = file if error.line is None else f"{file}:{error.line}"
        advice = "; it holds {{ }}: render the chart first (`helm template`)" if error.grammar and "{{" in text else ""
        # In braces, `${N}` without quotes is not YAML: the file is one for envsubst, or similar tools.
        lines = text.splitlines()
        if error.grammar and not advice and error.line and is_open_text("".join(lines[error.line - 1 : error.line])):
            advice = f"; it is a template: {RENDER}"
        problem = f"is not YAML: {error.problem}" if error.grammar else error.problem
        raise ClusterConfigError(f"{place}: {problem}{advice}") from None
