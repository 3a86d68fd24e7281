"""Launches in large batches: one call creates a hundred machines, where Ray's autoscalers ask for five at a time."""

from __future__ import annotations

from typing import Any

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
