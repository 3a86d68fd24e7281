"""Says what a group's version of Ray cannot read of what KubeRay 1.5 takes; see ``ray_version``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling._ray.facts import FIRST_WITH_GROUP_FIELDS, FIRST_WITH_LABEL_PAIRS
from accel_scaling.kuberay.user_values import user_values
from accel_scaling.kuberay.validation import Finding
from accel_scaling.yaml_text import nodes as yt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from accel_scaling.kuberay.group import Group
    from accel_scaling.kuberay.promise import Proposal

_LABELS = ".".join(map(str, FIRST_WITH_LABEL_PAIRS))
_FIELDS = ".".join(map(str, FIRST_WITH_GROUP_FIELDS))


def version_notes(group: Group, proposal: Proposal) -> list[str]:
    """Return the note on what is written otherwise, or not at all, for the version of Ray in the pods.

    Args:
        group: the group.
        proposal: its promise.
    """
    user = user_values(group)
    # Beside `resources` of the user's, KubeRay refuses those of rayStartParams; `unread_findings` says what follows.
    fields = group.autoscalers_ray.reads_fields or bool(user.resources)
    labels = bool(proposal.labels.keys() - user.all_labels.keys())
    resources = bool(proposal.resources.keys() - user.all_resources.keys())
    elsewhere = "resources go into rayStartParams, where its autoscaler reads them" if resources else ""
    if labels and not group.ray.reads_labels:
        text = (
            f"{group.ray}, whose `ray start` ends with an error at labels as KubeRay writes them (Ray {_LABELS} and "
            "later read them): no labels are written"
        )
        return [f"{text}; {elsewhere}" if elsewhere and not fields else text]
    if not fields and (labels or resources):
        text = (
            f"{group.autoscalers_ray}, whose autoscaler reads rayStartParams only (Ray {_FIELDS} and later read a "
            "group's `resources` and `labels`)"
        )
        return [f"{text}: {elsewhere or 'no pod is launched for a label'}"]
    if labels and not group.ray.source and yt.at(group.container, "image") is not None:
        text = (
            f"neither its image nor rayVersion says which Ray it has; labels need Ray {_LABELS}, and a group's "
            f"resources {_FIELDS}: for an older one, write rayVersion before you fill"
        )
        return [text]
    return []


def unread_findings(group: Group) -> Iterator[Finding]:
    """Find what the user writes into a group that its version of Ray cannot read."""
    key, value = yt.pairs(group.node).get("labels", (None, None))
    if key is not None and yt.pairs(value) and not group.ray.reads_labels:
        yield Finding(
            yt.line(key),
            f"{group.ray}, whose `ray start` ends with an error at labels as KubeRay writes them, so its pods never "
            f"start; remove the labels, or take Ray {_LABELS} or later",
        )
    key, value = yt.pairs(group.node).get("resources", (None, None))
    if key is not None and yt.pairs(value) and group.autoscaling and not group.autoscalers_ray.reads_fields:
        yield Finding(
            yt.line(key),
            f"{group.autoscalers_ray}, whose autoscaler does not read a group's `resources`; write them into "
            f"rayStartParams, or take Ray {_FIELDS} or later",
        )
