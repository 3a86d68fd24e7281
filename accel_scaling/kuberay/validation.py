"""What has the wrong shape in a group: Kubernetes refuses it, and to read it would be to guess."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from accel_scaling.kuberay import yaml_text as yt
from accel_scaling.kuberay.devices import known_device
from accel_scaling.kuberay.finding import Finding
from accel_scaling.kuberay.quantity import amount, whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from accel_scaling.kuberay.manifest import Group

# Whole numbers of a worker group, and the least that each may be (KubeRay, apis/ray/v1/raycluster_types.go).
NUMBERS = {"replicas": 0, "minReplicas": 0, "maxReplicas": 0, "numOfHosts": 1}
_DIGITS = 10  # of an int32
_INT = "tag:yaml.org,2002:int"


def misshapen(group: Group) -> list[Finding]:
    """Return what is no number, no quantity or no mapping where Kubernetes wants one, by line."""
    resources = yt.at(group.container, "resources")
    found = [
        *_numbers(group),
        *_mappings(group.node, "rayStartParams", "resources", "labels"),
        *_mappings(group.pod, "nodeSelector"),
        *_mappings(group.container, "resources", of="the container's "),
        *_mappings(resources, "limits", "requests", of="the container's "),
        *_quantities(resources, "limits"),
        *_quantities(resources, "requests"),
    ]
    return sorted(Finding(each.line, f"{group.title}: {each.text}") for each in found)


def _numbers(group: Group) -> Iterator[Finding]:
    entries = yt.pairs(group.node)
    for name, least in NUMBERS.items():
        key, value = entries.get(name, (None, None))
        if key is None or value is None or yt.is_null(value):
            continue
        text = yt.word(value) or ""
        quoted = text.isdecimal() and value.tag != _INT
        if quoted or not text.isdecimal() or len(text) > _DIGITS or int(text) < least:
            advice = "; leave out the quotes" if quoted else ""
            yield Finding(yt.line(key), f"{name}: {_shown(value)} is no whole number of {least} or more{advice}")


def _mappings(node: yaml.Node | None, *names: str, of: str = "") -> Iterator[Finding]:
    for name in names:
        key, value = yt.pairs(node).get(name, (None, None))
        if key is not None and value is not None and not yt.is_null(value) and not isinstance(value, yaml.MappingNode):
            yield Finding(yt.line(key), f"{of}{name}: {_shown(value)} is no mapping; write NAME: VALUE below it")


def _quantities(resources: yaml.Node | None, kind: str) -> Iterator[Finding]:
    for name, (key, value) in yt.pairs(yt.at(resources, kind)).items():
        text, what = yt.word(value) or "", f"the {kind.removesuffix('s')} {name}: {_shown(value)}"
        if yt.is_null(value):
            continue
        if known_device(name) and whole(text) is None:
            yield Finding(yt.line(key), f"{what} is no whole number, and devices are whole")
        elif amount(text) is None:
            yield Finding(yt.line(key), f"{what} is no quantity, such as 4, 500m or 16Gi")


def _shown(node: yaml.Node) -> str:
    text = yt.word(node)
    if text is None:
        return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"
    return f'"{text}"' if text.isdecimal() and node.tag != _INT else text or '""'
