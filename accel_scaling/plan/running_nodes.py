"""The nodes of a running cluster for its table: what each is, where, how it was bought, and its verdict."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from accel_scaling._ray.facts import LABEL_MARKET_TYPE, LABEL_ZONE
from accel_scaling.boot.verdicts import LABEL_VERDICT
from accel_scaling.cluster.capacity import LABEL_CAPACITY, CapacityType
from accel_scaling.fill.promise import LABEL_INSTANCE_TYPE
from accel_scaling.plan.model import ExistingNodes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from accel_scaling import _ray
    from accel_scaling.plan.cluster import AutoscalerCluster
    from accel_scaling.quarantine.machine import Machine


def existing_nodes(
    cluster: AutoscalerCluster, nodes: Iterable[_ray.LivingNode], records: Mapping[str, Machine]
) -> tuple[ExistingNodes, ...]:
    """Return the nodes, those that are alike in one row; the head first, then by node type.

    Args:
        cluster: the cluster file.
        nodes: of the running cluster.
        records: of machines, as far as they are known: a node announces its zone where the file names one only, and
            nothing before it has joined.
    """
    counts = Counter((not node.head, _row(cluster, node, records)) for node in nodes)
    rows = sorted(counts.items(), key=lambda item: item[0])
    return tuple(
        ExistingNodes(node_type, zone, capacity, verdict, count, joined=joined, instance_type=machine)
        for (_, (node_type, zone, capacity, verdict, joined, machine)), count in rows
    )


def _row(
    cluster: AutoscalerCluster, node: _ray.LivingNode, records: Mapping[str, Machine]
) -> tuple[str, str, str, str, bool, str]:
    record = records.get(node.machine)
    return (
        node.node_type,
        node.labels.get(LABEL_ZONE) or (record.zone if record else ""),
        _capacity_type(cluster, node, record),
        node.labels.get(LABEL_VERDICT, ""),
        node.joined,
        _machine(cluster, node),
    )


def _machine(cluster: AutoscalerCluster, node: _ray.LivingNode) -> str:
    """Return the machine type of a node whose node type has a list of them; empty elsewhere."""
    known = cluster.types.get(node.node_type)
    return node.labels.get(LABEL_INSTANCE_TYPE, "") if known and known.others else ""


def _capacity_type(cluster: AutoscalerCluster, node: _ray.LivingNode, record: Machine | None) -> str:
    """Return how a node was bought: by its own labels, by its machine's record, or as the file buys all of its type."""
    if announced := node.labels.get(LABEL_CAPACITY) or node.labels.get(LABEL_MARKET_TYPE):
        return announced
    word = record.capacity.partition(" ")[0] if record else ""  # the rest names a reservation, or a machine type
    if word in {type_.value for type_ in CapacityType}:
        return word
    known = cluster.types.get(node.node_type)
    # Of several types, nobody knows which one it will be.
    return known.capacity_types[0].value if known and len(known.capacity_types) == 1 and not node.joined else ""
