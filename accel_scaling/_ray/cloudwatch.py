"""Ray's set-up of CloudWatch on a node, which its updater does for `type: aws` alone (updater.py, do_update)."""

from __future__ import annotations

from typing import Any

from accel_scaling._ray.launcher import callers

CLOUDWATCH_PARTS = ("agent", "dashboard", "alarm")
"""The parts of ``provider.cloudwatch``: CloudwatchConfigType."""


def updates_head() -> bool | None:
    """Return whether Ray's updater is waiting in this thread for a head, or for a worker, to answer; else None."""
    from ray.autoscaler._private.updater import NodeUpdater

    codes = {NodeUpdater.wait_ready.__code__, NodeUpdater.do_update.__code__}
    frames = [frame for frame in callers() if frame.f_code in codes]
    # Both: `ray exec ... uptime` waits for nothing, and sets nothing up.
    return bool(frames[0].f_locals["self"].is_head_node) if len(frames) == len(codes) else None


def update_cloudwatch(provider_config: dict[str, Any], node_id: str, cluster_name: str, *, head: bool) -> None:
    """Do what the updater of a node of `type: aws` does.

    Raises:
        Exception: whatever boto3 and Ray's helper raise.
    """
    from ray.autoscaler._private.aws.cloudwatch.cloudwatch_helper import CloudwatchHelper

    CloudwatchHelper(provider_config, node_id, cluster_name).update_from_config(head)
