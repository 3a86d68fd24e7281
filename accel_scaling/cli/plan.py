"""`accel-scaling plan`: the nodes that Ray's own scheduler would launch, and why a demand stays pending.

A manifest of KubeRay is planned as its own autoscaler would: a worker group is a node type there.
"""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel_scaling.cli import plan_costs
from accel_scaling.cli.common import write_note
from accel_scaling.cli.plan_existing import existing_json, existing_table
from accel_scaling.cli.plan_groups import ONLY_WHOLE, launched_table, running_table, with_replicas
from accel_scaling.cluster.capacity import CapacityType
from accel_scaling.cluster.capacity_text import in_order, order_words
from accel_scaling.cluster.cluster_file import cluster_in, text_of
from accel_scaling.errors import AccelScalingError, PlanError
from accel_scaling.families.catalog import load_catalog
from accel_scaling.fill.file_notes import file_notes, with_old_fill
from accel_scaling.inputs.file_text import name_of
from accel_scaling.plan.model import counted, uses_text
from accel_scaling.plan.words import MANIFEST
from accel_scaling.requirements import check_ray
from accel_scaling.status_line import doing
from accel_scaling.tables import render
from accel_scaling.terminal import bold, wrapped

if TYPE_CHECKING:
    import argparse

    from accel_scaling.plan.cluster import AutoscalerCluster
    from accel_scaling.plan.model import Plan, PlannedNodes
    from accel_scaling.plan.prices import Prices
    from accel_scaling.plan.run import PlanArguments

HELP = "show the nodes that Ray would launch for given demands, and why a demand stays pending; no network"
EXAMPLES = """examples:
  accel-scaling plan cluster.yaml --demand A100:8x16          16 tasks with 8 A100 each
  accel-scaling plan cluster.yaml --demand T4:0.5x4 CPU:4x100
  accel-scaling plan cluster.yaml --demand H100,A100-80G:8    the first of these types that can be launched
  accel-scaling plan cluster.yaml --gang STRICT_SPREAD A100:8x4 --gang PACK Trainium:2x2
  accel-scaling plan cluster.yaml --demand A100 --label ray.io/market-type=spot --prices prices.csv
  accel-scaling plan cluster.yaml --address 10.0.0.5          the pending demands of a running cluster
  accel-scaling plan raycluster.yaml --demand L4:1x3          a manifest of KubeRay, as its autoscaler reads it
  helm template chart | accel-scaling plan - --name demo --demand L4

exit codes: 0 all demands would be placed, 2 bad input, 3 a demand would stay pending
"""

STAYS_PENDING = 3
PLANNING = "Ray's scheduler is asked"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "cluster",
        metavar="CLUSTER.yaml",
        type=Path,
        help="a Ray cluster file, or a RayCluster, RayJob, RayService or RayCronJob of KubeRay; - for standard input",
    )
    parser.add_argument("--name", metavar="NAME", help="the manifest to plan, where the file has several of KubeRay")
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
    parser.add_argument("--prices", metavar="FILE", type=Path, help="your CSV: instance_type,price_per_hour,...")
    parser.add_argument("--json", action="store_true", help="print a JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the plan; return 0 where all demands are placed, and 3 where one stays pending."""
    from accel_scaling.kuberay.manifest import has_ray_manifest
    from accel_scaling.plan.prices import read_prices
    from accel_scaling.plan.run import PlanArguments

    words = PlanArguments([text for texts in args.demand for text in texts], args.gang, args.label, args.address)
    text = text_of(args.cluster)
    planned = _plan_manifest if has_ray_manifest(text) else _plan_file
    prices = read_prices(args.prices) if args.prices else None
    cluster, answer = planned(args, text, words)
    if args.json:
        sys.stdout.write(json.dumps(as_json(cluster, answer, prices), indent=2) + "\n")
    else:
        sys.stdout.write(as_text(cluster, answer, prices))
    return STAYS_PENDING if answer.pending else 0


def _plan_file(args: argparse.Namespace, text: str, words: PlanArguments) -> tuple[AutoscalerCluster, Plan]:
    from accel_scaling.plan.run import plan_cluster

    file = cluster_in(text, args.cluster)
    if args.name is not None:
        raise PlanError(
            f"--name chooses one of several manifests of KubeRay; {name_of(args.cluster)} is a cluster file"
        )
    check_ray(write_note)
    try:
        with doing(PLANNING):
            cluster, answer = plan_cluster(file.config, None, words)
    # About the arguments: it has no line in the cluster file.
    except PlanError:
        raise
    except AccelScalingError as error:
        raise file.at_its_line(with_old_fill(file, error)) from None
    for note in file_notes(file, cluster.catalog):
        write_note(note)
    return cluster, answer


def _plan_manifest(args: argparse.Namespace, text: str, words: PlanArguments) -> tuple[AutoscalerCluster, Plan]:
    from accel_scaling.plan.manifest import read_manifest
    from accel_scaling.plan.run import plan_manifest

    manifest = read_manifest(text, name_of(args.cluster), args.name)
    check_ray(write_note)
    with doing(PLANNING):
        return plan_manifest(manifest, load_catalog(), words)


def as_text(cluster: AutoscalerCluster, answer: Plan, prices: Prices | None) -> str:
    """Return the tables of nodes, then what stays pending, the limits and the notes."""
    launched = [row for row in answer.rows if row.launched]
    there = [row for row in answer.rows if not row.launched]
    of_groups = cluster.words is MANIFEST
    if of_groups:
        cost = None if prices is None else functools.partial(plan_costs.cell, cluster, prices)
        parts = [launched_table(cluster, answer, cost)]
    else:
        parts = [_launched(cluster, launched, prices) if launched else bold("nothing to launch")]
    if prices is not None:
        parts[0] += f"\n\n{wrapped(plan_costs.total_text(cluster, answer, prices))}"
    if answer.existing is not None:
        parts.insert(0, existing_table(cluster, answer.existing, prices))
    if of_groups and any(row.uses for row in there):
        parts.append(running_table(cluster, there))
    elif any(row.uses for row in there):
        heads = ("existing", "instance type", "nodes", "for")
        rows = [(row.node_type, row.instance_type, f"{row.count}", uses_text(row)) for row in there]
        parts.append(render(heads, rows, right={2}))
    for title, sentences in (
        ("stays pending", [f"{counted(demand.text, demand.count)}: {demand.reason}" for demand in answer.pending]),
        ("limits", answer.limits),
        ("notes", _notes(cluster, answer, prices)),
    ):
        if sentences:
            parts.append("\n".join([bold(title), *(wrapped(f"  {sentence}") for sentence in sentences)]))
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
        "nodes": [_node(cluster, answer, row, prices) for row in answer.rows],
        "limits": list(answer.limits),
        "notes": _notes(cluster, answer, prices),
    }
    if answer.existing is not None:
        content["existing"] = [existing_json(cluster, nodes, prices) for nodes in answer.existing]
    if prices is not None:
        content |= plan_costs.total_json(cluster, answer, prices)
    return content


