"""Takes a node type out of scheduling: sets its `max_workers` in the head's config to its number of workers.

Both autoscalers read that file again before each round. v2 cannot be told in any other way that a node type cannot be
launched, and it does not try another node type by itself.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

import yaml

from accel_scaling.errors import ClusterConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# The key with the values from before, under `provider`: Ray's schema allows unknown keys only there. It disappears
# when `ray up` writes a new file.
ORIGINALS = "accel_scaling_limits"
_KEYS = ("max_workers", "min_workers")


def limited(config: dict[str, Any], limits: Mapping[str, int]) -> dict[str, Any]:
    """Return the config with these node types limited, and every other one as the file had it.

    Args:
        config: the head's cluster config, limited or not.
        limits: node type -> the most workers that it may have now.
    """
    types = {name: dict(node_type) for name, node_type in config["available_node_types"].items()}
    before: Mapping[str, Any] = config["provider"].get(ORIGINALS) or {}
    originals: dict[str, Any] = {}
    for name, node_type in types.items():
        # From the user's values and not from the last limit, above which the number of workers may be by now.
        if name in before:
            for key in _KEYS:
                node_type.pop(key, None)
            node_type.update(before[name])
        if name not in limits:
            continue
        values = {key: node_type[key] for key in _KEYS if key in node_type}
        # On trial a type may have one more than its workers, but never more than the user allows.
        most = min(limits[name], values.get("max_workers", config.get("max_workers", 0)))
        if most == values.get("max_workers"):
            continue
        originals[name] = values
        node_type["max_workers"] = most
        # Autoscaler v2 asserts that min_workers is not above max_workers (NodeTypeConfig).
        if values.get("min_workers", 0) > most:
            node_type["min_workers"] = most
    provider = {key: value for key, value in config["provider"].items() if key != ORIGINALS}
    if originals:
        provider[ORIGINALS] = originals
    return {**config, "provider": provider, "available_node_types": types}


def apply(path: Path, limits: Mapping[str, int]) -> None:
    """Limit the node types in the file; written whole or not at all, and only where something changes.

    Raises:
        OSError: the file cannot be read or written.
        ClusterConfigError: it is not a cluster config at this moment.
    """
    try:
        text = path.read_text(encoding="utf-8")
        # Parsing takes tens of milliseconds; the text is enough to see that there is nothing to restore.
        if not limits and ORIGINALS not in text:
            return
        config = yaml.safe_load(text)
        new = limited(config, limits)
    # `ray up` may be writing the file at this moment: the caller tries again in the next round.
    except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ClusterConfigError(f"it is not a cluster config ({' '.join(str(error).split())})") from error
    if new == config:
        return
    # In the same folder, so that the replacement is one step of the file system.
    written = path.with_name(f".{path.name}.accel-scaling")
    # With the permissions of the old file: it has all that the cluster file has, maybe credentials.
    descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, path.stat().st_mode & 0o777)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            yaml.safe_dump(new, file, sort_keys=False)
        written.replace(path)
    # Also after Ctrl-C or SystemExit: half a copy of a file with credentials must not stay.
    except BaseException:
        with contextlib.suppress(OSError):
            written.unlink()
        raise
