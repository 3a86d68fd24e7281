"""Ray's schema of a cluster file, read without importing ray: what `ray up` and the autoscalers refuse."""

from __future__ import annotations

import functools
import json
from typing import Any

from accel_scaling._ray.files import text_of

PROVIDER_KEYS = (
    "type",
    "module",
    "use_internal_ips",
    "use_external_head_ip",
    "disable_node_updaters",
    "disable_launch_config_check",
    "foreground_node_launch",
    "worker_liveness_check",
)
"""The keys of a provider section that Ray reads whatever the cloud is; its schema lacks some of them."""


@functools.cache
def cluster_schema() -> dict[str, Any]:
    """Return the installed Ray's ``autoscaler/ray-schema.json``; empty where there is no Ray, or no such file in it."""
    try:
        schema: dict[str, Any] = json.loads(text_of("autoscaler/ray-schema.json") or "{}")
    except ValueError:  # the plan and `ray up` ask Ray itself, which says what is wrong with it
        return {}
    return schema