def _notes(cluster: AutoscalerCluster, answer: Plan, prices: Prices | None) -> list[str]:
    of_costs = []
    if prices is not None:
        of_costs = [ONLY_WHOLE] if cluster.words is MANIFEST else plan_costs.notes(cluster, answer)
    return [*cluster.notes, *answer.notes, *of_costs]


def _node(cluster: AutoscalerCluster, answer: Plan, row: PlannedNodes, prices: Prices | None) -> dict[str, Any]:
    content: dict[str, Any] = {
        "node_type": row.node_type,
        "instance_type": row.instance_type,
        **_other_machines(cluster, row),
        "count": row.count,
        "launched": row.launched,
        "for": [{"demand": text, "count": count} for text, count in row.uses],
        "for_min_workers": row.for_min_workers,
    }
    if cluster.words is MANIFEST:
        content |= with_replicas(cluster, answer, row)
    else:
        content["capacity_types"] = [type_.value for type_ in _capacity_types(cluster, row)]
    if prices is not None:
        content |= plan_costs.node_json(cluster, row, prices)
    return content


def _launched(cluster: AutoscalerCluster, rows: list[PlannedNodes], prices: Prices | None) -> str:
    heads = ["to launch", "instance type", "bought", "nodes", "an hour", "for"]
    cells = [
        [
            row.node_type,
            _machines(cluster, row),
            order_words(_capacity_types(cluster, row)),
            f"{row.count}",
            plan_costs.cell(cluster, prices, row) if prices is not None else "",
            uses_text(row),
        ]
        for row in rows
    ]
    # Where all are bought on demand, as is usual, the column would say nothing.
    ordered = any(row[2] != CapacityType.ON_DEMAND.value for row in cells)
    kept = [
        number for number, name in enumerate(heads) if {"bought": ordered, "an hour": prices is not None}.get(name, 1)
    ]
    shown = [heads[number] for number in kept]
    right = {shown.index(name) for name in ("nodes", "an hour") if name in shown}
    return render(shown, [[row[number] for number in kept] for row in cells], right=right)


def _other_machines(cluster: AutoscalerCluster, row: PlannedNodes) -> dict[str, Any]:
    node_type = cluster.types.get(row.node_type)
    return {"other_instance_types": list(node_type.others)} if node_type and node_type.others else {}


def _machines(cluster: AutoscalerCluster, row: PlannedNodes) -> str:
    """Return the machine type, or those of a list: ``p5e.48xlarge, then p5en.48xlarge``."""
    node_type = cluster.types.get(row.node_type)
    return in_order(node_type.instance_types) if node_type else row.instance_type


def _capacity_types(cluster: AutoscalerCluster, row: PlannedNodes) -> tuple[CapacityType, ...]:
    node_type = cluster.types.get(row.node_type)
    return node_type.capacity_types if node_type else ()
