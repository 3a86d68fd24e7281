"""What a command that only reads a cluster file says of it: whose provider it names, missing keys, an old fill."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from accel_scaling.cluster.cluster import read_config
from accel_scaling.cluster.provider_cloud import cloud_of
from accel_scaling.errors import AccelScalingError
from accel_scaling.fill.defaults import NEEDED_BY_RAY, with_keys_needed_by_ray
from accel_scaling.fill.file_text import users_values
from accel_scaling.fill.fill import fill, fill_cluster
from accel_scaling.fill.marks import MARK
from accel_scaling.message_text import listed, shown
from accel_scaling.yaml_text.equality import same

if TYPE_CHECKING:
    from collections.abc import Iterator

    from accel_scaling.catalog.load import Catalog
    from accel_scaling.cluster.cluster_file import ClusterFile


def file_notes(file: ClusterFile, catalog: Catalog) -> list[str]:
    """Return the notes about a file that a plan takes as it is.

    Args:
        file: a cluster file that can be filled.
        catalog: what is known about machine types.
    """
    return [*provider_note(file), *stale_note(file, catalog)]


def provider_note(file: ClusterFile) -> list[str]:
    """Return a note where Ray's own provider would launch the machines: it checks nothing on boot."""
    kind = file.config["provider"].get("type")
    if kind != cloud_of(file.config["provider"]).name:
        return []
    note = (
        f"{file.path}:{file.line_of('provider.type')}: provider.type is {kind}: Ray's own provider launches these "
        "machines, with no boot check and no quarantine; "
        f"`accel-scaling migrate {_quoted(file)} -o NEW.yaml` writes the file for this package"
    )
    return [note]


def missing_keys_note(file: ClusterFile) -> list[str]:
    """Return a note where a file lacks keys that Ray reads before it asks a provider for anything."""
    missing = [key for key in NEEDED_BY_RAY if key not in file.config]
    if not missing or file.config["provider"].get("type") != "external":
        return []
    are, them = ("is", "it") if len(missing) == 1 else ("are", "them")
    note = (
        f"{file.path}: {listed(missing)} {are} missing, without which `ray up` ends in a traceback of Ray's; "
        f"`accel-scaling migrate {_quoted(file)} -o {_quoted(file)} --force` adds {them}"
    )
    return [note]


def stale_note(file: ClusterFile, catalog: Catalog) -> list[str]:
    """Return a note where an earlier fill wrote what a fill would not write now: another machine, another catalog.

    `ray up` reads no comments: for it, and so for a plan of what it does, such a value is the user's.
    """
    if MARK not in file.text:
        return []
    filled, _ = fill(users_values(file).config, catalog)
    stale = list(_differences(file.config, with_keys_needed_by_ray(filled), ()))
    if not stale:
        return []
    path, what = stale[0]
    more = f" (and {len(stale) - 1} more)" if len(stale) > 1 else ""
    note = (
        f"{file.path}:{file.line_of(path)}: an earlier fill wrote {path}{what}{more}; it counts as yours until you run "
        f"`accel-scaling fill {_quoted(file)} -o {_quoted(file)}` again"
    )
    return [note]


def with_old_fill(file: ClusterFile, error: AccelScalingError) -> AccelScalingError:
    """Return the error about a file; where only what an earlier fill wrote makes it wrong, with what to do."""
    if MARK not in file.text:
        return error
    try:
        fill_cluster(read_config(users_values(file).config))
    except AccelScalingError:
        return error
    advice = (
        f"an earlier fill wrote this for another machine: run `accel-scaling fill {_quoted(file)} -o {_quoted(file)}`"
    )
    return type(error)(f"{error.text}; {advice} again")


def _differences(now: dict[str, Any], wanted: dict[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield the place of each value that is there and would be another, and what it is and would be."""
    for key, value in now.items():
        other, here = wanted.get(key), (*path, str(key))
        if isinstance(value, dict) and isinstance(other, dict):
            yield from _differences(value, other, here)
        elif not same(value, other):
            is_short = not isinstance(value, (dict, list)) and not isinstance(other, (dict, list))
            values = f": {shown(value)}, and would now write {shown(other)}" if is_short and key in wanted else ""
            yield ".".join(here), values or ", and would now write something else"


def _quoted(file: ClusterFile) -> str:
    return shlex.quote(str(file.path))
