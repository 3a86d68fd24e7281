"""The keys and numbers of a cluster file, held to Ray's own schema: a misspelt key is a limit that is not there.

`ray up` and the plan let Ray refuse such a file, with a dump of all of it; here it is one sentence, in every command.
"""

from __future__ import annotations

from typing import Any

from accel_scaling._ray import versions
from accel_scaling._ray.cluster_schema import cluster_schema
from accel_scaling.catalog.suggest import hint
from accel_scaling.errors import ClusterConfigError
from accel_scaling.message_text import shown

# What a value of a JSON type may be in Python, and in words.
_NUMBERS: dict[str, tuple[tuple[type, ...], str]] = {
    "integer": ((int,), "a whole number"),
    "number": ((int, float), "a number"),
    "boolean": ((bool,), "true or false"),
}

# Of Ray 1; Ray drops them where they are empty, as older defaults have them.
_DROPPED_IF_EMPTY = ("head_node", "worker_nodes")


def check_keys(config: dict[str, Any]) -> None:
    """Refuse a key that Ray's schema does not have, and a number of the wrong kind: of the file, and of a node type.

    Raises:
        ClusterConfigError: names the key; and the nearest ones, or what it takes.
    """
    _check(cluster_schema(), {key: value for key, value in config.items() if not _dropped(key, value)}, "")


def _dropped(key: object, value: object) -> bool:
    return key in _DROPPED_IF_EMPTY and not value


def _check(schema: dict[str, Any], value: Any, path: str) -> None:
    """Hold the keys of a mapping, and of those within it, to a schema; of other values, numbers and truth values."""
    if not isinstance(value, dict):
        _check_number(schema, value, path.removesuffix("."))
        return
    known = schema.get("properties", {})
    # Names that the user gives, such as those of node types, are patterns.
    patterns = list(schema.get("patternProperties", {}).values())
    for key, inner in value.items():
        if key in known:
            _check(known[key], inner, f"{path}{key}.")
        elif patterns:
            _check(patterns[0], inner, f"{path}{key}.")
        elif schema.get("additionalProperties") is False and key in versions.SINCE and not versions.has(key):
            raise ClusterConfigError(versions.needs_newer(key, f"{path}{key}"))
        elif schema.get("additionalProperties") is False:
            raise ClusterConfigError(
                f"{path}{key} is a key that Ray's cluster files do not have{hint(str(key), known)}"
            )


def _check_number(schema: dict[str, Any], value: Any, path: str) -> None:
    expected = _NUMBERS.get(str(schema.get("type")))
    # null is a key that is left out; resources have a check of their own, with more to say.
    if expected is None or value is None or ".resources." in path:
        return
    kinds, words = expected
    # bool is a kind of int in Python: `max_workers: true` must not be 1.
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise ClusterConfigError(f"{path} is {shown(value)}; Ray's cluster files take {words} there")
    least = schema.get("minimum")
    if least is not None and value < least:
        raise ClusterConfigError(f"{path}: {value} is less than the minimum of {least}")
