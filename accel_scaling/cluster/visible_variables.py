"""Visible-devices variables that a cluster file sets for `ray start`, where they leave fewer units than are promised.

Each machine of such a node type would be refused on its boot. What an image or a script sets, only the node knows.
"""

from __future__ import annotations

import itertools
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from accel_scaling.cluster.docker import HEAD, SHARED, WORKER
from accel_scaling.cluster.lost_variables import ASSIGNMENT, program_name
from accel_scaling.cluster.shell_words import readable_commands
from accel_scaling.families.registry import all_families
from accel_scaling.families.visible import visible_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from accel_scaling.cluster.cluster import Cluster, NodeType
    from accel_scaling.detect.model import Visible

_SETTERS = ("export", "declare", "typeset", "readonly")
_UNKNOWN = ("$", "`")  # in a value that a shell makes on the node


def visible_notes(cluster: Cluster, promised: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return a note for each node type that promises more than the file itself leaves visible.

    Args:
        cluster: a cluster file, read.
        promised: the Ray resources that each node type promises, by its name.
    """
    notes = []
    for name, node_type in cluster.node_types.items():
        in_container = _of_container(cluster.config, node_type)
        for command, variables in _starts(cluster.config, node_type) or [("", {})]:
            found = _fewer(node_type, promised[name], {**in_container, **variables})
            if found:
                place = command if found.visible.variable in variables else "docker.run_options"
                notes.append(f"{place}: {_note(node_type, found, promised[name][found.resource])}")
    return list(dict.fromkeys(notes))


@dataclass(frozen=True)
class _Fewer:
    """The variable that leaves fewer units of a resource than are promised, and how many it leaves."""

    visible: Visible
    resource: str
    left: int


def _note(node_type: NodeType, found: _Fewer, promised: float) -> str:
    visible, left = found.visible, found.left
    hidden = f"{visible.assignment}{'' if visible.value else ', which'} leaves {left or 'no'} {found.resource} visible"
    promise = f", or promise {left} in its resources" if left else ""
    advice = visible.note or f"leave the variable out{promise}"
    return (
        f"{hidden}, and {node_type.location} promises {promised:g}: none of its machines would join as promised; "
        f"{advice}"
    )


def _fewer(node_type: NodeType, promised: Mapping[str, float], variables: Mapping[str, str]) -> _Fewer | None:
    machine = node_type.machine.machine
    chip = machine.chip
    # Most files set none: the families are looked for, which takes 40 ms, only where one may narrow something.
    if chip is None or not variables:
        return None
    family = next((each for each in all_families() if each.name == chip.family), None)
    if family is None:
        return None
    visible = visible_of(family, variables, machine.count * chip.units_per_device)
    left = min(visible.count, visible.usable) if visible else 0
    if visible is None or left >= promised.get(family.resource, 0):
        return None
    return _Fewer(visible, family.resource, left)


def _starts(config: Mapping[str, Any], node_type: NodeType) -> list[tuple[str, dict[str, str]]]:
    """Return each `ray start` of a node type that can be read: its place, and the variables that its command sets."""
    key = "head_start_ray_commands" if node_type.is_head else "worker_start_ray_commands"
    return [
        (f"{key}[{number}]", variables)
        for number, command in enumerate(config.get(key) or [])
        for variables in _at_starts(command)
    ]


def _of_container(config: Mapping[str, Any], node_type: NodeType) -> dict[str, str]:
    """Return the variables that the options of the nodes' containers set."""
    docker = config.get("docker") or {}
    entry = (config["available_node_types"][node_type.name] or {}).get("docker") or {}
    own = HEAD if node_type.is_head else WORKER
    options = [*(docker.get(SHARED) or []), *(entry.get(own, docker.get(own)) or [])]
    try:
        words = shlex.split(" ".join(map(str, options)))
    except ValueError:
        return {}
    given = [word.removeprefix("--env=") for word in words if word.startswith("--env=")]
    given += [value for word, value in itertools.pairwise(words) if word in ("-e", "--env")]
    return _assigned(given)


def _at_starts(command: str) -> Iterator[dict[str, str]]:
    """Yield the variables that a command sets before each `ray start` in it."""
    variables: dict[str, str] = {}
    for part in readable_commands(command):
        program = next((program_name(word) for word in part.words if not ASSIGNMENT.fullmatch(word)), "")
        if program in ("", *_SETTERS):
            variables |= _assigned(part.words)
        elif program == "unset":
            variables = {name: value for name, value in variables.items() if name not in part.words}
        elif "start" in part.words and any(program_name(word) == "ray" for word in part.words):
            yield {**variables, **_assigned(part.words)}


def _assigned(words: Sequence[str]) -> dict[str, str]:
    found = (ASSIGNMENT.fullmatch(word) for word in words)
    return {match[1]: match[3] for match in found if match and not any(sign in match[3] for sign in _UNKNOWN)}
