"""The question of a running cluster: what is pending there now, on the nodes that it has."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from accel_scaling import _ray, timeouts
from accel_scaling.errors import PlanError
from accel_scaling.plan.demands import text_of
from accel_scaling.plan.model import Demand, Gang
from accel_scaling.plan.nearest_miss import preferred
from accel_scaling.plan.scheduler_request import Question

if TYPE_CHECKING:
    from accel_scaling.accs.types import Known
    from accel_scaling.plan.cluster import Cluster


def check_address(address: str) -> tuple[str, int]:
    """Return host and port of an address.

    Raises:
        PlanError: it is none.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdigit()) or "/" in host:
        raise PlanError(f"--address {address!r}: expected HOST:PORT of the cluster's head, such as 10.0.0.5:6379")
    return host, int(port)


def question_of(cluster: Cluster, address: str) -> Question:
    """Return what the autoscaler of a running cluster would ask, with the node types of the file.

    Args:
        cluster: the cluster file.
        address: ``HOST:PORT`` of the head's GCS.

    Raises:
        PlanError: nobody answers there, or it is no cluster of Ray's.
    """
    try:
        socket.create_connection(check_address(address), timeouts.PLAN_ADDRESS_S).close()
        state = _ray.cluster_state(address, cluster.head.name, timeouts.PLAN_ADDRESS_S)
    except OSError as error:
        raise PlanError(
            f"--address {address}: no Ray cluster answers there ({error}); it is the head's address and the port of "
            "its `ray start --head --port`, 6379 by default, and must be reachable from here"
        ) from None
    types = {
        **cluster.in_ray,
        **{
            name: _ray.node_type_config(name, count)
            for name, count in state.node_types.items()
            if name not in cluster.in_ray
        },
    }
    question = Question(types, cluster.max_workers + 1, state.instances, constraints=state.constraints)
    for request, count in state.requests:
        question.requests.append((request, count))
        _know(question, request, cluster.known)
    for constraint in state.constraints:
        for one in constraint.resource_requests:
            _know(question, one.request, cluster.known, by="request_resources ")
    for gang in state.gangs:
        _keep_gang(question, gang, cluster.known)
    return question


def _know(question: Question, request: Any, known: Known, *, by: str = "") -> Demand:
    read = _ray.read_request(request)
    nameless = Demand("", 1, read.resources, read.selectors)
    resources = {name: announced.resource for name, announced in known.types.items()}
    demand = Demand(by + text_of(read.resources, resources, preferred(nameless)), 1, read.resources, read.selectors)
    return question.demands.setdefault(_ray.key_of(request), demand)


def _keep_gang(question: Question, gang: Any, known: Known) -> None:
    requests = _ray.requests_of_gang(gang)
    bundles: dict[bytes, Demand] = {}
    for request in requests:
        one, key = _know(question, request, known), _ray.key_of(request)
        count = bundles[key].count + 1 if key in bundles else 1
        bundles[key] = Demand(one.text, count, one.resources, one.selectors)
    first = _ray.read_request(requests[0])
    # Ray tells no difference between PACK and SPREAD to the autoscaler.
    strategy = first.strategy or "PACK"
    question.keep_gang(gang, first.group or f"{len(question.gangs)}", Gang(strategy, tuple(bundles.values())))
