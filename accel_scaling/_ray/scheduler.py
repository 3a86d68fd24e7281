"""Ray's v2 scheduler in process: what the autoscaler would launch for these demands, nothing launched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from accel_scaling._ray import versions
from accel_scaling._ray.node_scores import sparing
from accel_scaling._ray.scheduler_memo import scheduler_module
from accel_scaling.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping


class NodeOfPlan(NamedTuple):
    """A node after scheduling: its type, whether it is to be launched, and the requests that are put on it."""

    node_type: str
    launched: bool
    requests: tuple[Any, ...]


class Scheduled(NamedTuple):
    """The answer of Ray's scheduler."""

    nodes: tuple[NodeOfPlan, ...]
    pending: tuple[Any, ...]
    pending_gangs: tuple[Any, ...]
    pending_constraints: tuple[Any, ...]
    ended: tuple[str, ...]

    def requests(self) -> dict[int, Any]:
        """Return the placed requests by id: 50,000 of one demand are one object."""
        return {id(request): request for node in self.nodes for request in node.requests}


def scheduling_request(
    types: Mapping[str, Any],
    most: int | None,
    requests: Iterable[tuple[Any, int]],
    *,
    gangs: Iterable[Any] = (),
    instances: Iterable[Any] = (),
    constraints: Iterable[Any] = (),
) -> Any:
    """Return what the scheduler is asked.

    Args:
        types: node types, as ``node_types.node_type_configs`` gives them.
        most: the most nodes of the cluster, the head among them; None for no limit.
        requests: requests with their numbers.
        gangs: placement groups.
        instances: the nodes that are there or on their way.
        constraints: what `request_resources` asked for.
    """
    from ray.core.generated.autoscaler_pb2 import ResourceRequestByCount

    return scheduler_module().SchedulingRequest(
        # A plan's instances have no hash of a launch config: Ray would end them as outdated.
        disable_launch_config_check=True,
        node_type_configs=dict(types),
        max_num_nodes=most,
        resource_requests=[ResourceRequestByCount(request=request, count=count) for request, count in requests],
        gang_resource_requests=list(gangs),
        cluster_resource_constraints=list(constraints),
        current_instances=list(instances),
    )


def schedule(request: Any, spared: Collection[str] = ()) -> Scheduled:
    """Ask Ray's scheduler; a node that is put to no use is among the answer's nodes, too.

    Args:
        request: as ``scheduling_request`` makes it.
        spared: the Ray resources of accelerators whose nodes are launched last for demands without them.

    Raises:
        PlanError: a Ray that is newer than those that were checked has another scheduler.
    """
    try:
        return _schedule(request, spared)
    except (AttributeError, TypeError) as error:
        if not versions.is_unchecked():
            raise
        raise PlanError(
            f"Ray {versions.installed_version()} cannot be asked for a plan ({error}): this accel_scaling knows Ray "
            f"{versions.minor_text(versions.FLOOR)} to {versions.minor_text(versions.CHECKED)}; take a newer "
            "accel_scaling, or one of these versions of Ray"
        ) from error


def _schedule(request: Any, spared: Collection[str]) -> Scheduled:
    module = scheduler_module()
    with sparing(spared):
        reply = module.ResourceDemandScheduler(None).schedule(request)
    status, sources = module.SchedulingNodeStatus, module.ResourceRequestSource
    nodes = tuple(
        NodeOfPlan(
            node.node_type,
            node.status == status.TO_LAUNCH,
            tuple(
                # Two accounts: what `request_resources` asks for takes no capacity from the demands on the same node.
                node.get_sched_requests(sources.PENDING_DEMAND)
                or node.get_sched_requests(sources.CLUSTER_RESOURCE_CONSTRAINT)
            ),
        )
        for node in module.ResourceDemandScheduler.nodes
        if node.status != status.TO_TERMINATE
    )
    ended = tuple(termination.instance_type for termination in reply.to_terminate)
    pending = tuple(reply.infeasible_resource_requests)
    constraints = tuple(reply.infeasible_cluster_resource_constraints)
    return Scheduled(nodes, pending, tuple(reply.infeasible_gang_resource_requests), constraints, ended)


def fits(node_type: Any, request: Any) -> bool:
    """Return whether a new node of a type would take a request, by Ray's own rules of resources and labels."""
    module = scheduler_module()
    status, worker = module.SchedulingNodeStatus.TO_LAUNCH, module.NodeKind.WORKER
    node = module.SchedulingNode.from_node_config(node_type, status, worker)
    return bool(node._try_schedule_one(request, module.ResourceRequestSource.PENDING_DEMAND))  # noqa: SLF001
