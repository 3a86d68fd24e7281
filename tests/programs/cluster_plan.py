"""A Ray program that the tests run on a cluster's head: it asks, and tells what autoscaler v2 has made of that.

`python3 cluster_plan.py ASKED_JSON` submits tasks and placement groups, waits until the autoscaler has looked at them
in several rounds, and prints `RESULT` with what v2 reports: nodes by type, and the demands that it finds infeasible.
None of them is waited for: machines take their time.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from typing import Any

import ray
from ray._raylet import GcsClient
from ray.core.generated.autoscaler_pb2 import GetClusterStatusReply, NodeStatus
from ray.util.placement_group import placement_group

import accel_scaling as acc

SOON_S = 90
ROUNDS = 4  # one queues the nodes, one asks the cloud for them, one finds nothing more to do, and one more


def status(client: Any) -> Any:
    reply = GetClusterStatusReply()
    reply.ParseFromString(client.get_cluster_status())
    return reply


def settled(client: Any, asked: int) -> Any:
    """What v2 reports after it has looked several times at all that was asked.

    Each round asks for the cluster's state, and says which version it was given. (`autoscaler_state_version` is no
    count of rounds: it stands still while no node changes.)
    """
    complete, rounds = None, set[int]()
    for _ in range(SOON_S * 10):
        told = status(client)
        waiting = told.cluster_resource_state
        there = sum(one.count for one in waiting.pending_resource_requests) + len(
            waiting.pending_gang_resource_requests
        )
        if complete is None and there == asked:
            complete = waiting.cluster_resource_state_version
        looked_at = told.autoscaling_state.last_seen_cluster_resource_state_version
        if complete is not None and looked_at > complete:
            rounds.add(looked_at)
        if len(rounds) >= ROUNDS:
            return told
        time.sleep(0.1)
    raise SystemExit(
        f"within {SOON_S} s the autoscaler was told of {there} of {asked} demands (of all at version {complete}) and "
        f"looked at them {len(rounds)} times:\n{told}"
    )


def main(asked: dict[str, Any]) -> dict[str, Any]:
    tasks = [
        acc.remote(**{"max_retries": 0, **one["options"]})(lambda: None).remote()
        for one in asked.get("tasks", ())
        for _ in range(one["count"])
    ]
    groups = [placement_group(one["bundles"], strategy=one["strategy"]) for one in asked.get("groups", ())]
    told = settled(GcsClient(address=ray.get_runtime_context().gcs_address), len(tasks) + len(groups))
    state = told.autoscaling_state
    nodes: Counter[str] = Counter(
        one.ray_node_type_name for one in told.cluster_resource_state.node_states if one.status != NodeStatus.DEAD
    )
    nodes.update(one.ray_node_type_name for one in state.pending_instances)
    for one in state.pending_instance_requests:
        nodes[one.ray_node_type_name] += one.count
    return {
        "nodes": dict(nodes),
        "infeasible": len(state.infeasible_resource_requests),
        "infeasible_groups": len(state.infeasible_gang_resource_requests),
    }


if __name__ == "__main__":
    ray.init(address="auto", log_to_driver=False, logging_level="ERROR")
    print("RESULT", json.dumps(main(json.loads(sys.argv[1]))))
