"""The question to Ray's scheduler: demands in its form, each with the text that the user wrote."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from accel_scaling import _ray
from accel_scaling.plan.cluster import head_node

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
            )
        )

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
    """Return the question for a cluster that has just been started: only its head runs."""
    question = Question(cluster.in_ray, cluster.max_workers + 1, (head_node(cluster),))
    for demand in plan_request.demands:
        question.add(demand)
    for gang in plan_request.gangs:
        question.add_gang(gang)
    return question
