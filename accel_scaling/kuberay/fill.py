"""The fill of a manifest: text in, text out, with what was added and what there is to say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from accel_scaling.errors import ClusterConfigError
from accel_scaling.kuberay import yaml_text as yt
from accel_scaling.kuberay.check import findings
from accel_scaling.kuberay.manifest import OLD_API, Group, groups
from accel_scaling.kuberay.patch import Change, as_fields, as_params, edits_of, expected
from accel_scaling.kuberay.promise import propose
from accel_scaling.kuberay.user_values import own
from accel_scaling.kuberay.validation import misshapen
from accel_scaling.kuberay.versions import Form, form_of
from accel_scaling.kuberay.yaml_edits import CannotEditError, applied

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    import yaml

    from accel_scaling.catalog.lookup import Catalog
    from accel_scaling.kuberay.promise import Proposal
    from accel_scaling.kuberay.yaml_edits import Edit


@dataclass(frozen=True)
class Filled:
    """A filled file.

    Attributes:
        text: its text; the same as before but for what was added or moved.
        added: for each group that changed its place, and below it what was put in (+) and taken out (-).
        notes: sentences with ``file:line`` about what could not be promised, and about contradictions.
    """

    text: str
    added: tuple[str, ...]
    notes: tuple[str, ...]


def fill(text: str, where: str, catalog: Catalog, kuberay_version: str | None = None) -> Filled:
    """Fill every group of every Ray manifest in a file.

    Args:
        text: the file's text; whatever is no Ray manifest in it is left as it is.
        where: the file, for sentences.
        catalog: what is known about machine types and accelerators.
        kuberay_version: the operator's, as ``1.4``; the newest form where it is None.

    Raises:
        ClusterConfigError: it is no YAML, holds no Ray manifest, or one that is not complete or has a word where a
            number or a mapping stands; the text has the line.
        AccelScalingError: ``kuberay_version`` is no version.
    """
    form = form_of(kuberay_version)
    mark, body = (yt.BOM, text[1:]) if text.startswith(yt.BOM) else ("", text)
    found = groups(body, where)
    wrong = next((each for group in found for each in misshapen(group)), None)
    if wrong:
        raise ClusterConfigError(f"{where}:{wrong.line}: {wrong.text}")
    edits: list[Edit] = []
    changes: dict[int, Change] = {}
    added, notes = [], []
    for group in found:
        place = f"{where}:{group.line}: {group.title}"
        proposal = propose(group, catalog)
        said = _told(group, proposal, catalog)
        try:
            change = _change(group, proposal, form)
            edits += edits_of(body, group, change) if change else []
        except CannotEditError as error:
            change = None
            said[f"left alone: {error}"] = said.pop(str(error), group.line)  # once, where `check` finds it
        notes += [f"{where}:{line}: {group.title}: {text}" for text, line in said.items()]
        if change:
            changes[id(group.node)] = change
            added.append(f"{place}{_said(change)}")
    result = applied(body, edits)
    _verify(body, result, where, found, changes)
    return Filled(mark + result, tuple(added), tuple(dict.fromkeys(notes)))


def _told(group: Group, proposal: Proposal, catalog: Catalog) -> dict[str, int]:
    """Return what there is to say of a group, each sentence once and with its line."""
    said = dict.fromkeys(proposal.notes, group.line)
    for each in findings(group, catalog):
        text = each.text.removeprefix(f"{group.title}: ")
        if proposal.trouble and text.startswith(proposal.trouble):
            text += "; nothing is promised for its devices"
        if not each.mended:
            said.setdefault(text, each.line)
    return said


def _change(group: Group, proposal: Proposal, form: Form) -> Change:
    if wrong := own(group).wrong:
        raise CannotEditError(wrong)
    if form is Form.FIELDS and group.api != OLD_API:
        return as_fields(group, proposal)
    for name in ("resources", "labels"):
        if yt.pairs(yt.at(group.node, name)):
            reason = f"{OLD_API} has none" if group.api == OLD_API else "KubeRay before 1.5 does not read them"
            raise CannotEditError(f"it has `{name}` of its own, and {reason}")
    return as_params(group, proposal)


def _said(change: Change) -> str:
    """Say what was added and what was moved, a line for each of the group's keys."""
    lines = [(f"+ {key}", added) for key, added in change.add.items() if added]
    lines += [("~ rayStartParams", change.replace)] if change.replace else []
    said = [f"{key}: {', '.join(f'{name}: {value}' for name, value in entries.items())}" for key, entries in lines]
    said += [f"- rayStartParams: {', '.join(change.remove)}"] if change.remove else []
    return "".join(f"\n  {line}" for line in said)


def _verify(before: str, after: str, where: str, found: Sequence[Group], changes: Mapping[int, Change]) -> None:
    """Hold the new text against the old: the groups have what was to change, and nothing else is different.

    Raises:
        ClusterConfigError: it is not so, for a file that is written in a way that nobody thought of.
    """
    if before == after:
        return
    # These documents are composed anew: their groups are other nodes at the same places.
    places = {group.node.start_mark.index: changes[id(group.node)] for group in found if id(group.node) in changes}

    def patched(node: yaml.Node, value: Any) -> Any:
        change = places.get(node.start_mark.index)
        return expected(value, change) if change else value

    wanted = [yt.plain(root, patched) for root in yt.documents(before, where)]
    try:
        same = wanted == [yt.plain(root) for root in yt.documents(after, where)]
    except ClusterConfigError:
        same = False
    if not same:
        raise ClusterConfigError(
            f"{where}: is written in a way that cannot be added to in place; write the groups in block style, with "
            "one key a line"
        )
