"""A plan for people, as tables and sentences, and for programs, as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accel_scaling.plan.answer import uses_text
from accel_scaling.plan.model import counted
from accel_scaling.text_table import bold, render

if TYPE_CHECKING:
    from accel_scaling.plan.cluster import AutoscalerCluster
    from accel_scaling.plan.model import Plan, PlannedNodes
    from accel_scaling.plan.prices import Prices


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
    return round(sum(price * row.count for row, price in costs if price is not None), 6), list(unpriced)


def _price(cluster: AutoscalerCluster, row: PlannedNodes, prices: Prices) -> float | None:
    node_type = cluster.types.get(row.node_type)
    return prices.of(node_type) if node_type is not None else None
