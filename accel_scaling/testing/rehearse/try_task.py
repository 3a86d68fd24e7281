"""The program that runs one task per accelerator type on the head of a cluster; `words` is its command line.

Its text travels in the command line, as the nodes' bundle has nothing of `testing`. Its arguments: a JSON list of
{"node_type", "resource", "count", "accelerator_type", "mark", "continues"}, the seconds to wait, and a file below the
home. It prints one JSON line per task as it finishes, then one per node of the cluster, and exits with 1 when a task
did not run. Of a demand that continues, one task follows the other until the file is there; those that run on another
node than the one before print a line.
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


def words(demands: list[dict[str, Any]], timeout_s: float, python: str = "python3", ends: str = "") -> list[str]:
    """Return the command line of this program on a head.

    Args:
        demands: the tasks; empty to print the nodes only.
        timeout_s: seconds that a task may stay pending.
        python: the interpreter there that has Ray.
        ends: the file below the home that ends demands that continue.
    """
    text = Path(__file__).read_text(encoding="utf-8")
    return [python, "-c", text, json.dumps(demands), str(timeout_s), ends]


def where_am_i(lasts_s: float = 0.0) -> dict[str, Any]:
    """Return what a task sees of the node that it runs on."""
    import ray

    time.sleep(lasts_s)
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


def main(demands: list[dict[str, Any]], timeout_s: float, ends: str = "") -> int:
    """Submit a task for each demand, print each result, and return how many failed."""
    import ray

    register()
    ray.init(address="auto", log_to_driver=False, logging_level="ERROR")
    started_s = time.time()
    pending = {_submitted(demand): {**demand, "asked_s": started_s} for demand in demands}
    while pending and (left_s := started_s + timeout_s - time.time()) > 0:
        for done in ray.wait(list(pending), timeout=left_s)[0]:
            demand = pending.pop(done)
            ran = ray.get(done)
            if ran["address"] != demand.get("address"):
                _say("TASK", {**demand, "ran": ran})
            if demand.get("continues") and not (Path.home() / ends).exists():
                pending[_submitted(demand)] = {**demand, "asked_s": time.time(), "address": ran["address"]}
    for demand in pending.values():
        _say("TASK", {**demand, "ran": None, "reason": f"still pending after {timeout_s:.0f} s"})
    for node in nodes():
        _say("NODE", node)
    return len(pending)


def _submitted(demand: dict[str, Any]) -> Any:
    import ray

    # Next to no CPU, as the accelerator alone is to choose the machine; and a task that is lost counts as failed.
    options: dict[str, Any] = {"num_cpus": 0.01, "max_retries": 3 if demand.get("continues") else 0}
    if demand.get("resource") == "GPU":
        options["num_gpus"] = demand["count"]
    elif demand.get("resource"):
        options["resources"] = {demand["resource"]: demand["count"]}
    if demand.get("mark"):
        options.setdefault("resources", {})[demand["mark"]] = 0.001
    if demand.get("accelerator_type"):
        options["accelerator_type"] = demand["accelerator_type"]
    return ray.remote(**options)(where_am_i).remote(demand.get("lasts_s", 0.0))


def _say(word: str, what: dict[str, Any]) -> None:
    sys.stdout.write(f"{word} {json.dumps(what)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(1 if main(json.loads(sys.argv[1]), float(sys.argv[2]), *sys.argv[3:]) else 0)
