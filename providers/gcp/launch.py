"""Launches: Ray's autoscalers ask for large batches, and a launch that fell short is reported to them and to people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from accel_scaling import _ray

if TYPE_CHECKING:
    from accel_scaling.providers.base.zone_launch import Launch


# Read by Ray (autoscaler/_private/constants.py) in the process that `ray start --head` starts; a user's own stay.
# v2 has (launches at once / batch) threads, so ten node types are launched side by side.
BATCH = 100
AT_ONCE = 1000

_EXPORT = (
    f"export AUTOSCALER_MAX_LAUNCH_BATCH=${{AUTOSCALER_MAX_LAUNCH_BATCH:-{BATCH}}} "
    f"AUTOSCALER_MAX_CONCURRENT_LAUNCHES=${{AUTOSCALER_MAX_CONCURRENT_LAUNCHES:-{AT_ONCE}}}; "
)


def in_large_batches(config: dict[str, Any]) -> dict[str, Any]:
    """Return the config, its head start commands with the batch size; doing it twice changes nothing."""
    config["head_start_ray_commands"] = [
        _EXPORT + command if "ray start" in command and _EXPORT not in command else command
        for command in config.get("head_start_ray_commands") or []
    ]
    return config


def raise_if_short(launch: Launch, node_config: dict[str, Any], tags: dict[str, str], count: int) -> None:
    """Say that a launch fell short; the nodes that came are kept, and found by the next listing.

    Raises:
        NodeLaunchException: with the kind of failure (launch_errors.Category) and Google's reason.
        click.ClickException: the same, for the head node, which `ray up` launches.
    """
    failure = launch.failure
    if failure is None:
        return
    what, zones = _what(node_config), ", ".join(launch.zones)
    if _ray.is_head(tags):
        raise click.ClickException(
            f"the head node ({what}) could not be launched in {zones}: {failure.category.value}: Google says: {failure}"
        )
    came = f"{len(launch.nodes)} of {count} x {what} created and kept; for the rest " if launch.nodes else f"{what}: "
    raise _ray.node_launch_exception()(failure.category.value, f"{came}Google says: {failure} (tried in {zones})", None)


def _what(node_config: dict[str, Any]) -> str:
    """Return the name of what was to be launched, with the GPUs that are attached to it."""
    shape = node_config.get("acceleratorConfig") or {}
    name = (
        node_config.get("machineType")
        or node_config.get("acceleratorType")
        or (f"{shape.get('type')} {shape.get('topology')}" if shape else None)
        or node_config.get("sourceInstanceTemplate")
        or "?"
    )
    attached = [
        f"{one.get('acceleratorCount', 1)} {str(one.get('acceleratorType')).rsplit('/', 1)[-1]}"
        for one in node_config.get("guestAccelerators") or []
    ]
    return " + ".join([str(name).rsplit("/", 1)[-1], *attached])
