"""Ray's own v2 scheduler for 1,000 nodes over 24 node types: as it is, and with nodes that remember.

Both are asked the same in one process, in turns, and must answer the same: nodes by type, and what stays pending. CPU
seconds of the thread are compared. The first mix has a demand for each accelerator, the second one small demand that
many node types take, the third placement groups first. What is imported is not counted; `accel-scaling plan` as a
process needs `import ray` besides.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

MACHINES = (
    *("g4dn.xlarge", "g4dn.12xlarge", "g5.xlarge", "g5.12xlarge", "g5.48xlarge", "g6.xlarge", "g6.12xlarge"),
    *("g6e.xlarge", "g6e.12xlarge", "g6e.48xlarge", "p4d.24xlarge", "p4de.24xlarge", "p5.48xlarge", "p5en.48xlarge"),
    *("p6-b200.48xlarge", "inf2.xlarge", "inf2.48xlarge", "trn1.2xlarge", "trn1.32xlarge", "trn2.48xlarge"),
    *("m5.2xlarge", "c5.4xlarge", "r5.4xlarge", "g6f.large"),
)
AIM_S = 2.0


def node_types() -> tuple[dict[str, Any], list[tuple[dict[str, float], int]]]:
    """Return 24 node types as promised, in Ray's form; and for each one demand that fills a node."""
    from ray.autoscaler.v2.instance_manager.config import NodeTypeConfig

    from accel_scaling.catalog.load import shipped_catalog
    from accel_scaling.fill.promise import promise_for

    types, demands = {}, []
    for name in MACHINES:
        promised = promise_for(shipped_catalog().machine_type("aws", name))
        types[name] = NodeTypeConfig(name, 0, 1000, resources=promised.resources, labels=promised.labels)
        asked = {key: 0.001 for key in promised.resources if key.startswith("accelerator_type:")}
        asked |= {key: value for key, value in promised.resources.items() if key in {"GPU", "neuron_cores"}}
        demands.append(({**asked, "CPU": 1} if asked else {"CPU": promised.resources["CPU"]}, 1))
    return types, demands


def questions(nodes: int) -> dict[str, Any]:
    """Return what the scheduler is asked, by a title."""
    from accel_scaling import _ray

    types, each = node_types()
    ask = _ray.resource_request
    typed = [(ask(resources), 6 * nodes // len(each)) for resources, _ in each]
    groups = [
        _ray.gang_request([ask(resources, (), ("STRICT_SPREAD", f"{number}"))] * 8)
        for number, (resources, _) in enumerate(each * (nodes // 2 // 8 // len(each)))
    ]
    few = [(request, 3 * nodes // len(each)) for request, _ in typed]
    return {
        "a demand for each type": _ray.scheduling_request(types, nodes, typed),
        "one GPU each": _ray.scheduling_request(types, nodes, [(ask({"GPU": 1, "CPU": 4}), 10 * nodes)]),
        "half in groups of 8": _ray.scheduling_request(types, nodes, few, gangs=groups),
    }


def ours(asked: Any) -> Any:
    """Return our answer: nodes by type, and how much stays pending."""
    from accel_scaling import _ray

    found = _ray.schedule(asked)
    launched = Counter(node.node_type for node in found.nodes if node.launched)
    return dict(launched), len(found.pending), len(found.pending_gangs)


def stock(asked: Any) -> Any:
    """Return Ray's own."""
    from ray.autoscaler.v2.scheduler import ResourceDemandScheduler

    found = ResourceDemandScheduler(None).schedule(asked)
    launched = {each.instance_type: each.count for each in found.to_launch}
    return launched, len(found.infeasible_resource_requests), len(found.infeasible_gang_resource_requests)


def timed(call: Callable[[Any], Any], asked: Any) -> tuple[float, Any]:
    """Return CPU seconds, which other work on the machine does not change, and the answer."""
    begun_s = time.thread_time()
    answer = call(asked)
    return time.thread_time() - begun_s, answer


def main() -> None:
    """Print the table."""
    from accel_scaling import _ray
    from accel_scaling.tables import render

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="of each (default: 3)")
    parser.add_argument("--nodes", type=int, default=1000, metavar="N", help="the most nodes (default: 1000)")
    arguments = parser.parse_args()
    _ray.schedule(_ray.scheduling_request({}, 1, []))  # what is loaded once is not counted
    rows = []
    for title, asked in questions(arguments.nodes).items():
        seconds: dict[str, list[float]] = {"ours": [], "stock": []}
        answers = []
        for _ in range(arguments.runs):
            for name, call in (("ours", ours), ("stock", stock)):
                took_s, answer = timed(call, asked)
                seconds[name].append(took_s)
                answers.append(answer)
        if any(answer != answers[0] for answer in answers):
            raise SystemExit(f"{title}: the answers differ")
        mine, theirs = (statistics.median(seconds[name]) for name in ("ours", "stock"))
        launched, pending, groups = answers[0]
        what = f"{sum(launched.values())} nodes of {len(launched)} types, {pending + groups} pending"
        rows.append((title, what, f"{mine:.2f}", f"{theirs:.2f}", f"{theirs / mine:.0f} x"))
    print(f"median of {arguments.runs}, {len(MACHINES)} node types, CPU seconds; the aim is {AIM_S:g} s")
    print(render(("demands", "answer, the same of both", "ours, s", "stock, s", "stock / ours"), rows, right={2, 3, 4}))


if __name__ == "__main__":
    main()
