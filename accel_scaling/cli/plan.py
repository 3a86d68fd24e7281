"""`accel-scaling plan`: the nodes that Ray's own scheduler would launch, and why a demand stays pending."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from accel_scaling.cli.arguments import CLUSTER_HELP, input_file
from accel_scaling.cli.common import write_note
from accel_scaling.cluster.cluster_file import read_cluster
from accel_scaling.errors import AccelScalingError, PlanError
from accel_scaling.fill.file_text import stale_note
from accel_scaling.plan.model import counted, uses_text
from accel_scaling.requirements import check_ray
from accel_scaling.tables import render
from accel_scaling.terminal import bold

if TYPE_CHECKING:
    import argparse

    from accel_scaling.plan.cluster import AutoscalerCluster
    from accel_scaling.plan.model import Plan, PlannedNodes
    from accel_scaling.plan.prices import Prices

HELP = "show the nodes that Ray would launch for given demands, and why a demand stays pending; no network"
EXAMPLES = """examples:
  accel-scaling plan cluster.yaml --demand A100:8x16          16 tasks with 8 A100 each
  accel-scaling plan cluster.yaml --demand T4:0.5x4 CPU:4x100
  accel-scaling plan cluster.yaml --demand H100,A100-80G:8    the first of these types that can be launched
  accel-scaling plan cluster.yaml --gang STRICT_SPREAD A100:8x4 --gang PACK Trainium:2x2
  accel-scaling plan cluster.yaml --demand A100 --label ray.io/market-type=spot --prices prices.csv
  accel-scaling plan cluster.yaml --address 10.0.0.5          the pending demands of a running cluster

exit codes: 0 all demands would be placed, 2 bad input, 3 a demand would stay pending
"""

STAYS_PENDING = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("cluster", metavar="CLUSTER.yaml", type=input_file, help=CLUSTER_HELP)
    parser.add_argument(
        "--demand",
        metavar="TYPE[:ACCS][xCOUNT]",
        action="append",
        nargs="+",
        default=[],
        help="tasks or actors, such as A100:8x16 or CPU:4x100; A100:8+CPU:32 asks for more than the default of 1 CPU",
    )
    parser.add_argument(
        "--gang",
        metavar="WORD",
        action="append",
        nargs="*",
        default=[],
        help="a placement group: STRATEGY DEMAND...; without demands, all --demand are one group (PACK)",
    )
    parser.add_argument(
        "--label",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="a label selector for every demand, in Ray's form: spot, !spot, in(a,b)",
    )
    parser.add_argument(
        "--address", metavar="HOST[:PORT]", help="read demands and nodes from this running cluster (port: 6379)"
    )
    parser.add_argument("--prices", metavar="FILE", type=input_file, help="your CSV: instance_type,price_per_hour")
    parser.add_argument("--json", action="store_true", help="print a JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the plan; return 0 where all demands are placed, and 3 where one stays pending."""
    from accel_scaling.plan.prices import read_prices
    from accel_scaling.plan.run import PlanArguments, plan_cluster

    words = PlanArguments([text for texts in args.demand for text in texts], args.gang, args.label, args.address)
    file = read_cluster(args.cluster)
    check_ray(write_note)
    try:
        prices = read_prices(args.prices) if args.prices else None
        cluster, answer = plan_cluster(file.config, None, words)
    # About the arguments or the price file: it has no line in the cluster file.
    except PlanError:
        raise
    except AccelScalingError as error:
        raise file.at_its_line(error) from None
    for note in stale_note(file, cluster.catalog):
        write_note(note)
    if args.json:
        sys.stdout.write(json.dumps(as_json(cluster, answer, prices), indent=2) + "\n")
    else:
        sys.stdout.write(as_text(cluster, answer, prices))
    return STAYS_PENDING if answer.pending else 0


