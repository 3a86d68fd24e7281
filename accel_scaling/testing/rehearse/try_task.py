"""The program that runs one task per accelerator type on the head of a cluster; `words` is its command line.

Its text travels in the command line, as the nodes' bundle has nothing of `testing`. Its arguments: a JSON list of
{"node_type", "resource", "count", "accelerator_type", "mark"}, and the seconds to wait. It prints one JSON line per
task as it finishes, then one per node of the cluster, and exits with 1 when a task did not run.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from accel_scaling.families import register
from accel_scaling.families.registry import visible_devices


def words(demands: list[dict[str, Any]], timeout_s: float, python: str = "python3") -> list[str]:
    """Return the command line of this program on a head.

    Args:
        demands: the tasks; empty to print the nodes only.
        timeout_s: seconds that a task may stay pending.
        python: the interpreter there that has Ray.
    """
    return [python, "-c", Path(__file__).read_text(encoding="utf-8"), json.dumps(demands), str(timeout_s)]


def where_am_i() -> dict[str, Any]:
    """Return what a task sees of the node that it runs on."""
    import ray

    accelerators = ray.get_runtime_context().get_accelerator_ids()
    return {
        "address": ray.util.get_node_ip_address(),  # autoscaler v1 does not tell a node its instance id
        "ids": {name: ids for name, ids in accelerators.items() if ids},
        "visible": {name: os.environ[name] for name in visible_devices() if os.environ.get(name)},
        "time_s": time.time(),
    }


def nodes() -> list[dict[str, Any]]:
    """Return what each living node announces."""
    import ray

    return [
        {"address": node["NodeManagerAddress"], "resources": node["Resources"], "labels": node["Labels"]}
        for node in ray.nodes()
        if node["Alive"]
    ]


def main(demands: list[dict[str, Any]], timeout_s: float) -> int:
    """Submit a task for each demand, print each result, and return how many failed."""
    import ray

    register()
    ray.init(address="auto", log_to_driver=False, logging_level="ERROR")
    started_s = time.time()
    pending = {}
    for demand in demands:
        # Next to no CPU, as the accelerator alone is to choose the machine; and a task that is lost counts as failed.
        options: dict[str, Any] = {"num_cpus": 0.01, "max_retries": 0}
        if demand.get("resource") == "GPU":
            options["num_gpus"] = demand["count"]
        elif demand.get("resource"):
            options["resources"] = {demand["resource"]: demand["count"]}
        if demand.get("mark"):
            options.setdefault("resources", {})[demand["mark"]] = 0.001
        if demand.get("accelerator_type"):
            options["accelerator_type"] = demand["accelerator_type"]
        pending[ray.remote(**options)(where_am_i).remote()] = demand
    while pending and (left_s := started_s + timeout_s - time.time()) > 0:
        for done in ray.wait(list(pending), timeout=left_s)[0]:
            _say("TASK", {**pending.pop(done), "ran": ray.get(done), "asked_s": started_s})
    for demand in pending.values():
        _say("TASK", {**demand, "ran": None, "reason": f"still pending after {timeout_s:.0f} s", "asked_s": started_s})
    for node in nodes():
        _say("NODE", node)
    return len(pending)


def _say(word: str, what: dict[str, Any]) -> None:
    sys.stdout.write(f"{word} {json.dumps(what)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(1 if main(json.loads(sys.argv[1]), float(sys.argv[2])) else 0)
