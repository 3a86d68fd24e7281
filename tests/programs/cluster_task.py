"""A Ray program that the tests run on a cluster's head: one task with these options; what it saw, as a JSON line.

`python3 cluster_task.py OPTIONS_JSON TIMEOUT_S`; prints `RESULT {...}`, with `ran` null when it stayed pending.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import ray


def look() -> dict[str, Any]:
    import accel_scaling

    context = ray.get_runtime_context()
    node = next(node for node in ray.nodes() if node["NodeID"] == context.get_node_id())
    return {
        "package": accel_scaling.__file__,
        "version": accel_scaling.__version__,
        "ids": context.get_accelerator_ids(),
        "labels": node["Labels"],
        "resources": node["Resources"],
    }


if __name__ == "__main__":
    options, timeout_s = json.loads(sys.argv[1]), float(sys.argv[2])
    ray.init(address="auto", log_to_driver=False, logging_level="ERROR")
    try:
        ran = ray.get(ray.remote(**options)(look).remote(), timeout=timeout_s)
    except ray.exceptions.GetTimeoutError:
        ran = None
    types = sorted(node["Labels"].get("accel-scaling.io/instance-type", "?") for node in ray.nodes() if node["Alive"])
    print("RESULT", json.dumps({"ran": ran, "alive": types}))