def as_text(cluster: AutoscalerCluster, answer: Plan, prices: Prices | None) -> str:
    """Return the tables of nodes, then what stays pending, the limits and the notes."""
    launched = [row for row in answer.rows if row.launched]
    there = [row for row in answer.rows if not row.launched]
    parts = [_launched(cluster, launched, prices) if launched else bold("nothing to launch")]
    if prices is not None:
        parts[0] += f"\n\n{_total(cluster, [*launched, *there], prices)}"
    if any(row.uses for row in there):
        heads = ("existing", "instance type", "nodes", "for")
        rows = [(row.node_type, row.instance_type, f"{row.count}", uses_text(row)) for row in there]
        parts.append(render(heads, rows, right={2}))
    for title, sentences in (
        ("stays pending", [f"{counted(demand.text, demand.count)}: {demand.reason}" for demand in answer.pending]),
        ("limits", answer.limits),
        ("notes", [*cluster.notes, *answer.notes]),
    ):
        if sentences:
            parts.append("\n".join([bold(title), *(f"  {sentence}" for sentence in sentences)]))
    return "\n\n".join(parts) + "\n"


def as_json(cluster: AutoscalerCluster, answer: Plan, prices: Prices | None) -> dict[str, Any]:
    """Return the documented form (docs/plan.md)."""
    content: dict[str, Any] = {
        "launch": answer.launch,
        "pending": [
            {
                "demand": demand.text,
                "count": demand.count,
                "gang": demand.strategy or None,
                "resources": dict(demand.resources),
                "kind": demand.cause.value,
                "reason": demand.reason,
            }
            for demand in answer.pending
        ],
        "nodes": [_node(cluster, row, prices) for row in answer.rows],
        "limits": list(answer.limits),
        "notes": [*cluster.notes, *answer.notes],
    }
    if prices is not None:
        total, unpriced = _sum(cluster, list(answer.rows), prices)
        content["cost_per_hour"] = None if unpriced else total
        content["without_price"] = unpriced
    return content


def _node(cluster: AutoscalerCluster, row: PlannedNodes, prices: Prices | None) -> dict[str, Any]:
    content: dict[str, Any] = {
        "node_type": row.node_type,
        "instance_type": row.instance_type,
        "count": row.count,
        "launched": row.launched,
        "for": [{"demand": text, "count": count} for text, count in row.uses],
        "for_min_workers": row.for_min_workers,
    }
    if prices is not None:
        content["price_per_hour"] = _price(cluster, row, prices)
    return content


def _launched(cluster: AutoscalerCluster, rows: list[PlannedNodes], prices: Prices | None) -> str:
    heads = ["to launch", "instance type", "nodes", *(["an hour"] if prices is not None else []), "for"]
    cells = [
        (
            row.node_type,
            row.instance_type,
            f"{row.count}",
            *([_cost(cluster, row, prices)] if prices is not None else []),
            uses_text(row),
        )
        for row in rows
    ]
    return render(heads, cells, right={2, 3} if prices is not None else {2})


def _cost(cluster: AutoscalerCluster, row: PlannedNodes, prices: Prices) -> str:
    price = _price(cluster, row, prices)
    return "no price" if price is None else f"{price * row.count:.2f}"


def _total(cluster: AutoscalerCluster, rows: list[PlannedNodes], prices: Prices) -> str:
    total, unpriced = _sum(cluster, rows, prices)
    there = " with the existing nodes" if any(not row.launched for row in rows) else ""
    if not unpriced:
        return f"total: {total:.2f} an hour{there}, by your price list"
    return f"total: {total:.2f} an hour{there}, without what your price list lacks: {', '.join(unpriced)}"


def _sum(cluster: AutoscalerCluster, rows: list[PlannedNodes], prices: Prices) -> tuple[float, list[str]]:
    costs = [(row, _price(cluster, row, prices)) for row in rows]
    unpriced = dict.fromkeys(row.instance_type or row.node_type for row, price in costs if price is None)
    # Sums of floats have digits that no price list has: 0.1 + 0.2 is 0.30000000000000004.
    return round(sum(price * row.count for row, price in costs if price is not None), 6), list(unpriced)


def _price(cluster: AutoscalerCluster, row: PlannedNodes, prices: Prices) -> float | None:
    node_type = cluster.types.get(row.node_type)
    return prices.of(node_type) if node_type is not None else None
