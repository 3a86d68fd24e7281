"""Notes of a plan about a manifest of KubeRay: what its autoscaler does not see, and what a fill would change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling import _ray
from accel_scaling._ray import versions
from accel_scaling.message_text import listed
from accel_scaling.plan.model import counted
from accel_scaling.plan.nearest_miss import amount_text
from accel_scaling.yaml_text import nodes as yt

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from accel_scaling.kuberay.group import Group
    from accel_scaling.plan.cluster import AutoscalerNodeType
    from accel_scaling.plan.model import Plan

# Ray's minor from which the operator runs autoscaler v2 by itself (KubeRay, apis/ray/v1: AutoscalerOptions.version).
_V2_BY_DEFAULT = (2, 47)
_V2_VARIABLE = "RAY_enable_autoscaler_v2"


def notes_of_manifest(
    groups: Sequence[Group], node_types: Iterable[AutoscalerNodeType], fill_notes: Iterable[str]
) -> tuple[str, ...]:
    """Return the notes of a manifest.

    Args:
        groups: its groups, the head's first.
        node_types: the same as Ray's autoscaler sees them.
        fill_notes: what `kuberay fill` would note.
    """
    return (
        *(
            f"{node_type.title} is not filled: Ray's autoscaler sees {_seen(node_type)}; `accel-scaling kuberay fill` "
            f"adds {node_type.after_fill.adds}"
            for node_type in node_types
            if node_type.after_fill
        ),
        *fill_notes,
        *(note for group in groups for note in _unread(group)),
        *_autoscaler(groups[0]),
    )


def note_of_filled(filled: Plan, answer: Plan) -> tuple[str, ...]:
    """Return the note about the plan of the filled manifest, where it differs.

    Args:
        filled: the plan of the same demands for the filled manifest.
        answer: the plan for the manifest as it is.
    """
    then, now = ([counted(each.text, each.count) for each in plan.pending] for plan in (filled, answer))
    if (filled.launch, then) == (answer.launch, now):
        return ()
    launch = ", ".join(f"{name} {count}" for name, count in filled.launch.items()) or "nothing"
    rest = f"{listed(then) if then else 'nothing'} would stay pending"
    return (f"after `accel-scaling kuberay fill`, the same demands would launch {launch}, and {rest}",)


def _seen(node_type: AutoscalerNodeType) -> str:
    amounts = [amount_text(name, value) for name, value in node_type.resources.items()]
    labels = [f"label {key}={value}" for key, value in node_type.labels.items()]
    return ", ".join([*amounts, *(labels or ["no labels"])])


def _unread(group: Group) -> list[str]:
    """Return the note about a group's own keys that the Ray of its image does not read, or that of this machine."""
    keys = [key for key in ("resources", "labels") if yt.at(group.node, key) is not None]
    if not keys or group.autoscalers_ray.reads_fields:
        if keys and not _ray.has("group_fields"):
            what = f"{group.title}: a plan with its {listed(keys)}"
            return [versions.needs_newer("group_fields", what)]
        return []
    return [f"{group.title}: {group.autoscalers_ray}, whose autoscaler does not read the group's {listed(keys)}"]


def _autoscaler(head: Group) -> list[str]:
    """Return the notes about an autoscaler that does not run, or is v1."""
    if not head.autoscaling:
        return ["no autoscaler runs for this manifest: it has no enableInTreeAutoscaling: true"]
    version = yt.word(yt.at(head.cluster, "autoscalerOptions", "version"))
    variables = {
        yt.word(yt.at(variable, "name")): yt.word(yt.at(variable, "value"))
        for variable in yt.items(yt.at(head.container, "env"))
    }
    if version is None and _V2_VARIABLE in variables:
        version = "v2" if (variables[_V2_VARIABLE] or "").lower() in ("1", "true") else "v1"
    ray = head.autoscalers_ray
    if version is None and ray.number is not None and ray.number < _V2_BY_DEFAULT:
        version = "v1"
    if version != "v1":
        return []
    return ["the plan is of Ray's autoscaler v2; this manifest runs v1, which differs in some cases"]
