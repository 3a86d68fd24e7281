"""Turns the scheduler's reply into the plan: its nodes, and the cause of each pending demand."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from accel_scaling import _ray
from accel_scaling.plan.demands import total_resources
from accel_scaling.plan.model import Demand, Gang, Pending, PendingCause, Plan, PlannedNodes
from accel_scaling.plan.nearest_miss import nearest_miss, requirement_of, requirement_text
from accel_scaling.plan.notes import notes_of
from accel_scaling.plan.replicas import in_whole_replicas
from accel_scaling.plan.scheduler_request import Limits
from accel_scaling.plan.suggestions import who_takes
from accel_scaling.plan.words import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from accel_scaling.plan.cluster import AutoscalerCluster, AutoscalerNodeType
    from accel_scaling.plan.scheduler_request import Question

# Causes for which another machine type would not help.
_OFFERED = {
    PendingCause.QUARANTINED,
    PendingCause.NEVER_LAUNCHED,
    PendingCause.NOT_PROMISED,
    PendingCause.NO_SUCH_LABEL,
    PendingCause.OVER_SEVERAL_HOSTS,
}


def make_plan(cluster: AutoscalerCluster, question: Question) -> Plan:
    """Return the plan.

    Args:
        cluster: the cluster file.
        question: as ``scheduler_request.question_of`` or ``live_cluster.question_of`` returns it.
    """
    scheduled, in_part = in_whole_replicas(cluster, question, question.answer())
    limits = Limits(cluster, question)
    rows = _rows(cluster, question, scheduled)
    pending = [
        part
        for key, count in _keys(scheduled.pending)
        for part in _pending_demand(cluster, question, limits, key, count)
    ]
    pending += [_pending_gang(cluster, question, limits, key, count) for key, count in _keys(scheduled.pending_gangs)]
    pending += in_part
    notes = notes_of(cluster, question, scheduled, rows)
    return Plan(tuple(rows), tuple(pending), tuple(_limits(cluster, limits)), tuple(notes))


def _rows(cluster: AutoscalerCluster, question: Question, scheduled: _ray.Scheduled) -> list[PlannedNodes]:
    rows = []
    texts = {number: question.text(request) for number, request in scheduled.requests().items()}
    for launched in (True, False):
        names = dict.fromkeys(node.node_type for node in scheduled.nodes if node.launched == launched)
        for name in sorted(names, key=lambda name_: list(question.types).index(name_)):
            nodes = [node for node in scheduled.nodes if (node.node_type, node.launched) == (name, launched)]
            uses = Counter(texts[id(request)] for node in nodes for request in node.requests)
            node_type = cluster.types.get(name)
            rows.append(
                PlannedNodes(
                    node_type=name,
                    instance_type=node_type.instance_type if node_type else "",
                    count=len(nodes),
                    launched=launched,
                    uses=tuple(uses.items()),
                    for_min_workers=sum(not node.requests for node in nodes) if launched else 0,
                )
            )
    return rows


def _keys(requests: Iterable[Any]) -> list[tuple[bytes, int]]:
    return list(Counter(_ray.key_of(request) for request in requests).items())


def _pending_demand(
    cluster: AutoscalerCluster, question: Question, limits: Limits, key: bytes, count: int
) -> list[Pending]:
    """Return the pending part of a demand: what a limit keeps, and what fits nowhere."""
    demand = question.demands[key]
    pending = []
    for causes, kept in limits.biting(key, count):
        reason = f"waits until other work ends: {_limits_text(cluster, limits, causes, _fitting(question, [demand]))}"
        pending.append(Pending(demand.text, kept, demand.resources, "", causes[0], reason))
    # What no limit keeps fits no node type, however many nodes of it there were.
    never = count - sum(part.count for part in pending)
    if never:  # not because of a limit
        pending.append(Pending(demand.text, never, demand.resources, "", *_never(cluster, demand)))
    return pending


def _pending_gang(cluster: AutoscalerCluster, question: Question, limits: Limits, key: bytes, count: int) -> Pending:
    gang = question.groups[key]
    bitten = limits.biting(key, count)
    if bitten:
        # A group waits as a whole: the first limit that keeps it is named for all of it.
        causes = bitten[0][0]
        limits_text = _limits_text(cluster, limits, causes, _fitting(question, gang.bundles))
        cause, reason = causes[0], f"the whole group waits: {limits_text}"
    else:
        cause, reason = _never_gang(cluster, question, gang)
    return Pending(gang.text, count, total_resources(gang.bundles), gang.strategy, cause, reason)


def _never_gang(cluster: AutoscalerCluster, question: Question, gang: Gang) -> tuple[PendingCause, str]:
    # A bundle that fits no node type keeps the whole group, whatever the others need.
    for bundle in gang.bundles:
        request = _ray.resource_request(bundle.resources, bundle.selectors)
        if not any(_ray.fits(question.types[name], request) for name in _launchable(cluster, question)):
            cause, reason = _never(cluster, bundle)
            return cause, f"bundle {bundle.text} {reason}"
    if gang.strategy == "STRICT_PACK":
        whole = Demand(gang.text, 1, total_resources(gang.bundles), gang.bundles[0].selectors)
        _, reason = _never(cluster, whole)
        return PendingCause.GROUP_TOO_BIG, f"all bundles on one node: {reason}"
    return (
        PendingCause.GROUP_TOO_BIG,
        f"each bundle fits a {cluster.words.node_type}, but Ray's scheduler does not place them all together",
    )


def _launchable(cluster: AutoscalerCluster, question: Question) -> list[str]:
    """Return the node types that the plan may launch, the head's, and those of running nodes that the file has not."""
    types = cluster.types
    return [name for name in question.types if name not in types or _may_launch(types[name])]


