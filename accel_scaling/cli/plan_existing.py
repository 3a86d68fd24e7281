"""The nodes of a running cluster in the output of `accel-scaling plan --address`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accel_scaling.cli.plan_costs import amount
from accel_scaling.cluster.capacity_text import in_order
from accel_scaling.plan.costs import cost_of_existing
from accel_scaling.tables import render
from accel_scaling.terminal import bold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from accel_scaling.plan.cluster import AutoscalerCluster
    from accel_scaling.plan.model import ExistingNodes
    from accel_scaling.plan.prices import Prices

_NOT_JOINED = "not joined yet"
_NO_CHECK = "none"
_MAY_BE_UNKNOWN = ("instance type", "zone", "bought")  # a column that is empty is left out


def existing_table(cluster: AutoscalerCluster, existing: Sequence[ExistingNodes], prices: Prices | None) -> str:
    """Return a table with a row for all nodes that are alike."""
    if not existing:
        return bold("the cluster has no nodes")
    heads = ["running", "instance type", "zone", "bought", "boot check", "nodes"]
    rows = [
        [
            nodes.node_type,
            _instance_type(cluster, nodes),
            nodes.zone,
            nodes.capacity_type,
            (nodes.verdict or _NO_CHECK) if nodes.joined else _NOT_JOINED,
            f"{nodes.count}",
        ]
        for nodes in existing
    ]
    # A node announces its zone where the file names one only, and a pod has no machine type that anybody knows.
    for column in reversed([heads.index(head) for head in _MAY_BE_UNKNOWN]):
        if not any(row[column] for row in rows):
            for line in (heads, *rows):
                del line[column]
    if prices is not None:
        heads.append("an hour")
        for row, nodes in zip(rows, existing, strict=True):
            row.append(amount(cost_of_existing(cluster, nodes, prices)))
    return render(heads, rows, right={heads.index("nodes"), *([len(heads) - 1] if prices is not None else [])})


def existing_json(cluster: AutoscalerCluster, nodes: ExistingNodes, prices: Prices | None) -> dict[str, Any]:
    """Return the documented form of nodes that are alike; ``price_per_hour`` is that of one."""
    content: dict[str, Any] = {
        "node_type": nodes.node_type,
        "instance_type": _instance_type(cluster, nodes) or None,
        "zone": nodes.zone or None,
        "capacity_type": nodes.capacity_type or None,
        "verdict": nodes.verdict or None,
        "joined": nodes.joined,
        "count": nodes.count,
    }
    if prices is not None:
        content["price_per_hour"] = cost_of_existing(cluster, nodes, prices).first
    return content


def _instance_type(cluster: AutoscalerCluster, nodes: ExistingNodes) -> str:
    node_type = cluster.types.get(nodes.node_type)
    return nodes.instance_type or (in_order(node_type.instance_types) if node_type else "")
