"""Adds the boot check to a cluster config: file mounts, start commands, and the names that both sides use."""

from __future__ import annotations

from typing import Any

from accel_scaling.boot.admission import JOIN, ON_MISMATCH
from accel_scaling.boot.bundle import REMOTE_FOLDER, SCRIPT
from accel_scaling.boot.verdicts import EXIT_NOT_CONFIRMED
from accel_scaling.cluster.policies import OnMismatch, confirmation_policy

VERDICT_FILE = ".accel_scaling/verdict.json"  # under the home of the account that starts ray
LABEL_VERDICT = "accel-scaling.io/verdict"

# A missing script must stop the node: without it Ray would start unconfirmed.
PREFIX = f". {SCRIPT} || exit {EXIT_NOT_CONFIRMED}; "


def add_boot_check(config: dict[str, Any], bundle: str) -> None:
    """Add the package and the boot check to a complete cluster config, in place; doing it twice changes nothing.

    Args:
        config: a cluster config with its start commands.
        bundle: the folder on this machine that bundle.build() returned.
    """
    config["file_mounts"] = {**(config.get("file_mounts") or {}), REMOTE_FOLDER: bundle}
    joins = confirmation_policy(config.get("provider") or {}).on_mismatch is OnMismatch.JOIN
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        config[key] = [with_boot_check(command, joins=joins) for command in config.get(key) or []]


def with_boot_check(command: str, *, joins: bool = False) -> str:
    """Return the command with the boot check before it, where it starts Ray.

    Args:
        command: any command of a cluster config.
        joins: a machine with fewer devices than promised joins with those.
    """
    if "ray start" not in command or has_boot_check(command):
        return command
    return (f"export {ON_MISMATCH}={JOIN}; " if joins else "") + PREFIX + command


def has_boot_check(command: str) -> bool:
    """Return whether this command runs the boot check before Ray."""
    return SCRIPT in command
