"""The cost of a plan's nodes: by the first capacity type of each node type, and by the dearest of its order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from accel_scaling.cluster.capacity import CapacityType
from accel_scaling.plan.prices import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from accel_scaling.plan.cluster import AutoscalerCluster, AutoscalerNodeType
    from accel_scaling.plan.model import ExistingNodes, Plan, PlannedNodes
    from accel_scaling.plan.prices import Prices

_DIGITS = 6  # sums of floats have digits that no price list has: 0.1 + 0.2 is 0.30000000000000004


class Price(NamedTuple):
    """The price of an hour of a machine.

    Attributes:
        machine: its machine type, or its node type where none is known.
        column: of the price list.
        amount: in the list's own currency; None where the list has none.
    """

    machine: str
    column: str = ""
    amount: float | None = None


@dataclass(frozen=True)
class NodesCost:
    """The prices of nodes that are alike.

    Attributes:
        name: their machine type, or their node type where none is known.
        count: how many nodes.
        prices: of an hour of one node, for each way in which it may be bought, the first to be tried first.
    """

    name: str
    count: int
    prices: tuple[Price, ...]

    @property
    def first(self) -> float | None:
        """The price of one node that is bought in the first way."""
        return self.prices[0].amount

    @property
    def highest(self) -> float | None:
        """The price of one node that is bought in the dearest way; None where a price is missing."""
        known = [price.amount for price in self.prices if price.amount is not None]
        return max(known) if len(known) == len(self.prices) else None


@dataclass(frozen=True)
class Total:
    """The sum of an hour.

    Attributes:
        first: of all nodes, each bought in the first way of its node type; missing prices count for nothing.
        highest: the same, each bought in the dearest way.
        missing: the machine types whose prices the list lacks, by the column that would have them.
        known: for at least one kind of node, the first price is there.
        complete: every first price is there.
    """

    first: float
    highest: float
    missing: dict[str, list[str]]
    known: bool
    complete: bool

    @property
    def without_price(self) -> list[str]:
        """The machine types that lack a price."""
        return list(dict.fromkeys(name for names in self.missing.values() for name in names))


def cost_of(cluster: AutoscalerCluster, row: PlannedNodes, prices: Prices) -> NodesCost:
    """Return the prices of a row of a plan."""
    node_type, name = cluster.types.get(row.node_type), row.instance_type or row.node_type
    if node_type is None:
        return NodesCost(name, row.count, (Price(name),))
    return NodesCost(name, row.count, _prices(node_type, node_type.instance_types, node_type.capacity_types, prices))


def cost_of_existing(cluster: AutoscalerCluster, nodes: ExistingNodes, prices: Prices) -> NodesCost:
    """Return the price of running nodes: they have been bought in one way."""
    node_type = cluster.types.get(nodes.node_type)
    if node_type is None:
        return NodesCost(nodes.node_type, nodes.count, (Price(nodes.node_type),))
    words = {type_.value: type_ for type_ in CapacityType}
    types = (words[nodes.capacity_type],) if nodes.capacity_type in words else node_type.capacity_types
    machines = (nodes.instance_type,) if nodes.instance_type else node_type.instance_types
    name = nodes.instance_type or node_type.instance_type or nodes.node_type
    return NodesCost(name, nodes.count, _prices(node_type, machines, types, prices))


def total(cluster: AutoscalerCluster, answer: Plan, prices: Prices) -> Total:
    """Return what all nodes of a plan cost: those that are launched, and those that exist."""
    launched = [cost_of(cluster, row, prices) for row in answer.rows if row.launched]
    if answer.existing is not None:
        there = [cost_of_existing(cluster, nodes, prices) for nodes in answer.existing]
    else:
        there = [cost_of(cluster, row, prices) for row in answer.rows if not row.launched]
    return _total([*launched, *there])


def paid_anyway(cluster: AutoscalerCluster, rows: Iterable[PlannedNodes]) -> list[str]:
    """Return the launched node types that take machines of a reservation, which costs the same without them."""
    owned = {CapacityType.RESERVED, CapacityType.BLOCK}
    return [
        row.node_type
        for row in rows
        if row.launched and row.node_type in cluster.types and owned & {*cluster.types[row.node_type].capacity_types}
    ]


def _prices(
    node_type: AutoscalerNodeType, machines: Sequence[str], types: Sequence[CapacityType], prices: Prices
) -> tuple[Price, ...]:
    """Return the prices of a node, in the order in which it is tried: each capacity type with each machine type."""
    return tuple(
        Price(machine or node_type.name, COLUMNS[type_], prices.of(node_type, machine, type_))
        for type_ in types
        for machine in machines
    )


def _total(costs: Sequence[NodesCost]) -> Total:
    missing: dict[str, list[str]] = {}
    for cost in costs:
        for price in cost.prices:
            if price.amount is None and price.machine not in missing.get(price.column, []):
                missing.setdefault(price.column, []).append(price.machine)
    firsts = [cost.first * cost.count for cost in costs if cost.first is not None]
    highest = [max(price.amount or 0.0 for price in cost.prices) * cost.count for cost in costs]
    return Total(
        round(sum(firsts), _DIGITS), round(sum(highest), _DIGITS), missing, bool(firsts), len(firsts) == len(costs)
    )
