"""Finds values in a group that Kubernetes refuses for their type; and `Finding`, a mistake with its line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from accel_scaling.kuberay.devices import amount, known_device, whole
from accel_scaling.kuberay.templates import is_open
from accel_scaling.kuberay.user_values import CUSTOM, LABELS, PARAMS
from accel_scaling.message_text import MOST_SHOWN, shown
from accel_scaling.yaml_text import nodes as yt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from accel_scaling.kuberay.group import Group

# Keys of a worker group with whole numbers, and the least value of each (KubeRay, apis/ray/v1/raycluster_types.go).
NUMBERS = {"replicas": 0, "minReplicas": 0, "maxReplicas": 0, "numOfHosts": 1}
_DIGITS = 10  # of an int32
_INT = "tag:yaml.org,2002:int"


@dataclass(frozen=True, order=True)
class Finding:
    """A mistake or a contradiction in a manifest.

    Attributes:
        line: its line, counted from 1.
        text: the mistake and what to do, with the group's title.
        corrected: whether `kuberay fill` corrects it.
    """

    line: int
    text: str
    mended: bool = False


def line_of(group: Group, name: str) -> int:
    """Return the line of a resource or a label of the user's, in whichever form it is written."""
    param = next((key for key, of in PARAMS.items() if of == name), None)
    for holder, key in (("resources", name), ("labels", name), ("rayStartParams", param or name)):
        entry = yt.pairs(yt.at(group.node, holder)).get(key)
        if entry:
            return yt.line(entry[0])
    params = yt.pairs(yt.at(group.node, "rayStartParams"))
    entry = params.get(CUSTOM) or params.get(LABELS)
    return yt.line(entry[0]) if entry else group.line


def wrong_types(group: Group) -> list[Finding]:
    """Return the values that are not a number, a quantity or a mapping where Kubernetes expects one, by line."""
    resources = yt.at(group.container, "resources")
    findings = [
        *_numbers(group),
        *_mappings(group.node, "rayStartParams", "resources", "labels"),
        *_mappings(group.pod, "nodeSelector"),
        *_mappings(group.container, "resources", of="the container's "),
        *_mappings(resources, "limits", "requests", of="the container's "),
        *_quantities(resources, "limits"),
        *_quantities(resources, "requests"),
    ]
    return sorted(Finding(finding.line, f"{group.title}: {finding.text}") for finding in findings)


def _numbers(group: Group) -> Iterator[Finding]:
    entries = yt.pairs(group.node)
    for name, least in NUMBERS.items():
        key, value = entries.get(name, (None, None))
        if key is None or value is None or yt.is_null(value) or is_open(value):
            continue
        text = yt.word(value) or ""
        # Kubernetes does not convert: a number in quotes is a string, and is refused.
        quoted = text.isdecimal() and value.tag != _INT
        if quoted or not text.isdecimal() or len(text) > _DIGITS or int(text) < least:
            advice = "; remove the quotes" if quoted else ""
            yield Finding(yt.line(key), f"{name}: {_shown(value)} is not a whole number of {least} or more{advice}")


def _mappings(node: yaml.Node | None, *names: str, of: str = "") -> Iterator[Finding]:
    for name in names:
        key, value = yt.pairs(node).get(name, (None, None))
        if key is None or value is None or yt.is_null(value) or is_open(value):
            continue
        if not isinstance(value, yaml.MappingNode):
            yield Finding(yt.line(key), f"{of}{name}: {_shown(value)} is not a mapping; write NAME: VALUE below it")


def _quantities(resources: yaml.Node | None, field: str) -> Iterator[Finding]:
    for name, (name_node, value) in yt.pairs(yt.at(resources, field)).items():
        text, what = yt.word(value) or "", f"the {field.removesuffix('s')} {name}: {_shown(value)}"
        if yt.is_null(value) or is_open(value):
            continue
        if known_device(name) and whole(text) is None:
            yield Finding(yt.line(name_node), f"{what} is not a whole number, as devices are")
        elif amount(text) is None:
            yield Finding(yt.line(name_node), f"{what} is not a quantity, such as 4, 500m or 16Gi")


def _shown(node: yaml.Node) -> str:
    text = yt.word(node)
    if text is None:
        return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"
    text = shown(text)[1:-1] if len(text) > MOST_SHOWN else text
    return f'"{text}"' if text.isdecimal() and node.tag != _INT else text or '""'
