"""The keys of a cluster file, held to Ray's own schema: a misspelt one is a limit or a time-out that is not there.

`ray up` and the plan let Ray refuse such a file, with a dump of all of it; here it is one sentence, in every command.
"""

from __future__ import annotations

from typing import Any

from accel_scaling._ray.cluster_schema import cluster_schema
from accel_scaling.catalog.suggest import hint
from accel_scaling.errors import ClusterConfigError

# Of Ray 1; Ray drops them where they are empty, as older defaults have them.
_DROPPED_IF_EMPTY = ("head_node", "worker_nodes")


def check_keys(config: dict[str, Any]) -> None:
    """Refuse a key that Ray's schema does not have: of the file, of a node type, of `docker` and `auth`.

    Raises:
        ClusterConfigError: names the key and the nearest ones.
    """
    _check(cluster_schema(), {key: value for key, value in config.items() if not _dropped(key, value)}, "")


def _dropped(key: object, value: object) -> bool:
    return key in _DROPPED_IF_EMPTY and not value


def _check(schema: dict[str, Any], value: Any, path: str) -> None:
    """Hold the keys of a mapping, and of those within it, to a schema; their values are not looked at."""
    if not isinstance(value, dict):
        return
    known = schema.get("properties", {})
    # Names that the user gives, such as those of node types, are patterns.
    patterns = list(schema.get("patternProperties", {}).values())
    for key, inner in value.items():
        if key in known:
            _check(known[key], inner, f"{path}{key}.")
        elif patterns:
            _check(patterns[0], inner, f"{path}{key}.")
        elif schema.get("additionalProperties") is False:
            raise ClusterConfigError(
                f"{path}{key} is a key that Ray's cluster files do not have{hint(str(key), known)}"
            )
