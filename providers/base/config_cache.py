"""Ray's cache of a resolved cluster config: forgotten, so a change of a catalog takes effect.

Ray keys it before the fill, by what the cluster file says. `ray up` would continue with the promises of an old catalog;
and a config that was only read (cluster_config.py) must never be treated as one that can launch.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import re
import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from accel_scaling import _ray

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = re.compile(r"ray-config-(?:[0-9a-f]{64}|[0-9a-f]{40})")  # SHA-256; in older minors, SHA-1
_LARGEST = 50_000_000  # bytes; a resolved config has some 100 kB

READ_BY = "accel_scaling_read_by"  # a key of `provider` in a config that was only read: says which process did
_THIS_PROCESS = secrets.token_hex(8)


def mark_as_read(provider: dict[str, Any]) -> None:
    """Mark a config that was only read, for a command that launches nothing."""
    provider[READ_BY] = _THIS_PROCESS
    _ray.name_config_cache(provider)
    # A command that stops before it makes a provider, at its question say, leaves the cache behind.
    if path := _ray.config_cache_path():
        atexit.register(_remove, path)


def forget(provider_config: Mapping[str, Any], cluster_name: str) -> None:
    """Remove Ray's cached copy of the config that a provider is made of.

    Raises:
        click.ClickException: the config is a copy that was only read, by a command that was cut off.
    """
    # Ray writes the cache after bootstrap_config, and makes the provider next: here the file is there.
    path = provider_config.get("_config_cache_path")
    if isinstance(path, str) and _is_cache_of(Path(path), provider_config, cluster_name):
        _remove(path)
    if provider_config.get(READ_BY, _THIS_PROCESS) != _THIS_PROCESS:
        raise click.ClickException(
            "Ray's cached copy of this cluster config comes from a command that was interrupted; it is now removed: "
            "run the "
            "same command again"
        )


def _is_cache_of(path: Path, provider_config: Mapping[str, Any], cluster_name: str) -> bool:
    """Return whether a file is Ray's cache of this very config: a cluster file may name any file with that key."""
    if not _NAME.fullmatch(path.name) or str(path.parent) != tempfile.gettempdir():
        return False
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _LARGEST:
            return False
        cached = json.loads(path.read_text(encoding="utf-8"))["config"]
        same = json.loads(json.dumps(dict(provider_config), sort_keys=True))
        return bool(cached["provider"] == same and cached["cluster_name"] == cluster_name)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        Path(path).unlink(missing_ok=True)
