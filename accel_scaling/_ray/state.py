"""The nodes and demands of a cluster in Ray's form: those that a running one has, and nodes that a plan imagines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from accel_scaling._ray.auth import TokenRefusedError, is_refusal
from accel_scaling._ray.recent_failures import blocked_in

if TYPE_CHECKING:
    from collections.abc import Mapping

BY_HAND = "(started by hand)"  # a node that no autoscaler launched has no node type
_HEAD = "node:__internal_head__"


class LivingNode(NamedTuple):
    """A Ray node of a running cluster, or one that is on its way.

    ``labels`` are those that it announced, ``machine`` is the cloud's name for its machine, where the node knows it.
    """

    node_type: str
    labels: Mapping[str, str]
    head: bool = False
    joined: bool = True
    machine: str = ""


class ClusterState(NamedTuple):
    """The state that a running cluster's autoscaler sees: demands, nodes and pending nodes, in Ray's form.

    ``blocked`` has the node types that its autoscaler does not launch now, with the reason; None where it does not say.
    """

    requests: tuple[tuple[Any, int], ...]
    gangs: tuple[Any, ...]
    constraints: tuple[Any, ...]
    instances: tuple[Any, ...]
    node_types: Mapping[str, int]
    nodes: tuple[LivingNode, ...] = ()
    blocked: Mapping[str, str] | None = None


def running_instance(
    name: str, number: int, resources: Mapping[str, float], labels: Mapping[str, str], *, head: bool = False
) -> Any:
    """Return a node that is up and has everything free, in Ray's form."""
    from ray.core.generated.autoscaler_pb2 import NodeState, NodeStatus

    state = NodeState(
        node_id=f"{number}".encode(),
        ray_node_type_name=name,
        status=NodeStatus.RUNNING,
        total_resources=dict(resources),
        available_resources=dict(resources),
        labels=dict(labels),
    )
    return _instance(name, f"{number}", state, head=head)


def cluster_state(address: str, head_type: str, timeout_s: float) -> ClusterState:
    """Return the state that a running cluster's autoscaler sees: pending demands and living nodes.

    Args:
        address: ``HOST:PORT`` of the head's GCS.
        head_type: the head's node type, where its node does not say one.
        timeout_s: for each of two calls.

    Raises:
        ConnectionError: nobody answers there; as a TokenRefusedError, where it wants a token, or another one.
    """
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # Cython
    from ray.core.generated import autoscaler_pb2 as pb

    reply = pb.GetClusterStatusReply()
    try:
        client = GcsClient(address=address)
        reply.ParseFromString(client.get_cluster_status(timeout_s=timeout_s))
    except Exception as error:  # noqa: BLE001 - Ray raises RuntimeError, RpcError and its own, by what is wrong
        kind = TokenRefusedError if is_refusal(error) else ConnectionError
        raise kind(str(error).strip().splitlines()[0]) from None
    state, autoscaling = reply.cluster_resource_state, reply.autoscaling_state
    alive = [node for node in state.node_states if node.status != pb.NodeStatus.DEAD]
    coming = [instance.ray_node_type_name for instance in autoscaling.pending_instances]
    for launch in autoscaling.pending_instance_requests:
        coming += [launch.ray_node_type_name] * launch.count
    heads = [_HEAD in node.total_resources for node in alive]
    names = [
        node.ray_node_type_name or (head_type if head else BY_HAND) for node, head in zip(alive, heads, strict=True)
    ]
    instances = [
        *(
            _instance(name, node.node_id.hex(), node, head=head)
            for name, node, head in zip(names, alive, heads, strict=True)
        ),
        *(_instance(name, f"pending-{number}", None) for number, name in enumerate(coming)),
    ]
    nodes = [
        *(
            LivingNode(name, dict(node.labels), head=head, machine=node.instance_id)
            for name, node, head in zip(names, alive, heads, strict=True)
        ),
        *(LivingNode(name, {}, joined=False) for name in coming),
    ]
    names += coming
    return ClusterState(
        requests=tuple((demand.request, demand.count) for demand in state.pending_resource_requests),
        gangs=tuple(state.pending_gang_resource_requests),
        constraints=tuple(state.cluster_resource_constraints),
        instances=tuple(instances),
        node_types={name: names.count(name) for name in names},
        nodes=tuple(nodes),
        # v1 reports nothing there, and its version stays 0.
        blocked=blocked_in(autoscaling) if autoscaling.last_seen_cluster_resource_state_version else None,
    )


def _instance(name: str, node_id: str, state: Any, *, head: bool = False) -> Any:
    from ray.autoscaler.v2.schema import AutoscalerInstance
    from ray.core.generated.instance_manager_pb2 import Instance, NodeKind

    instance = Instance(
        instance_id=node_id,
        instance_type=name,
        node_id=node_id if state is not None else "",
        # ALLOCATED: of a node that has not joined, Ray takes the resources from its node type.
        status=Instance.RAY_RUNNING if state is not None else Instance.ALLOCATED,
        node_kind=NodeKind.HEAD if head else NodeKind.WORKER,
    )
    return AutoscalerInstance(cloud_instance_id=node_id, ray_node=state, im_instance=instance)
