"""Which limit keeps a demand from being placed: found by asking Ray's scheduler again without it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accel_scaling import _ray
from accel_scaling.plan.model import Kind

if TYPE_CHECKING:
    from accel_scaling.plan.cluster import Cluster
    from accel_scaling.plan.scheduler_request import Question

NO_LIMIT = 1_000_000


class Limits:
    """What would be placed if there were no limits, or fewer; each is asked for once, where somebody wants to know.

    Args:
        cluster: the cluster file.
        question: what was asked.

    Attributes:
        bitten: the limits that were found to keep something pending.
    """

    def __init__(self, cluster: Cluster, question: Question) -> None:
        self._cluster, self._question = cluster, question
        self._answers: dict[tuple[bool, bool], Any] = {}
        self.bitten: set[Kind] = set()

    def without(self, *, of_types: bool = False, of_cluster: bool = False) -> _ray.Scheduled:
        """Return what Ray answers without max_workers of the node types, or of the cluster."""
        key = (of_types, of_cluster)
        if key not in self._answers:
            lifted = [
                one.name
                for one in self._cluster.types.values()
                if one.max_workers > 0 and (of_types or (of_cluster and not one.limited and not one.is_head))
            ]
            self._answers[key] = self._question.answer(
                types=_ray.with_most(self._question.types, lifted, NO_LIMIT),
                most=None if of_cluster else self._question.most,
            )
        found: _ray.Scheduled = self._answers[key]
        return found

    def biting(self, pending: bytes, before: int) -> list[tuple[tuple[Kind, ...], int]]:
        """Return the limits that keep a demand pending, each with how many it keeps; none where it is none of them.

        Where lifting one of the two limits alone places nothing more, both keep it.

        Args:
            pending: the demand's or the placement group's key.
            before: how many stay pending with all limits.
        """
        kept = before - _count(self.without(of_types=True, of_cluster=True), pending)
        of_cluster = min(kept, before - _count(self.without(of_cluster=True), pending))
        of_types = min(kept, before - _count(self.without(of_types=True), pending))
        if kept <= 0:
            return []
        of_cluster, both = max(of_cluster, 0), of_cluster <= 0 and of_types <= 0
        found: list[tuple[tuple[Kind, ...], int]] = [
            ((Kind.MAX_WORKERS,), of_cluster),
            ((Kind.MAX_WORKERS, Kind.MAX_WORKERS_OF_TYPE) if both else (Kind.MAX_WORKERS_OF_TYPE,), kept - of_cluster),
        ]
        biting = [(kinds, count) for kinds, count in found if count > 0]
        self.bitten.update(kind for kinds, _ in biting for kind in kinds)
        return biting

    def exceeded(self) -> list[tuple[str, int, int]]:
        """Return the node types that would be more than their max_workers: name, how many they would be, the limit."""
        wanted: dict[str, int] = {}
        for node in self.without(of_types=True, of_cluster=True).nodes:
            wanted[node.node_type] = wanted.get(node.node_type, 0) + 1
        types = self._cluster.types
        return [
            (name, count - types[name].is_head, types[name].max_workers)
            for name, count in wanted.items()
            if name in types and count - types[name].is_head > types[name].max_workers
        ]

    def workers_wanted(self) -> int:
        """Return how many workers there would be without the cluster's max_workers, and the types' if need be."""
        wanted = len(self.without(of_cluster=True).nodes) - 1
        if wanted > self._cluster.max_workers:
            return wanted
        return len(self.without(of_types=True, of_cluster=True).nodes) - 1


def _count(found: _ray.Scheduled, key: bytes) -> int:
    return sum(_ray.key_of(each) == key for each in (*found.pending, *found.pending_gangs))
