"""The question to Ray's scheduler: demands in its form; asked again without a limit, it shows what the limit keeps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from accel_scaling import _ray
from accel_scaling.plan.cluster import head_node
from accel_scaling.plan.model import PendingCause

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accel_scaling.plan.cluster import AutoscalerCluster
    from accel_scaling.plan.model import Demand, Gang, PlanRequest


@dataclass
class Question:
    """The input of the scheduler, and the demand behind each of its requests.

    Attributes:
        types: the node types in Ray's form.
        most: the most nodes, with the head.
        instances: nodes that exist or are being launched.
        requests: Ray's requests with their counts.
        gangs: Ray's placement groups.
        constraints: what `request_resources` asked for.
        demands: the demand behind a request, by its key.
        groups: the placement group behind one of Ray's, by its key.
        strict: the strict placement group behind a request, by the group's name.
        spared: the Ray resources of accelerators that the autoscaler spares from demands without them.
    """

    types: Mapping[str, Any]
    most: int | None
    instances: tuple[Any, ...]
    requests: list[tuple[Any, int]] = field(default_factory=list)
    gangs: list[Any] = field(default_factory=list)
    constraints: tuple[Any, ...] = ()
    demands: dict[bytes, Demand] = field(default_factory=dict)
    groups: dict[bytes, Gang] = field(default_factory=dict)
    strict: dict[str, Gang] = field(default_factory=dict)
    spared: frozenset[str] = frozenset()

    def answer(self, *, types: Mapping[str, Any] | None = None, most: int | None = None) -> _ray.Scheduled:
        """Return the reply of Ray's scheduler.

        Args:
            types: node types instead of the file's; then ``most`` applies too, where None is no limit.
            most: the most nodes.
        """
        return _ray.schedule(
            _ray.scheduling_request(
                self.types if types is None else types,
                self.most if types is None else most,
                self.requests,
                gangs=self.gangs,
                instances=self.instances,
                constraints=self.constraints,
            ),
            self.spared,
        )

    def text(self, request: Any) -> str:
        """Return the demand behind a request of Ray's, in the form of the command line."""
        read = _ray.read_request(request)
        # Ray combines the bundles of such a group into one request (combine_requests_with_affinity), of no demand.
        if read.strategy == "STRICT_PACK":
            return f"({self.strict[read.group].text})"
        return self.demands[_ray.key_of(request)].text

    def add(self, demand: Demand) -> None:
        """Add a demand."""
        request = _ray.resource_request(demand.resources, demand.selectors)
        self.requests.append((request, demand.count))
        self.demands.setdefault(_ray.key_of(request), demand)

    def add_gang(self, gang: Gang) -> None:
        """Add a placement group."""
        name = f"{len(self.gangs)}"
        requests = []
        for bundle in gang.bundles:
            request = _ray.resource_request(bundle.resources, bundle.selectors, (gang.strategy, name))
            self.demands.setdefault(_ray.key_of(request), bundle)
            requests += [request] * bundle.count
        self.keep_gang(_ray.gang_request(requests), name, gang)

    def keep_gang(self, in_ray: Any, name: str, gang: Gang) -> None:
        """Add a placement group that is in Ray's form already.

        Args:
            in_ray: the group.
            name: its name in its requests, where the strategy is strict.
            gang: the same in our form.
        """
        self.gangs.append(in_ray)
        self.groups.setdefault(_ray.key_of(in_ray), gang)
        self.strict[name] = gang


def question_of(cluster: AutoscalerCluster, plan_request: PlanRequest) -> Question:
    """Return the question for a cluster that has just been started: its head runs, and the replicas of a manifest."""
    question = Question(
        cluster.in_ray, cluster.max_workers + 1, (head_node(cluster), *cluster.running), spared=cluster.spared
    )
    for demand in plan_request.demands:
        question.add(demand)
    for gang in plan_request.gangs:
        question.add_gang(gang)
    return question


# Far above the nodes of a plan: a demand has at most 50,000 tasks (demands.MOST).
NO_LIMIT = 1_000_000


