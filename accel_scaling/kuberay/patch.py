"""The change of one group: as edits of the text, and as the values that the new text must have."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from accel_scaling._ray.facts import ACCELERATOR_TYPE_PREFIX, LABEL_ACCELERATOR_TYPE
from accel_scaling.fill.promise import LABEL_VARIANT
from accel_scaling.kuberay import templates, yaml_edits
from accel_scaling.kuberay.user_values import CUSTOM, LABELS, PARAMS, user_values
from accel_scaling.yaml_text import nodes as yt
from accel_scaling.yaml_text.edits import CannotEditError, Edit, trailing_comment

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import yaml

    from accel_scaling.kuberay.group import Group
    from accel_scaling.kuberay.promise import Proposal
    from accel_scaling.kuberay.user_values import UserValues

SHARED = "{} is shared through an anchor or a merge key; write it in full for this group"


@dataclass(frozen=True)
class Change:
    """The change of one group.

    Attributes:
        add: for each of the group's keys (``resources``, ``labels``, ``rayStartParams``) what is added to it.
        remove: names that are removed from ``rayStartParams``.
        replace: names in ``rayStartParams`` that get another value.
    """

    add: dict[str, dict[str, str]] = field(default_factory=dict)
    remove: tuple[str, ...] = ()
    replace: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(any(self.add.values()) or self.remove or self.replace)


def as_fields(group: Group, proposal: Proposal) -> Change:
    """Return the change that fills the group's ``resources`` and ``labels``, the form since KubeRay 1.5.

    The operator refuses ``resources`` together with rayStartParams' num-cpus, num-gpus, memory and resources, and
    labels in rayStartParams (controllers/ray/utils/validation.go): the user's entries there move.

    Raises:
        CannotEditError: a resource of the user's would get another meaning by moving.
    """
    user = user_values(group)
    proposal = _uncontested(proposal, user)
    added = {name: str(amount) for name, amount in proposal.resources.items() if name not in user.all_resources}
    if added and templates.has_open_key(yt.at(group.node, "rayStartParams")):
        raise CannotEditError(templates.note(["rayStartParams"]))
    # KubeRay refuses only the combination: where `resources` stays empty, the parameters may stay too.
    moves = bool(user.params) and bool(added or user.resources)
    resources = {**({n: q for n, q in user.params.items() if n not in user.resources} if moves else {}), **added}
    if moves:
        _check_names(user.params)
    leaving = [name for name in (*PARAMS, CUSTOM) if moves and group.params.get(name)]
    if not group.ray.reads_labels:
        return Change({"resources": resources}, tuple(leaving))
    # Labels are refused in rayStartParams even alone.
    leaving += [LABELS] if group.params.get(LABELS) is not None else []
    return Change({"resources": resources, "labels": _labels(proposal, user)}, tuple(leaving))


def for_old_ray(group: Group, proposal: Proposal) -> Change:
    """Return the change for a KubeRay since 1.5 with a Ray whose autoscaler reads no ``resources`` of a group.

    Resources go into rayStartParams, which every version reads. Labels stay a key of the group, which `ray start` reads
    since 2.45; KubeRay refuses them in rayStartParams.
    """
    change = as_params(group, proposal)
    if not group.ray.reads_labels or group.params.get(LABELS) is not None:
        return change
    user = user_values(group)
    return replace(change, add={**change.add, "labels": _labels(_uncontested(proposal, user), user)})


def as_params(group: Group, proposal: Proposal) -> Change:
    """Return the change that fills ``rayStartParams``, for KubeRay before 1.5; it ignores labels there."""
    user = user_values(group)
    proposal = _uncontested(proposal, user)
    added = {name: amount for name, amount in proposal.resources.items() if name not in user.all_resources}
    add = {"num-gpus": str(added.pop("GPU"))} if "GPU" in added else {}
    if not added:
        return Change({"rayStartParams": add})
    # The JSON is one text: it is written again with the user's entries. CPU, GPU and memory are no part of it.
    moved_amounts = {name: int(user.params[name]) for name in user.params if name not in PARAMS.values()}
    written = group.params.get(CUSTOM) or ""
    text = _for_shell({**moved_amounts, **added}, escaped="\\" in written)
    if written:
        return Change({"rayStartParams": add}, replace={CUSTOM: text})
    return Change({"rayStartParams": {**add, CUSTOM: text}})


def _labels(proposal: Proposal, user: UserValues) -> dict[str, str]:
    """Return the labels that a group's ``labels`` get: those of rayStartParams, and the proposed ones."""
    moved = {name: text for name, text in user.param_labels.items() if name not in user.labels}
    return {**moved, **{name: text for name, text in proposal.labels.items() if name not in user.all_labels}}


