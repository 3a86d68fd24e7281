"""How often a head collects what waits for resources on its nodes: the autoscaler knows of no other tasks.

Ray does it each second, so a task waits half a second for it before anybody can act on it. Here it is done more often,
where the cluster is small enough for that.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from accel_scaling import _ray, timeouts

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = _ray.DEMAND_PERIOD_VARIABLE
_EXPORT = re.compile(rf"export {_NAME}=\$\{{{_NAME}:-\d+\}}; ")
_HEAD = "head_start_ray_commands"


def collected_as_by_ray(config: dict[str, Any]) -> dict[str, Any]:
    """Return the config without the period that ``collected_often`` has put before its head start commands."""
    if config.get(_HEAD):
        config[_HEAD] = [_EXPORT.sub("", command) for command in config[_HEAD]]
    return config


def collected_often(config: dict[str, Any]) -> dict[str, Any]:
    """Return the config, its head start commands with the period; a user's own stays."""
    period_s = _period_s(config)
    if period_s >= timeouts.RAY_DEMAND_PERIOD_S or not config.get(_HEAD):
        return config
    export = f"export {_NAME}=${{{_NAME}:-{round(period_s * 1000)}}}; "
    config[_HEAD] = [
        export + command if "ray start" in command and _NAME not in command else command for command in config[_HEAD]
    ]
    return config


def _period_s(config: Mapping[str, Any]) -> float:
    most = config.get("max_workers")
    nodes = 1 + most if isinstance(most, int) else 1
    return max(timeouts.DEMAND_PERIOD_S, nodes / timeouts.DEMAND_QUESTIONS_A_SECOND)