class Limits:
    """The scheduler's replies without some of the limits; each is asked for once, when it is needed.

    Args:
        cluster: the cluster file.
        question: the plan's question to the scheduler.

    Attributes:
        bitten: the limits that keep something pending, as far as they were asked for.
    """

    def __init__(self, cluster: AutoscalerCluster, question: Question) -> None:
        self._cluster, self._question = cluster, question
        self._answers: dict[tuple[bool, bool], Any] = {}
        self.bitten: set[PendingCause] = set()

    def without(self, *, of_types: bool = False, of_cluster: bool = False) -> _ray.Scheduled:
        """Return Ray's reply without max_workers of the node types, or of the cluster."""
        key = (of_types, of_cluster)
        # Ray's scheduler is asked once for each pair of limits: for a large plan one answer takes seconds.
        if key not in self._answers:
            # Ray gives a node type without max_workers the cluster's: without that limit, it has none either.
            lifted = [
                node_type.name
                for node_type in self._cluster.types.values()
                # With 0 the user has closed the node type: that is NeverLaunched, and not a limit that was reached.
                if node_type.max_workers > 0
                and not node_type.quarantined
                and (of_types or (of_cluster and not node_type.limited and not node_type.is_head))
            ]
            self._answers[key] = self._question.answer(
                types=_ray.with_most(self._question.types, lifted, NO_LIMIT),
                most=None if of_cluster else self._question.most,
            )
        scheduled: _ray.Scheduled = self._answers[key]
        return scheduled

    def biting(self, pending: bytes, before: int) -> list[tuple[tuple[PendingCause, ...], int]]:
        """Return the limits that keep a demand pending, each with the number that it keeps; empty where none does.

        Where lifting one of the two limits alone places nothing more, both keep it.

        Args:
            pending: the demand's or the placement group's key.
            before: how many stay pending with all limits.
        """
        # What stays pending without any limit fits nowhere, and no limit keeps it.
        kept = before - _count(self.without(of_types=True, of_cluster=True), pending)
        of_cluster = min(kept, before - _count(self.without(of_cluster=True), pending))
        of_types = min(kept, before - _count(self.without(of_types=True), pending))
        if kept <= 0:
            return []
        # Other nodes may be given to other demands first: without a limit even more of this one may stay pending.
        of_cluster, both = max(of_cluster, 0), of_cluster <= 0 and of_types <= 0
        counts: list[tuple[tuple[PendingCause, ...], int]] = [
            ((PendingCause.MAX_WORKERS,), of_cluster),
            (
                (PendingCause.MAX_WORKERS, PendingCause.MAX_WORKERS_OF_TYPE)
                if both
                else (PendingCause.MAX_WORKERS_OF_TYPE,),
                kept - of_cluster,
            ),
        ]
        biting = [(causes, count) for causes, count in counts if count > 0]
        self.bitten.update(cause for causes, _ in biting for cause in causes)
        return biting

    def exceeded(self) -> list[tuple[str, int, int]]:
        """Return the node types that would exceed their max_workers: name, number of nodes, limit."""
        counts: dict[str, int] = {}
        for node in self.without(of_types=True, of_cluster=True).nodes:
            counts[node.node_type] = counts.get(node.node_type, 0) + 1
        types = self._cluster.types
        return [
            (name, count - types[name].is_head, types[name].max_workers)
            for name, count in counts.items()
            if name in types and count - types[name].is_head > types[name].max_workers
        ]

    def workers_wanted(self) -> int:
        """Return the number of workers without the cluster's max_workers, and if needed without the node types'."""
        workers = len(self.without(of_cluster=True).nodes) - 1
        if workers > self._cluster.max_workers:
            return workers
        return len(self.without(of_types=True, of_cluster=True).nodes) - 1


def _count(scheduled: _ray.Scheduled, key: bytes) -> int:
    return sum(_ray.key_of(request) == key for request in (*scheduled.pending, *scheduled.pending_gangs))
