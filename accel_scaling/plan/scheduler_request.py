"""The question to Ray's scheduler: demands in its form, each with the text that a reader knows it by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from accel_scaling import _ray
from accel_scaling.plan.cluster import head_node

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accel_scaling.plan.cluster import Cluster
    from accel_scaling.plan.model import Asked, Demand, Gang


@dataclass
class Question:
    """What is asked of the scheduler, and whose each of its requests is.

    Attributes:
        types: the node types in Ray's form.
        most: the most nodes, the head among them.
        instances: nodes that are there or on their way.
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
        """Return what Ray's scheduler answers.

        Args:
            types: other node types than the file's; they go with ``most``, which is None for no limit then.
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
        """Ask for a demand, too."""
        request = _ray.resource_request(demand.resources, demand.selectors)
        self.requests.append((request, demand.count))
        self.demands.setdefault(_ray.key_of(request), demand)

    def add_gang(self, gang: Gang) -> None:
        """Ask for a placement group, too."""
        name = f"{len(self.gangs)}"
        requests = []
        for bundle in gang.bundles:
            request = _ray.resource_request(bundle.resources, bundle.selectors, (gang.strategy, name))
            self.demands.setdefault(_ray.key_of(request), bundle)
            requests += [request] * bundle.count
        self.keep_gang(_ray.gang_request(requests), name, gang)

    def keep_gang(self, in_ray: Any, name: str, gang: Gang) -> None:
        """Ask for a placement group that is in Ray's form already.

        Args:
            in_ray: the group.
            name: by which its requests tell whose they are, where the strategy is strict.
            gang: the same for readers.
        """
        self.gangs.append(in_ray)
        self.groups.setdefault(_ray.key_of(in_ray), gang)
        self.strict[name] = gang


def question_of(cluster: Cluster, asked: Asked) -> Question:
    """Return the question for a cluster that has just been started: its head is up, and nothing else."""
    question = Question(cluster.in_ray, cluster.max_workers + 1, (head_node(cluster),))
    for demand in asked.demands:
        question.add(demand)
    for gang in asked.gangs:
        question.add_gang(gang)
    return question
