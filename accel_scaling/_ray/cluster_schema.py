"""Ray's schema of a cluster file, read without importing ray: what `ray up` and the autoscalers refuse."""

from __future__ import annotations

import functools
import importlib.util
import json
from pathlib import Path
from typing import Any


@functools.cache
def cluster_schema() -> dict[str, Any]:
    """Return the installed Ray's ``autoscaler/ray-schema.json``; empty where there is no Ray, or no such file in it."""
    spec = importlib.util.find_spec("ray")
    if spec is None or spec.origin is None:
        return {}
    path = Path(spec.origin).parent / "autoscaler" / "ray-schema.json"
    try:
        schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # the plan and `ray up` ask Ray itself, which says what is wrong with it
        return {}
    return schema
