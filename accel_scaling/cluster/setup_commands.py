"""The lists of a cluster file's set-up commands, and where each of them runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

INITIALIZATION = "initialization_commands"
"""They run on a node's host; all others where Ray runs, which may be a container."""

OF_WORKERS = "worker_setup_commands"
OF_CLUSTER = (INITIALIZATION, "setup_commands", "head_setup_commands", OF_WORKERS)
_OF_NODE_TYPE = (INITIALIZATION, OF_WORKERS)  # of Ray's schema


class SetupCommands(NamedTuple):
    """One list of commands.

    Attributes:
        place: where it stands, such as ``available_node_types.w.initialization_commands``.
        key: its key, without the node type's.
        commands: the file's own list.
        on_head: the head runs them.
    """

    place: str
    key: str
    commands: list[Any]
    on_head: bool


def setup_commands(config: Mapping[str, Any]) -> Iterator[SetupCommands]:
    """Yield each list of set-up commands: those of the cluster, then those of its node types."""
    for key in OF_CLUSTER:
        if isinstance(commands := config.get(key), list):
            yield SetupCommands(key, key, commands, key != OF_WORKERS)
    for name, node_type in (config.get("available_node_types") or {}).items():
        given = node_type if isinstance(node_type, dict) else {}
        for key in _OF_NODE_TYPE:
            if isinstance(commands := given.get(key), list):
                place = f"available_node_types.{name}.{key}"
                yield SetupCommands(place, key, commands, name == config.get("head_node_type"))
