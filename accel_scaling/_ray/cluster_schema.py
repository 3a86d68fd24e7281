"""Ray's schema of a cluster file, read without importing ray: what `ray up` and the autoscalers refuse."""

from __future__ import annotations

import functools
import json
from typing import Any

from accel_scaling._ray.files import text_of


@functools.cache
def cluster_schema() -> dict[str, Any]:
    """Return the installed Ray's ``autoscaler/ray-schema.json``; empty where there is no Ray, or no such file in it."""
    try:
        schema: dict[str, Any] = json.loads(text_of("autoscaler/ray-schema.json") or "{}")
    except ValueError:  # the plan and `ray up` ask Ray itself, which says what is wrong with it
        return {}
    return schema
