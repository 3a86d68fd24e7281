"""Launching on EC2: all that was asked for, or AWS's own reason as the exception that both autoscalers read."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from accel_scaling import _ray

if TYPE_CHECKING:
    from collections.abc import Callable

    CreateNode = Callable[[dict[str, Any], dict[str, str], int], dict[str, Any]]


def launch_all(create: CreateNode, node_config: dict[str, Any], tags: dict[str, str], count: int) -> dict[str, Any]:
    """Call Ray's ``create_node`` until ``count`` machines are there; a short launch is asked again for the rest.

    EC2 gives no reason when it launches fewer than asked (MinCount is 1), only when it launches none; so the rest is
    asked for once more, and what AWS answers then is the reason.

    Raises:
        NodeLaunchException: AWS's code and message, and how many came; those are kept.
        click.ClickException: the same, for the head node, which `ray up` launches.
    """
    made: dict[str, Any] = {}
    while len(made) < count:
        try:
            new = create(node_config, tags, count - len(made))
        except Exception as error:
            raise _failure(error, node_config, tags, len(made), count) from error
        if not new:
            raise _failure(RuntimeError("EC2 launched none and gave no reason"), node_config, tags, len(made), count)
        made |= new
    return made


def _failure(error: Exception, node_config: dict[str, Any], tags: dict[str, str], made: int, count: int) -> Exception:
    category, reason = _category_and_reason(error)
    machine = node_config.get("InstanceType", "?")
    if _ray.is_head(tags):
        return click.ClickException(f"the head node ({machine}) could not be launched: {category}: {reason}")
    came = f"{made} of {count} x {machine} launched and kept; for the rest AWS says: " if made else f"{machine}: "
    failure: Exception = _ray.node_launch_exception()(category, came + reason, sys.exc_info())
    return failure


def _category_and_reason(error: Exception) -> tuple[str, str]:
    if isinstance(error, _ray.node_launch_exception()):
        return error.category, error.description
    response = getattr(error, "response", None) or {}
    details = response.get("Error", {}) if isinstance(response, dict) else {}
    return details.get("Code") or type(error).__name__, details.get("Message") or str(error)
