"""The tables of a plan for a manifest of KubeRay: groups, their pods and replicas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accel_scaling.plan.model import uses_text
from accel_scaling.tables import render
from accel_scaling.terminal import bold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from accel_scaling.plan.cluster import AutoscalerCluster, AutoscalerNodeType
    from accel_scaling.plan.model import Plan, PlannedNodes

ONLY_WHOLE = (
    "a price is counted only where the selectors name one machine type, and a pod has more than half of such a machine"
)


def launched_table(cluster: AutoscalerCluster, answer: Plan, cost: Callable[[PlannedNodes], str] | None = None) -> str:
    """Return the table of the pods that are launched.

    Args:
        cluster: the manifest.
        answer: its plan.
        cost: the cell of a row's price; None for no such column.
    """
    rows = [row for row in answer.rows if row.launched]
    if not rows:
        return bold("nothing to launch")
    heads = ["to launch", "a pod has", "pods", "replicas", *(["an hour"] if cost else []), "for"]
    cells = []
    for row in rows:
        before, after = replicas(cluster, answer, row)
        prices = [cost(row)] if cost else []
        pod = _pod_text(cluster, row)
        cells.append((row.node_type, pod, f"{row.count}", f"{before} to {after}", *prices, uses_text(row)))
    return render(heads, cells, right={2, 4} if cost else {2})


def running_table(cluster: AutoscalerCluster, rows: Iterable[PlannedNodes]) -> str:
    """Return the table of the pods that run already."""
    cells = [(row.node_type, _pod_text(cluster, row), f"{row.count}", uses_text(row)) for row in rows]
    return render(("running", "a pod has", "pods", "for"), cells, right={2})


def replicas(cluster: AutoscalerCluster, answer: Plan, row: PlannedNodes) -> tuple[int, int]:
    """Return the group's ``replicas`` before and after, as Ray's autoscaler writes them into the RayCluster."""
    hosts = cluster.types[row.node_type].hosts if row.node_type in cluster.types else 1
    running = sum(each.count for each in answer.rows if each.node_type == row.node_type and not each.launched)
    return running // hosts, (running + row.count) // hosts


def with_replicas(cluster: AutoscalerCluster, answer: Plan, row: PlannedNodes) -> dict[str, Any]:
    """Return what the JSON of a launched row has besides that of a cluster file."""
    return {"replicas": replicas(cluster, answer, row)[1]} if row.launched else {}


def _pod_text(cluster: AutoscalerCluster, row: PlannedNodes) -> str:
    node_type: AutoscalerNodeType | None = cluster.types.get(row.node_type)
    if node_type is None:
        return ""
    names = cluster.accelerators.resources()
    devices = [f"{name} {value:g}" for name, value in node_type.resources.items() if name in names and value]
    kinds = [node_type.types[-1]] if node_type.types and devices else []
    return " ".join([*devices, *kinds]) or f"CPU {node_type.resources.get('CPU', 0):g}"
