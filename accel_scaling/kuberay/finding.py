"""One contradiction in a manifest, and where it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from accel_scaling.kuberay import yaml_text as yt
from accel_scaling.kuberay.user_values import CUSTOM, LABELS, PARAMS

if TYPE_CHECKING:
    from accel_scaling.kuberay.manifest import Group


@dataclass(frozen=True, order=True)
class Finding:
    """One contradiction.

    Attributes:
        line: where it is, from 1.
        text: what is wrong and what to do, with the group's title.
        mended: whether `kuberay fill` mends it.
    """

    line: int
    text: str
    mended: bool = False


def line_of(group: Group, name: str) -> int:
    """Return the line of a resource or a label that the user wrote, wherever it is."""
    param = next((key for key, of in PARAMS.items() if of == name), None)
    for holder, key in (("resources", name), ("labels", name), ("rayStartParams", param or name)):
        entry = yt.pairs(yt.at(group.node, holder)).get(key)
        if entry:
            return yt.line(entry[0])
    params = yt.pairs(yt.at(group.node, "rayStartParams"))
    entry = params.get(CUSTOM) or params.get(LABELS)
    return yt.line(entry[0]) if entry else group.line