def _may_launch(node_type: AutoscalerNodeType) -> bool:
    return node_type.is_head or (node_type.max_workers > 0 and not node_type.quarantined)


def _never(cluster: AutoscalerCluster, demand: Demand) -> tuple[PendingCause, str]:
    miss = nearest_miss(demand, list(cluster.types.values()), cluster.accelerators)
    words = [f"asks {requirement_text(demand, cluster.accelerators)}", miss.sentence]
    if miss.cause not in _OFFERED:
        machines = [node_type.instance_type for node_type in cluster.types.values() if not node_type.is_head]
        if miss.cause is not PendingCause.NO_SUCH_ACCELERATOR:
            words.append(f"no {cluster.words.node_type} of the {cluster.words.file} has it")
        if cluster.cloud:
            requirement = requirement_of(demand, cluster.accelerators)
            words.append(who_takes(requirement, cluster.cloud, cluster.catalog, machines))
    return miss.cause, "; ".join(words)


def _fitting(question: Question, demands: Iterable[Demand]) -> frozenset[str]:
    """Return the node types that fit one of the demands: other node types' limits do not matter to them."""
    requests = [_ray.resource_request(demand.resources, demand.selectors) for demand in demands]
    return frozenset(
        name for name, node_type in question.types.items() if any(_ray.fits(node_type, demand) for demand in requests)
    )


def _limits_text(
    cluster: AutoscalerCluster, limits: Limits, causes: Iterable[PendingCause], node_types: frozenset[str] | None = None
) -> str:
    """Return the limits as text: those of these node types; or all, with the number of nodes without them."""
    of_types = limits.exceeded() if PendingCause.MAX_WORKERS_OF_TYPE in causes else []
    parts = [
        (cluster.types[name].limit, math.ceil(many / cluster.types[name].hosts))
        for name, many, _ in of_types
        if node_types is None or name in node_types
    ]
    if (PendingCause.MAX_WORKERS in causes or not parts) and cluster.words is not MANIFEST:
        parts.insert(0, (f"max_workers of the cluster is {cluster.max_workers}", limits.workers_wanted()))
    return "; ".join(limit + (f", and {many} would be needed" if node_types is None else "") for limit, many in parts)


def _limits(cluster: AutoscalerCluster, limits: Limits) -> list[str]:
    return [
        _limits_text(cluster, limits, (cause,))
        for cause in (PendingCause.MAX_WORKERS, PendingCause.MAX_WORKERS_OF_TYPE)
        if cause in limits.bitten
    ]
