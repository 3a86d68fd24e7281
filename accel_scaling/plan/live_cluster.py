"""Reads the pending demands and the nodes of a running cluster."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel_scaling import _ray, timeouts
from accel_scaling._ray.facts import AUTH_MODE, AUTH_TOKEN, AUTH_TOKEN_FILE, AUTH_TOKEN_PATH, GCS_PORT
from accel_scaling.boot.authentication import DISABLED, TOKEN, mode_of
from accel_scaling.errors import PlanError
from accel_scaling.message_text import shown
from accel_scaling.plan.demands import demand_text
from accel_scaling.plan.model import Demand, Gang
from accel_scaling.plan.nearest_miss import preferred
from accel_scaling.plan.scheduler_request import Question

if TYPE_CHECKING:
    from accel_scaling.accs.types import AcceleratorTypes
    from accel_scaling.plan.cluster import AutoscalerCluster

_ADDRESS = re.compile(r"(?:\[(?P<brackets>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s/:\[\]]+))(?::(?P<port>\d{1,5}))?", re.ASCII)
_IPV6 = re.compile(r"(?P<host>[0-9A-Fa-f]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f.]*)(?P<brackets>)(?P<port>)", re.ASCII)
_MOST_PORT = 65_535
_SUCH = f"such as 10.0.0.5 or 10.0.0.5:{GCS_PORT}"
_HOW_TO_GET_IT = "`ray exec CLUSTER.yaml 'ray get-auth-token'` prints the cluster's"


def check_address(address: str) -> tuple[str, int]:
    """Return host and port of an address; the port is Ray's own where it names none.

    Raises:
        PlanError: it is not an address.
    """
    match = _ADDRESS.fullmatch(address) or _IPV6.fullmatch(address)
    port = int(match["port"] or GCS_PORT) if match else 0
    if not match or not 0 < port <= _MOST_PORT:
        client = "; the port of Ray Client (ray://) is another one" if address.startswith("ray:") else ""
        raise PlanError(
            f"--address {shown(address)}: expected HOST or HOST:PORT of the cluster's head, {_SUCH}{client}"
        )
    return match["host"] or match["brackets"], port


def state_of(cluster: AutoscalerCluster, address: str) -> _ray.ClusterState:
    """Return the state of a running cluster.

    Args:
        cluster: the cluster file.
        address: host and port of the head's GCS; without a port, Ray's own.

    Raises:
        PlanError: nothing answers there, it is not a Ray cluster, or it wants a token that is not here.
    """
    host, port = check_address(address)
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        socket.create_connection((host, port), timeouts.PLAN_ADDRESS_S).close()
        token = _give_token(address)
        return _ray.cluster_state(address, cluster.head.name, timeouts.PLAN_ADDRESS_S)
    except _ray.TokenRefusedError:
        raise PlanError(f"--address {address}: this cluster refuses the token of {token}; {_HOW_TO_GET_IT}") from None
    except OSError as error:
        raise PlanError(
            f"--address {address}: no Ray cluster answers there ({error}); give the head's address and the port of "
            f"its `ray start --head --port`, {GCS_PORT} by default; both must be reachable from here"
        ) from None


def question_of(cluster: AutoscalerCluster, state: _ray.ClusterState) -> Question:
    """Return the question that the autoscaler of a running cluster would ask, with the node types of the file.

    Args:
        cluster: the cluster file.
        state: of the running cluster.
    """
    # Nodes of node types that the file no longer has, or started by hand: they take demands, and none is launched.
    types = {
        **cluster.in_ray,
        **{
            name: _ray.node_type_config(name, count)
            for name, count in state.node_types.items()
            if name not in cluster.in_ray
        },
    }
    question = Question(
        types, cluster.max_workers + 1, state.instances, constraints=state.constraints, spared=cluster.spared
    )
    for request, count in state.requests:
        question.requests.append((request, count))
        _remember(question, request, cluster.accelerators)
    for constraint in state.constraints:
        for request_with_count in constraint.resource_requests:
            _remember(question, request_with_count.request, cluster.accelerators, by="request_resources ")
    for gang in state.gangs:
        _keep_gang(question, gang, cluster.accelerators)
    return question


def _give_token(address: str) -> str:
    """Have Ray's client send its token where the cluster asks for one, and only there; return where the token is.

    Raises:
        PlanError: it asks, and there is none, or RAY_AUTH_MODE=disabled keeps it back.
    """
    if not _ray.has("tokens"):
        return ""
    if not _ray.asks_for_token(address, timeouts.PLAN_ADDRESS_S):
        # With `token` and none here, Ray's client would end this process.
        _ray.set_auth_mode(DISABLED)
        return ""
    asks = f"--address {address}: this cluster asks for a token, and"
    if mode_of(os.environ) == DISABLED:
        raise PlanError(f"{asks} {AUTH_MODE}={DISABLED} keeps yours back; unset the variable")
    try:
        found = _ray.find_token(os.environ, Path.home())
    except _ray.CannotReadTokenError as error:
        raise PlanError(f"{asks} {AUTH_TOKEN_PATH} names {error}, which has none; {_HOW_TO_GET_IT}") from None
    if found is None:
        raise PlanError(f"{asks} there is none in ~/{AUTH_TOKEN_FILE} or {AUTH_TOKEN}; {_HOW_TO_GET_IT}")
    _ray.set_auth_mode(TOKEN)
    return found.place


def _remember(question: Question, request: Any, accelerators: AcceleratorTypes, *, by: str = "") -> Demand:
    read = _ray.read_request(request)
    unnamed = Demand("", 1, read.resources, read.selectors)
    resources = {name: announced.resource for name, announced in accelerators.types.items()}
    demand = Demand(by + demand_text(read.resources, resources, preferred(unnamed)), 1, read.resources, read.selectors)
    return question.demands.setdefault(_ray.key_of(request), demand)


def _keep_gang(question: Question, gang: Any, accelerators: AcceleratorTypes) -> None:
    requests = _ray.requests_of_gang(gang)
    bundles: dict[bytes, Demand] = {}
    for request in requests:
        bundle, key = _remember(question, request, accelerators), _ray.key_of(request)
        count = bundles[key].count + 1 if key in bundles else 1
        bundles[key] = Demand(bundle.text, count, bundle.resources, bundle.selectors)
    first = _ray.read_request(requests[0])
    # Ray reports no difference between PACK and SPREAD to the autoscaler.
    strategy = first.strategy or "PACK"
    question.keep_gang(gang, first.group or f"{len(question.gangs)}", Gang(strategy, tuple(bundles.values())))
