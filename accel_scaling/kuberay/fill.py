"""Fills a manifest: takes its text, returns the new text, the additions and the notes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from accel_scaling.errors import AccelScalingError, ClusterConfigError
from accel_scaling.kuberay import templates
from accel_scaling.kuberay.check import findings, group_notes
from accel_scaling.kuberay.documents import documents
from accel_scaling.kuberay.manifest import OLD_API, groups
from accel_scaling.kuberay.notes import together
from accel_scaling.kuberay.patch import Change, as_fields, as_params, edits_of, expected, for_old_ray
from accel_scaling.kuberay.promise import propose
from accel_scaling.kuberay.user_values import user_values
from accel_scaling.kuberay.validation import Finding, wrong_types
from accel_scaling.message_text import shown
from accel_scaling.yaml_text import nodes as yt
from accel_scaling.yaml_text.edits import CannotEditError, applied

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    import yaml

    from accel_scaling.catalog.lookup import Catalog
    from accel_scaling.kuberay.group import Group
    from accel_scaling.kuberay.promise import Proposal
    from accel_scaling.yaml_text.edits import Edit

_VERSION = re.compile(r"v?(\d{1,3})\.(\d{1,3})(?:\.\d{1,3})?(?:[-+.].*)?")
FIRST_WITH_FIELDS = (1, 5)  # ray-project/kuberay pull 4106


class Form(Enum):
    """The form in which a group states its promise."""

    FIELDS = "fields"  # the group's own `resources` and `labels`, since KubeRay 1.5
    PARAMS = "params"  # rayStartParams


@dataclass(frozen=True)
class Filled:
    """A filled file.

    Attributes:
        text: its text; only additions and moved entries differ.
        added: the place of each changed group, and below it what was added (+) and removed (-).
        notes: sentences with ``file:line`` about what cannot be promised, and about contradictions.
    """

    text: str
    added: tuple[str, ...]
    notes: tuple[str, ...]


def fill(text: str, file: str, catalog: Catalog, kuberay_version: str | None = None) -> Filled:
    """Fill every group of every Ray manifest in a file.

    Args:
        text: the file's text; other manifests in it stay as they are.
        file: its name, for sentences.
        catalog: the machine types and accelerators.
        kuberay_version: the operator's, e.g. ``1.4``; None for the newest form.

    Raises:
        ClusterConfigError: it is not YAML; it has no Ray manifest, or an incomplete one; or a value has the wrong type.
            The text has the line.
        AccelScalingError: ``kuberay_version`` is not a version.
    """
    form = form_of(kuberay_version)
    # A byte-order mark is put back in the end: the YAML reader counts places without it.
    mark, body = (yt.BOM, text[1:]) if text.startswith(yt.BOM) else ("", text)
    all_groups = groups(body, file)
    wrong = next((finding for group in all_groups for finding in wrong_types(group)), None)
    if wrong:
        raise ClusterConfigError(f"{file}:{wrong.line}: {wrong.text}")
    # All edits are of the original text and are made together: none of them moves the place of another.
    edits: list[Edit] = []
    changes: dict[int, Change] = {}
    added: list[str] = []
    said: list[tuple[Group, str]] = []
    found: list[Finding] = []
    for group in all_groups:
        proposal = propose(group, catalog)
        messages = _messages(group, proposal, catalog)
        said += [(group, note) for note in group_notes(group, proposal, fields=_takes_fields(group, form))]
        try:
            change = _change(group, proposal, form)
            edits += edits_of(body, group, change) if change else []
        # A group that has no place for an edit gets a note; the others are filled anyway.
        except CannotEditError as error:
            change = None
            messages[f"not filled: {error}"] = messages.pop(str(error), group.line)  # once, also where `check` finds it
        found += [Finding(line, f"{group.title}: {text}") for text, line in messages.items()]
        if change:
            changes[id(group.node)] = change
            added.append(f"{file}:{group.line}: {group.title}{_change_text(change)}")
    result = applied(body, edits)
    _verify(body, result, file, all_groups, changes)
    notes = [f"{file}:{note.line}: {note.text}" for note in (*together(said), *found)]
    return Filled(mark + result, tuple(added), tuple(dict.fromkeys(notes)))


def _messages(group: Group, proposal: Proposal, catalog: Catalog) -> dict[str, int]:
    """Return the contradictions in a group that a fill does not correct, each sentence once and with its line."""
    messages: dict[str, int] = {}
    for finding in findings(group, catalog):
        text = finding.text.removeprefix(f"{group.title}: ")
        if proposal.trouble and text.startswith(proposal.trouble):
            text += "; nothing is promised for its devices"
        if not finding.mended:
            messages.setdefault(text, finding.line)
    return messages


def _change(group: Group, proposal: Proposal, form: Form) -> Change:
    user = user_values(group)
    if user.wrong:
        raise CannotEditError(user.wrong)
    if user.left_open:
        raise CannotEditError(templates.note([user.left_open]))
    if _takes_fields(group, form):
        old = not group.autoscalers_ray.reads_fields and not user.resources
        return for_old_ray(group, proposal) if old else as_fields(group, proposal)
    for name in ("resources", "labels"):
        if yt.pairs(yt.at(group.node, name)):
            reason = f"{OLD_API} has no such key" if group.api == OLD_API else "KubeRay before 1.5 does not read them"
            raise CannotEditError(f"the group has its own `{name}`, and {reason}")
    return as_params(group, proposal)


def _takes_fields(group: Group, form: Form) -> bool:
    """Return whether the operator takes ``resources`` and ``labels`` of the group."""
    return form is Form.FIELDS and group.api != OLD_API


def _change_text(change: Change) -> str:
    """Return what was added and moved, one line for each of the group's keys."""
    lines = [(f"+ {key}", added) for key, added in change.add.items() if added]
    lines += [("~ rayStartParams", change.replace)] if change.replace else []
    parts = [f"{key}: {', '.join(f'{name}: {value}' for name, value in entries.items())}" for key, entries in lines]
    parts += [f"- rayStartParams: {', '.join(change.remove)}"] if change.remove else []
    return "".join(f"\n  {line}" for line in parts)


