"""Says what is true of several groups once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling.kuberay.validation import Finding
from accel_scaling.message_text import listed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from accel_scaling.kuberay.group import Group


def together(notes: Iterable[tuple[Group, str]]) -> list[Finding]:
    """Return the notes with the groups that each is about, in the order and at the line of the first group.

    Args:
        notes: groups with a sentence about each.
    """
    about: dict[tuple[str, str], list[Group]] = {}
    for group, text in notes:
        groups = about.setdefault((group.manifest, text), [])
        if group not in groups:
            groups.append(group)
    return [Finding(groups[0].line, f"{_title(groups)}: {text}") for (_, text), groups in about.items()]


def _title(groups: list[Group]) -> str:
    if len(groups) == 1:
        return groups[0].title
    workers = [group.name for group in groups if not group.is_head]
    head = "head group and " if len(workers) < len(groups) else ""
    return f"{groups[0].manifest}, {head}group{'s' if len(workers) > 1 else ''} {listed(workers)}"