def edits_of(text: str, group: Group, change: Change) -> list[Edit]:
    """Return the edits of the text that make a change.

    Raises:
        CannotEditError: the group has a form that cannot be changed in place; the text says why.
    """
    _check_own(group, change)
    entries = yt.own_pairs(group.node)
    comments = _comments(text, group, change.remove)
    made, blocks = [], {}
    for name, added in change.add.items():
        commented = {entry: yaml_edits.with_comment(value, comments.get(entry, "")) for entry, value in added.items()}
        if added and name in entries:
            key, value = entries[name]
            made += [*_without_null(value), yaml_edits.add_entries(text, key, value, commented)]
        elif added:
            blocks[name] = commented
    if blocks:
        made.append(yaml_edits.add_mapping(text, group.node, group.key, blocks))
    if change.remove:
        made += yaml_edits.remove_entries(text, *entries["rayStartParams"], change.remove)
    params = yt.own_pairs(entries["rayStartParams"][1]) if change.replace else {}
    return made + [yaml_edits.replace_scalar(text, params[name][1], value) for name, value in change.replace.items()]


def expected(before: Any, change: Change) -> Any:
    """Return a group's values (``yaml_text.plain``) as they must be after a change."""
    after = dict(before)
    for name, added in change.add.items():
        if added:
            here = after.get(yt.plain_key(name))
            after[yt.plain_key(name)] = {**(here if isinstance(here, dict) else {}), **_plain(added)}
    if change.remove or change.replace:
        leaving = set(map(yt.plain_key, change.remove))
        params = after[yt.plain_key("rayStartParams")]
        kept = {key: value for key, value in params.items() if key not in leaving}
        after[yt.plain_key("rayStartParams")] = {**kept, **_plain(change.replace)}
    return after


def _uncontested(proposal: Proposal, user: UserValues) -> Proposal:
    """Drop our types where the user promises another one: the user's wins, without ours beside it."""
    types = {name for name in user.all_resources if name.startswith(ACCELERATOR_TYPE_PREFIX)}
    if not types or types & proposal.resources.keys():
        return proposal
    resources = {n: amount for n, amount in proposal.resources.items() if not n.startswith(ACCELERATOR_TYPE_PREFIX)}
    labels = {n: text for n, text in proposal.labels.items() if n not in (LABEL_ACCELERATOR_TYPE, LABEL_VARIANT)}
    return replace(proposal, resources=resources, labels=labels)


def _plain(entries: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    return {yt.plain_key(name): yt.plain_text(value) for name, value in entries.items()}


def _check_names(moving: Collection[str]) -> None:
    """Refuse to move names that KubeRay reads differently in `resources`: it reads every ``...gpu`` as num-gpus."""
    for name in moving:
        if name not in PARAMS.values() and (name.lower().endswith("gpu") or name.lower() in ("cpu", "memory")):
            raise CannotEditError(
                f"rayStartParams.resources has {name}, which KubeRay would read as another resource in the group's "
                "`resources`; give it another name"
            )


def _check_own(group: Group, change: Change) -> None:
    """Refuse a change that would also change other places: a node with an anchor, or one from a merge key."""
    if id(group.node) in group.shared:
        raise CannotEditError(SHARED.format("the group"))
    names = [name for name, added in change.add.items() if added]
    names += ["rayStartParams"] if change.remove or change.replace else []
    for name in names:
        if templates.has_open_key(yt.at(group.node, name)):
            raise CannotEditError(templates.note([name]))
        entry = yt.pairs(group.node).get(name)
        if entry and (id(entry[1]) in group.shared or name not in yt.own_pairs(group.node)):
            raise CannotEditError(SHARED.format(name))
    params = yt.at(group.node, "rayStartParams")
    for name in (*change.remove, *change.replace):
        entry = yt.own_pairs(params).get(name)
        if entry is None or id(entry[1]) in group.shared:
            raise CannotEditError(SHARED.format(f"rayStartParams.{name}"))


def _comments(text: str, group: Group, leaving: Collection[str]) -> dict[str, str]:
    """Return the comments after entries that leave rayStartParams, by their new name."""
    entries = yt.own_pairs(yt.at(group.node, "rayStartParams"))
    return {
        name: trailing_comment(text, entries[param][1])
        for param, name in PARAMS.items()
        if param in leaving and param in entries
    }


def _without_null(value: yaml.Node) -> list[Edit]:
    # A written null (`resources: null`) must go: a mapping cannot follow it. An empty value needs no edit.
    if not yt.is_null(value) or value.start_mark.index == value.end_mark.index:
        return []
    return [Edit(value.start_mark.index, value.end_mark.index, "")]


def _for_shell(resources: Mapping[str, int], *, escaped: bool) -> str:
    """Return resources as KubeRay writes them after ``--resources=``: JSON in the user's form of quotes, or in single.

    Ray, a shell and the operator read single quotes; the operator reads no backslashes (getResourcesMap).
    """
    written = json.dumps(resources)
    return '"' + written.replace('"', '\\"') + '"' if escaped else f"'{written}'"