def _verify(before: str, after: str, file: str, all_groups: Sequence[Group], changes: Mapping[int, Change]) -> None:
    """Compare the new text with the old: the groups have the intended changes, and nothing else differs.

    Raises:
        ClusterConfigError: it differs otherwise: the file has a form that the edits do not handle.
    """
    if before == after:
        return
    # The documents are parsed again: their groups are other nodes at the same places.
    places = {group.node.start_mark.index: changes[id(group.node)] for group in all_groups if id(group.node) in changes}

    def patched(node: yaml.Node, value: Any) -> Any:
        change = places.get(node.start_mark.index)
        return expected(value, change) if change else value

    wanted_values = [yt.plain(root, patched) for root in documents(before, file)]
    try:
        same = wanted_values == [yt.plain(root) for root in documents(after, file)]
    # The new text may not even be YAML; that is refused with the same sentence.
    except ClusterConfigError:
        same = False
    if not same:
        raise ClusterConfigError(
            f"{file}: has a form that cannot be changed in place; write the groups in block style, with "
            "one key on each line"
        )


def form_of(version: str | None) -> Form:
    """Return the form of a KubeRay version; the newest form for None.

    Raises:
        AccelScalingError: it is not a version.
    """
    if version is None:
        return Form.FIELDS
    match = _VERSION.fullmatch(version.strip())
    if not match:
        raise AccelScalingError(
            f"--kuberay-version is {shown(version)}; expected the operator's, such as 1.4 or v1.5.1"
        )
    return Form.FIELDS if (int(match[1]), int(match[2])) >= FIRST_WITH_FIELDS else Form.PARAMS
