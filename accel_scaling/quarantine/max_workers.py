"""Takes a node type out of scheduling: sets its `max_workers` in the head's config to its number of workers.

Both autoscalers read that file again before each round. v2 cannot be told in any other way that a node type cannot be
launched, and it does not try another node type by itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import yaml

from accel_scaling.cluster.cluster_file import load
from accel_scaling.errors import ClusterConfigError
from accel_scaling.quarantine.file_identity import FileIdentity, identity_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import TextIO

# The key with the values from before, under `provider`: Ray's schema allows unknown keys only there. It disappears
# when `ray up` writes a new file.
ORIGINALS = "accel_scaling_limits"
_KEYS = ("max_workers", "min_workers")

# libyaml where PyYAML was built with it: ten times faster.
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


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


# What is done already: file -> the limits that it has, and what it was seen as then. A round of the autoscaler, each
# 5 s, costs one look at the file while nothing changes; reading 3,000 node types takes 0.1 s.
_applied: dict[Path, tuple[FileIdentity, dict[str, int]]] = {}

_TRIES = 5  # `ray up` writes the file once; whoever writes it more often than this within a moment is something else


def apply(path: Path, limits: Mapping[str, int]) -> None:
    """Limit the node types in the file; written whole or not at all, and only where something changes.

    What another process (`ray up`) writes meanwhile is not overwritten: it is read, and limited, in its turn.

    Raises:
        OSError: the file cannot be read or written.
        ClusterConfigError: it is not a cluster config at this moment, or is written again and again.
    """
    if _applied.get(path) == (identity_of(path.stat()), dict(limits)):
        return
    for _ in range(_TRIES):
        if seen := _limited_once(path, limits):
            _applied[path] = (seen, dict(limits))
            return
    raise ClusterConfigError("another process writes it again and again")


def _limited_once(path: Path, limits: Mapping[str, int]) -> FileIdentity | None:
    """Limit the node types; return what the file is seen as then, None where it is another by now."""
    with path.open("rb") as file:
        seen = identity_of(os.fstat(file.fileno()))
        content = file.read()
    try:
        # Parsing takes milliseconds; the text is enough to see that there is nothing to restore.
        if not limits and ORIGINALS.encode() not in content:
            return seen
        config, dump = _parsed(content.decode("utf-8"), path.name)
        new = limited(config, limits)
    # `ray up` may be writing the file at this moment: the caller tries again in the next round.
    except (ClusterConfigError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ClusterConfigError(f"it is not a cluster config ({' '.join(str(error).split())})") from error
    if new == config:
        return seen
    # In the same folder, so the replacement is one step of the file system.
    written = path.with_name(f".{path.name}.accel-scaling")
    try:
        # With the permissions of the old file: it has all that the cluster file has, maybe credentials.
        descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, path.stat().st_mode & 0o777)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            dump(new, file)
        ours = identity_of(written.stat())
        return ours if _replaced(path, written, seen) else None
    # Also after Ctrl-C or SystemExit: a copy of a file with credentials must not stay.
    finally:
        with contextlib.suppress(OSError):
            written.unlink()


def _parsed(text: str, name: str) -> tuple[Any, Callable[[Any, TextIO], Any]]:
    """Return a config, and the function that writes it in the same language."""
    # `ray up` writes JSON, which is YAML too: 3,000 node types are read and written in 0.1 s, as YAML in 5 s.
    with contextlib.suppress(ValueError):
        return json.loads(text), json.dump
    return load(text, name), _dump_yaml


def _dump_yaml(config: Any, file: TextIO) -> None:
    yaml.dump(config, file, Dumper=_DUMPER, sort_keys=False)


def _replaced(path: Path, written: Path, seen: FileIdentity) -> bool:
    """Put the new file in the place of the one that was read; False where that is another one by now."""
    if identity_of(path.stat()) != seen:
        return False
    ours = written.stat().st_ino
    if not _exchanged(path, written):
        written.replace(path)
        return True
    # Only now is it certain which file was taken out: between a look and a replacement there is always a moment.
    if identity_of(written.stat()) == seen:
        return True
    _exchanged(path, written)  # a newer one, which `ray up` has put there: back with it
    if written.stat().st_ino != ours:
        _exchanged(path, written)  # and a still newer one
    return False


def _exchanged(one: Path, other: Path) -> bool:
    """Let two files change places in one step of the file system; False where the system cannot."""
    renameat2 = _renameat2()
    if renameat2 is None:
        return False
    done: int = renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    return done == 0


_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of Linux: fcntl.h, linux/fs.h


@functools.cache
def _renameat2() -> Any | None:
    """Return Linux's renameat2, which Python does not have; None on other systems, and with a C library before 2018."""
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
