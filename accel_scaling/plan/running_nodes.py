"""The nodes of a running cluster for its table: what each is, where, how it was bought, and its verdict."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from accel_scaling._ray.facts import LABEL_MARKET_TYPE, LABEL_ZONE
from accel_scaling.boot.verdicts import LABEL_VERDICT
from accel_scaling.plan.model import ExistingNodes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from accel_scaling import _ray
    from accel_scaling.plan.cluster import AutoscalerCluster


def existing_nodes(
    cluster: AutoscalerCluster, nodes: Iterable[_ray.LivingNode], zones: Mapping[str, str]
) -> tuple[ExistingNodes, ...]:
    """Return the nodes, those that are alike in one row; the head first, then by node type.

    Args:
        cluster: the cluster file.
        nodes: of the running cluster.
        zones: of machines, as far as they are known: a node announces its zone where the file names one only.
    """
    counts = Counter((not node.head, _row(cluster, node, zones)) for node in nodes)
    rows = sorted(counts.items(), key=lambda item: item[0])
    return tuple(
        ExistingNodes(node_type, zone, capacity, verdict, count, joined=joined)
        for (_, (node_type, zone, capacity, verdict, joined)), count in rows
    )


def _row(
    cluster: AutoscalerCluster, node: _ray.LivingNode, zones: Mapping[str, str]
) -> tuple[str, str, str, str, bool]:
    known = cluster.types.get(node.node_type)
    # Before it has joined, a node announces nothing: the file says how it is bought.
    capacity = node.labels.get(LABEL_MARKET_TYPE) or (known.labels.get(LABEL_MARKET_TYPE, "") if known else "")
    return (
        node.node_type,
        node.labels.get(LABEL_ZONE) or zones.get(node.machine, ""),
        capacity,
        node.labels.get(LABEL_VERDICT, ""),
        node.joined,
    )
