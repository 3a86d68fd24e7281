"""The cost of a plan in the output of `accel-scaling plan --prices`: a column, the total, a note, and the JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accel_scaling.plan.costs import cost_of, paid_anyway, total

if TYPE_CHECKING:
    from accel_scaling.plan.cluster import AutoscalerCluster
    from accel_scaling.plan.costs import NodesCost, Total
    from accel_scaling.plan.model import Plan, PlannedNodes
    from accel_scaling.plan.prices import Prices

_NO_PRICE = "no price"


def cell(cluster: AutoscalerCluster, prices: Prices, row: PlannedNodes) -> str:
    """Return the cell of a row: the cost of its nodes, or a range where they may be bought in several ways."""
    return amount(cost_of(cluster, row, prices))


def amount(cost: NodesCost) -> str:
    """Return the cost of nodes that are alike, as text."""
    if cost.first is None:
        return _NO_PRICE
    first = f"{cost.first * cost.count:.2f}"
    if cost.highest is None or cost.highest == cost.first:
        return first
    return f"{first} to {cost.highest * cost.count:.2f}"


def total_text(cluster: AutoscalerCluster, answer: Plan, prices: Prices) -> str:
    """Return the sum, and the names and columns of the prices that the list lacks: they count for nothing."""
    costs = total(cluster, answer, prices)
    lacks = " and ".join(f"{column or 'the price'} of {', '.join(names)}" for column, names in costs.missing.items())
    if not costs.known:
        return f"total: not known: your price list lacks {lacks}"
    there = " with the existing nodes" if any(not row.launched for row in answer.rows) else ""
    source = f", without these prices, which your list lacks: {lacks}" if lacks else ", from your price list"
    return f"total: {costs.first:.2f} an hour{there}{_range(costs)}{source}"


def _range(costs: Total) -> str:
    if costs.highest == costs.first:
        return ""
    return f" if the first choice of each node type has room; up to {costs.highest:.2f} if not"


def notes(cluster: AutoscalerCluster, answer: Plan) -> list[str]:
    """Return the note about reservations, whose machines cost the same when nobody launches them."""
    names = paid_anyway(cluster, answer.rows)
    if not names:
        return []
    note = (
        f"{', '.join(names)}: a reservation or block costs the same whether its machines run or not; the price of one "
        "that is taken from it is a part of that, and nothing more"
    )
    return [note]


def node_json(cluster: AutoscalerCluster, row: PlannedNodes, prices: Prices) -> dict[str, Any]:
    """Return what the JSON of a row has with prices; both are of one node."""
    cost = cost_of(cluster, row, prices)
    return {"price_per_hour": cost.first, "highest_price_per_hour": cost.highest}


def total_json(cluster: AutoscalerCluster, answer: Plan, prices: Prices) -> dict[str, Any]:
    """Return what the whole JSON has with prices."""
    costs = total(cluster, answer, prices)
    return {
        "cost_per_hour": costs.first if costs.complete else None,
        "highest_cost_per_hour": None if costs.missing else costs.highest,
        "without_price": costs.without_price,
    }
