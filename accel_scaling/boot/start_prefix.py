"""Adds the bundle to a cluster config, and the boot check to its start commands: a prefix that sets variables."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from accel_scaling.boot.admission import ON_MISMATCH
from accel_scaling.boot.bundle import FORMER_REMOTE_FOLDERS, REMOTE_FOLDER, content_of
from accel_scaling.boot.verdicts import EXIT_NOT_CONFIRMED
from accel_scaling.cluster.policies import OnMismatch
from accel_scaling.cluster.start_commands import KEYS, Starts, reading_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

BUNDLE = "ACCEL_SCALING_BUNDLE"
"""The folder on the node with the package that confirms it."""

_SCRIPT = "accel_scaling/boot/before_ray_start.sh"
# What earlier versions put before the commands of a cluster with `on_mismatch: join`.
_JOINS = f"export {ON_MISMATCH}=join; "
_OR_EXIT = rf" \|\| exit {EXIT_NOT_CONFIRMED}; "
_PREFIX = re.compile(rf'(?:^|(?<=; )){BUNDLE}=(\S+); export {BUNDLE}; \. "\${BUNDLE}/{_SCRIPT}"{_OR_EXIT}')
# What precedes the commands of a cluster that an earlier version started.
_FORMER = re.compile(rf"^(?:{re.escape(_JOINS)})?\. ~/\.accel_scaling/bundle/\S+/before_ray_start\.sh{_OR_EXIT}")


def add_boot_check(config: dict[str, Any], bundle: Path) -> None:
    """Add the package and the boot check to a complete cluster config, in place; doing it twice changes nothing.

    Args:
        config: a cluster config with its start commands.
        bundle: the folder on this machine that bundle.build() returned.
    """
    mounts: Mapping[str, str] = config.get("file_mounts") or {}
    kept = {remote: local for remote, local in mounts.items() if remote not in FORMER_REMOTE_FOLDERS}
    config["file_mounts"] = {**kept, REMOTE_FOLDER: str(bundle)}
    folder = content_of(bundle).name
    for key in KEYS:
        config[key] = [with_boot_check(command, folder) for command in config.get(key) or []]


def with_boot_check(command: str, folder: str = "") -> str:
    """Return the command with the boot check before it, where it may start Ray.

    Args:
        command: any start command of a cluster config, wired or not.
        folder: of the package, in the bundle's folder on the node.
    """
    plain = without_boot_check(command)
    # Which programs start Ray cannot be seen; only those that surely do not, as `ray stop`, stay as they are.
    if reading_of(plain).starts is Starts.NO:
        return plain
    path = f"{REMOTE_FOLDER}/{folder}".rstrip("/")
    # Sourced, not run: the variables that the script exports must reach the programs behind it. A missing script must
    # stop the node: without it Ray would start unconfirmed.
    return f'{BUNDLE}={path}; export {BUNDLE}; . "${BUNDLE}/{_SCRIPT}" || exit {EXIT_NOT_CONFIRMED}; {plain}'


def with_policy(command: str, on_mismatch: OnMismatch) -> str:
    """Return a start command with the boot check, as it runs on the nodes of one node type.

    All workers have the same start commands, so whoever runs one on a node adds what that node's type has.
    """
    return command if on_mismatch is OnMismatch.REFUSE else f"export {ON_MISMATCH}={on_mismatch.value}; {command}"


def without_boot_check(command: str) -> str:
    """Return the command as the user wrote it."""
    former = _FORMER.sub("", command)
    if former != command:
        return former
    found = _PREFIX.match(command.removeprefix(_JOINS))
    return command.removeprefix(_JOINS)[found.end() :] if found else command


def as_written(command: str) -> str:
    """Return the command as the user wrote it, without the boot check and the variables that Ray has put before it."""
    found = _PREFIX.search(command)
    return command[found.end() :] if found else command


def has_boot_check(command: str) -> bool:
    """Return whether this command runs the boot check before Ray; Ray may have put variables before it."""
    return _PREFIX.search(command) is not None
