"""Ray's rule that spares GPU nodes from demands without a GPU, for the nodes of every family of accelerators.

Both autoscalers launch the node type with the best score, and a GPU node without a demand for a GPU scores below all
others (``AUTOSCALER_CONSERVE_GPU_NODES``). Ray knows the resource ``GPU`` only, so a task that asks for CPUs alone
is given a Trainium, Gaudi or TPU machine where that fits it more tightly (ray/autoscaler/v2/scheduler.py has a TODO).

Here the same place of the score is lowered for the same reason. A score orders node types and forbids none: where only
accelerator nodes can take a demand, one of them still does.

v1 takes another scorer by name, through an environment variable of its own. v2 has no such place yet (another TODO):
its method is wrapped, in the process of the autoscaler, and in the copy of the module that plans use.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

from accel_scaling._ray.facts import ACCELERATOR_TYPE_PREFIX, tpu_head_pod_type

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

V1_SCORER_VARIABLE = "RAY_AUTOSCALER_UTILIZATION_SCORER"

_V1_SCORER = f"{__name__}.v1_score"
# The place in a score that says whether the node is not spared, from its end: three for how full it gets come after it,
# and in v2 the label selector's before it.
_SPARED_PLACE = -4

_spared: frozenset[str] = frozenset()


def spare_accelerators(resources: Collection[str]) -> None:
    """Have the autoscaler of this process launch nodes with these Ray resources last for demands without them.

    Called before v1's autoscaler makes its scheduler, which is when it makes its node provider. A scorer that the user
    has put into v1's variable stays.

    Args:
        resources: the Ray resources of accelerators; none puts Ray's own rule back.
    """
    global _spared  # noqa: PLW0603 - one autoscaler in a process, whose modules are as global
    _spared = frozenset(resources)
    if _spared:
        os.environ.setdefault(V1_SCORER_VARIABLE, _V1_SCORER)
        from ray.autoscaler.v2.scheduler import SchedulingNode

        wrap_v2(SchedulingNode)
    elif os.environ.get(V1_SCORER_VARIABLE) == _V1_SCORER:
        del os.environ[V1_SCORER_VARIABLE]


@contextlib.contextmanager
def sparing(resources: Collection[str]) -> Iterator[None]:
    """Spare nodes with these Ray resources within a block, for the scheduler of plans."""
    global _spared  # noqa: PLW0603 - as above
    before, _spared = _spared, frozenset(resources)
    try:
        yield
    finally:
        _spared = before


def asks_for_none(resources: Collection[str], demands: Iterable[Mapping[str, float]]) -> bool:
    """Return whether no demand asks for one of these accelerators, by its resource, its type, or a whole TPU slice."""
    return not any(
        amount > 0
        and (name in resources or name.startswith(ACCELERATOR_TYPE_PREFIX) or tpu_head_pod_type(name) is not None)
        for demand in demands
        for name, amount in demand.items()
    )


def wrap_v2(node_class: Any) -> None:
    """Replace ``_compute_score`` of v2's node, once."""
    # Without the method it is a Ray that is newer than those that were checked: it does what Ray does.
    if hasattr(node_class, "_score_of_ray") or not hasattr(node_class, "_compute_score"):
        return
    node_class._score_of_ray = node_class._compute_score  # noqa: SLF001 - Ray's
    node_class._compute_score = _v2_score  # noqa: SLF001


def _v2_score(node: Any, source: Any) -> tuple[Any, ...]:
    """Return Ray's score of a node with what was put on it."""
    score: tuple[Any, ...] = node._score_of_ray(source)  # noqa: SLF001
    placed = (request.resources_bundle for request in node.get_sched_requests(source))
    return _lowered(score, node.total_resources, placed)


def v1_score(
    node_resources: dict[str, float], resources: list[dict[str, float]], node_type: str, **more: Any
) -> tuple[Any, ...] | None:
    """Return Ray's score of a node type for some demands, None where it takes none; v1 calls it by its name."""
    from ray.autoscaler._private.resource_demand_scheduler import _default_utilization_scorer

    score: tuple[Any, ...] | None = _default_utilization_scorer(node_resources, resources, node_type, **more)
    if score is None:
        return None
    # v1 passes all demands. Those that no such node can take are no reason to launch one for the others.
    fitting = (
        demand for demand in resources if all(node_resources.get(name, 0) >= amount for name, amount in demand.items())
    )
    return _lowered(score, node_resources, fitting)


def _lowered(
    score: tuple[Any, ...], node: Mapping[str, float], demands: Iterable[Mapping[str, float]]
) -> tuple[Any, ...]:
    accelerators = {name for name in _spared if node.get(name, 0) > 0}
    if not accelerators or not _rays_rule_is_on() or not asks_for_none(accelerators, demands):
        return score
    if len(score) < -_SPARED_PLACE or not isinstance(score[_SPARED_PLACE], bool):
        return score  # the score of a Ray that is newer than those that were checked
    return (*score[:_SPARED_PLACE], False, *score[_SPARED_PLACE + 1 :])


def _rays_rule_is_on() -> bool:
    """Return whether Ray spares GPU nodes: with ``AUTOSCALER_CONSERVE_GPU_NODES=0`` nothing is spared."""
    from ray.autoscaler._private.constants import AUTOSCALER_CONSERVE_GPU_NODES

    return bool(AUTOSCALER_CONSERVE_GPU_NODES)
