"""Ray's v2 scheduler in process: what the autoscaler would launch for these demands, nothing launched."""

from __future__ import annotations

import copy
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from accel_scaling._ray import versions
from accel_scaling._ray.auth import TokenRefusedError, is_refusal
from accel_scaling._ray.node_scores import sparing
from accel_scaling._ray.scheduler_memo import scheduler_module
from accel_scaling.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

# A label selector: for each key whether it is negated, and the values.
Selector = tuple[tuple[str, bool, tuple[str, ...]], ...]

BY_HAND = "(started by hand)"  # a node that no autoscaler launched has no node type
_HEAD = "node:__internal_head__"
_GROUP = "_PG_"  # kPlacementGroupConstraintKeyPrefix, src/ray/common/constants.h


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


class ClusterState(NamedTuple):
    """The state that a running cluster's autoscaler sees: demands, nodes and pending nodes, in Ray's form."""

    requests: tuple[tuple[Any, int], ...]
    gangs: tuple[Any, ...]
    constraints: tuple[Any, ...]
    instances: tuple[Any, ...]
    node_types: Mapping[str, int]


_SSH_KEYS = ("ssh_private_key", "ssh_public_key")


def node_type_configs(config: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Return what v2 reads of a filled cluster config: its node types, and the most nodes, the head among them.

    Raises:
        ValueError: Ray refuses the config; its words.
    """
    from jsonschema import ValidationError
    from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig

    logger = logging.getLogger("ray.autoscaler._private.util")  # it tells of keys of Ray's own defaults
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        # A hash of the contents would read every file of file_mounts; another one, which decides nothing here, the ssh
        # keys (hash_launch_conf), which may be on another machine.
        auth = {key: value for key, value in (config.get("auth") or {}).items() if key not in _SSH_KEYS}
        read = AutoscalingConfig(copy.deepcopy({**config, "auth": auth}), skip_content_hash=True)
        return read.get_node_type_configs(), read.get_max_num_nodes()
    except ValidationError as error:
        path = ".".join(str(word) for word in error.absolute_path)
        raise ValueError(f"{path}: {error.message}" if path else error.message) from None
    except TypeError as error:  # that hash is of JSON, which has no dates, and no keys of several kinds
        raise ValueError(f"Ray cannot use a value of a node_config: {error}") from None
    except AssertionError as error:
        raise ValueError(str(error) or "min_workers of a node type is above its max_workers") from None
    finally:
        logger.setLevel(before)


def node_type_config(name: str, most: int) -> Any:
    """Return a node type of which there are nodes, and of which none is launched."""
    from ray.autoscaler.v2.instance_manager.config import NodeTypeConfig

    return NodeTypeConfig(name=name, min_worker_nodes=0, max_worker_nodes=most)


def resource_request(
    resources: Mapping[str, float], selectors: Sequence[Selector] = (), group: tuple[str, str] | None = None
) -> Any:
    """Return a request in Ray's form.

    Args:
        resources: what it asks for.
        selectors: label selectors, the best first.
        group: a placement group's strategy, and its name, where the strategy is a strict one.
    """
    from ray.autoscaler.v2.utils import ResourceRequestUtil
    from ray.core.generated.common_pb2 import LabelSelectorOperator as Operator

    kinds = ResourceRequestUtil.PlacementConstraintType
    strict = {"STRICT_SPREAD": kinds.ANTI_AFFINITY, "STRICT_PACK": kinds.AFFINITY}
    # PACK and SPREAD are wishes, which the autoscaler is not told of: only the strict strategies become constraints.
    constraints = [(strict[group[0]], _GROUP + group[1], "")] if group and group[0] in strict else []
    operators = (Operator.LABEL_OPERATOR_IN, Operator.LABEL_OPERATOR_NOT_IN)
    written = [[(key, operators[negated], list(values)) for key, negated, values in selector] for selector in selectors]
    return ResourceRequestUtil.make(dict(resources), constraints, written)


def gang_request(requests: Iterable[Any]) -> Any:
    """Return a placement group in Ray's form."""
    from ray.core.generated.autoscaler_pb2 import GangResourceRequest

    gang = GangResourceRequest()
    # Ray 2.50 has the newer field, and its scheduler reads the older one only: the group would be empty without a word.
    has_selectors = versions.has("bundle_selectors")
    bundles = gang.bundle_selectors.add().resource_requests if has_selectors else gang.requests
    bundles.extend(requests)
    return gang


def requests_of_gang(gang: Any) -> list[Any]:
    """Return the requests of a placement group."""
    # As Ray's scheduler reads it: the first selector only; older senders fill the legacy field `requests` instead.
    return list(gang.bundle_selectors[0].resource_requests if gang.bundle_selectors else gang.requests)


class ReadRequest(NamedTuple):
    """A request's resources and label selectors; the strategy and name of its placement group, where that is strict."""

    resources: dict[str, float]
    selectors: tuple[Selector, ...]
    strategy: str
    group: str


def read_request(request: Any) -> ReadRequest:
    """Return what a request asks for."""
    from ray.core.generated.common_pb2 import LabelSelectorOperator as Operator

    selectors = tuple(
        tuple(
            (label.label_key, label.operator == Operator.LABEL_OPERATOR_NOT_IN, tuple(label.label_values))
            for label in selector.label_constraints
        )
        for selector in request.label_selectors
    )
    strategy = group = ""
    for constraint in request.placement_constraints:
        spread = constraint.HasField("anti_affinity")
        strategy = "STRICT_SPREAD" if spread else "STRICT_PACK"
        group = (constraint.anti_affinity if spread else constraint.affinity).label_name.removeprefix(_GROUP)
    return ReadRequest(dict(request.resources_bundle), selectors, strategy, group)


def key_of(message: Any) -> bytes:
    """Return a key that is equal for equal requests and placement groups."""
    # Deterministic: protobuf may write the same map, as the resources are one, in another order each time.
    key: bytes = message.SerializeToString(deterministic=True)
    return key


def label_selector_error(selector: Mapping[str, str]) -> str | None:
    """Return Ray's sentence about a label selector that it would refuse."""
    from ray._private.label_utils import validate_label_selector

    sentence: str | None = validate_label_selector(dict(selector))
    return sentence


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
        types: node types, as ``node_type_configs`` gives them.
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


def with_most(types: Mapping[str, Any], names: Collection[str], most: int) -> dict[str, Any]:
    """Return the node types, those of these names with another ``max_workers``."""
    from dataclasses import replace

    return {name: replace(config, max_worker_nodes=most) if name in names else config for name, config in types.items()}


def with_real(types: Mapping[str, Any], real: Mapping[str, tuple[Mapping[str, float], Mapping[str, str]]]) -> Any:
    """Return the node types, those of these names with the resources and labels that their nodes will have."""
    from dataclasses import replace

    return {
        name: replace(config, resources=dict(real[name][0]), labels=dict(real[name][1])) if name in real else config
        for name, config in types.items()
    }


def without_launches(types: Mapping[str, Any], names: Collection[str], head: str) -> dict[str, Any]:
    """Return the node types, those of these names without any worker; Ray counts the head as one of its type."""
    from dataclasses import replace

    return {
        name: replace(config, min_worker_nodes=0, max_worker_nodes=int(name == head)) if name in names else config
        for name, config in types.items()
    }


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
    names += coming
    return ClusterState(
        requests=tuple((demand.request, demand.count) for demand in state.pending_resource_requests),
        gangs=tuple(state.pending_gang_resource_requests),
        constraints=tuple(state.cluster_resource_constraints),
        instances=tuple(instances),
        node_types={name: names.count(name) for name in names},
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
