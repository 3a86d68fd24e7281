"""How often a head collects what waits for resources on its nodes: the autoscaler knows of no other tasks.

Ray does it each second, so a task waits half a second for it before anybody can act on it. Here it is done more often,
where the cluster is small enough for that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accel_scaling import _ray, timeouts

if TYPE_CHECKING:
    from collections.abc import Mapping


def collected_often(config: dict[str, Any]) -> dict[str, Any]:
    """Return the config, its head start commands with the period; a user's own period stays."""
    period_s = _period_s(config)
    if period_s >= timeouts.RAY_DEMAND_PERIOD_S:
        return config
    name = _ray.DEMAND_PERIOD_VARIABLE
    config["head_start_ray_commands"] = [
        f"export {name}=${{{name}:-{round(period_s * 1000)}}}; {command}"
        if "ray start" in command and name not in command
        else command
        for command in config.get("head_start_ray_commands") or []
    ]
    return config


def _period_s(config: Mapping[str, Any]) -> float:
    most = config.get("max_workers")
    nodes = 1 + most if isinstance(most, int) else 1
    return max(timeouts.DEMAND_PERIOD_S, nodes / timeouts.DEMAND_QUESTIONS_A_SECOND)
