"""Groups of several hosts: KubeRay starts whole replicas, and Ray's scheduler counts single pods."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from accel_scaling.plan.model import Pending, PendingCause

if TYPE_CHECKING:
    from accel_scaling import _ray
    from accel_scaling.plan.cluster import AutoscalerCluster
    from accel_scaling.plan.scheduler_request import Question


def in_whole_replicas(
    cluster: AutoscalerCluster, question: Question, scheduled: _ray.Scheduled
) -> tuple[_ray.Scheduled, list[Pending]]:
    """Return the schedule without pods that are no whole replica, and the demands that were placed on these.

    Ray's provider for KubeRay divides the pods that a group is to have by its numOfHosts, and drops the rest: one pod
    of a group of four hosts changes nothing, and its demand waits for ever (cloud_provider.py, _submit_scale_request).

    Args:
        cluster: the manifest; a cluster file has no such groups.
        question: what Ray's scheduler was asked.
        scheduled: its reply.
    """
    kept, pending = list(scheduled.nodes), []
    for node_type in cluster.types.values():
        nodes = [node for node in kept if node.node_type == node_type.name]
        launched = [node for node in nodes if node.launched]
        rest = min(len(nodes) % node_type.hosts, len(launched))
        if not rest:
            continue
        # The last ones: the scheduler put demands on the first ones before it asked for these.
        dropped = launched[-rest:]
        numbers = {id(node) for node in dropped}
        kept = [node for node in kept if id(node) not in numbers]
        requests = {id(request): request for node in dropped for request in node.requests}
        counts = Counter(id(request) for node in dropped for request in node.requests)
        pods = f"{len(launched)} pod{'s' if len(launched) > 1 else ''}"
        reason = (
            f"{node_type.title} starts whole replicas of {node_type.hosts} pods; Ray's autoscaler asks for {pods}, and "
            "its provider for KubeRay leaves out what is no whole replica; ask for all pods of a replica at once, in "
            f"a placement group of {node_type.hosts} bundles (--gang STRICT_SPREAD)"
        )
        for number, count in counts.items():
            resources = _resources(question, requests[number])
            text = question.text(requests[number])
            pending.append(Pending(text, count, resources, "", PendingCause.PART_OF_A_REPLICA, reason))
    return scheduled._replace(nodes=tuple(kept)), pending


def _resources(question: Question, request: object) -> dict[str, float]:
    from accel_scaling import _ray

    demand = question.demands.get(_ray.key_of(request))
    return dict(demand.resources if demand else _ray.read_request(request).resources)
