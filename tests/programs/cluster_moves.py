"""An actor that can restart, on one GPU, while its machine is taken away: when it moved, and where to.

Runs on the head. It prints "STARTED ..." when the actor runs, and then "RESULT ...".
"""

from __future__ import annotations

import json
import sys
import time

import ray

ray.init(address="auto", log_to_driver=False, logging_level="ERROR")


@ray.remote(num_gpus=1, max_restarts=-1, max_task_retries=-1)
class Mover:
    """Says on which node it runs."""

    def node(self) -> str:
        return ray.get_runtime_context().get_node_id()


mover = Mover.options(accelerator_type=sys.argv[1]).remote()
first = ray.get(mover.node.remote(), timeout=150)
print("STARTED " + first, flush=True)
began = time.time()
second = first
while second == first and time.time() < began + 150:
    time.sleep(0.5)
    second = ray.get(mover.node.remote(), timeout=150)
nodes = {node["NodeID"]: node for node in ray.nodes()}
found = {
    "moved_after_s": time.time() - began,
    "same": second == first,
    "first": nodes[first]["Labels"],
    "first_alive": nodes[first]["Alive"],
    "second": nodes[second]["Labels"],
}
print("RESULT " + json.dumps(found), flush=True)
