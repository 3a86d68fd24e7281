"""Drains of Ray nodes: by the node itself, whose watcher has found something, and as the head's autoscaler sees them.

The node tells the head by the cluster's key-value store: no port is opened for it, and whoever may write there may
drain nodes and run code by himself. A cluster with a token asks for it at both calls.
"""

from __future__ import annotations

import functools
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from accel_scaling._ray.node_life import GCS_S
from accel_scaling._ray.programs import KV_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Iterable

EVENTS = "node-event:"
"""How the keys of events begin in the key-value store; the node's id in Ray follows, and the event's own name."""

_BEHIND_NODE = "/"

_MOST_EVENTS = 10_000  # a cluster of that many nodes; a store that another program fills must not fill this process

_OPTIONS = ("--node_id=", "--node_ip_address=", "--gcs-address=", "--session_dir=")
_RAYLET = "raylet"
_OF_A_TASK = b"RAY_JOB_ID="  # a variable that the raylet gives to each worker


class Raylet(NamedTuple):
    """The raylet of a node, as its command line has it (services.start_raylet).

    Attributes:
        pid: its process.
        node_id: of the node in Ray, in hex digits.
        address: of the node within the network.
        gcs_address: of the head's GCS.
    """

    pid: int
    node_id: str
    address: str
    gcs_address: str


def find_raylet(variable: str, value: str, proc: Path = Path("/proc")) -> Raylet | None:
    """Return the raylet whose environment has this variable with this value: that of one `ray start`, of this user."""
    wanted = f"{variable}={value}".encode()
    for folder in proc.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if Path(os.fsdecode(words[0])).name != _RAYLET:
                continue
            variables = (folder / "environ").read_bytes().split(b"\0")
            # A cluster that a task starts within this one inherits the number of the start, and its job's.
            if wanted not in variables or any(one.startswith(_OF_A_TASK) for one in variables):
                continue
        except (OSError, IndexError):
            continue  # it has ended, or is another user's
        options = {name: _option(words, name) for name in _OPTIONS}
        if all(options[name] for name in _OPTIONS[:3]):
            return Raylet(int(folder.name), *(options[name] for name in _OPTIONS[:3]))
    return None


def _option(words: Iterable[bytes], name: str) -> str:
    found = next((word for word in words if word.startswith(name.encode())), b"")
    return os.fsdecode(found).removeprefix(name)


def tell_event(raylet: Raylet, name: str, event: str) -> None:
    """Write what was found on a node where the head's autoscaler reads it.

    Args:
        raylet: the node's.
        name: of the event, the same with each try: an event in the place of another could be removed with that one.
        event: as text.

    Raises:
        Exception: whatever Ray's client raises where the GCS does not answer.
    """
    key = f"{EVENTS}{raylet.node_id}{_BEHIND_NODE}{name}".encode()
    _client(raylet.gcs_address).internal_kv_put(key, event.encode(), True, KV_NAMESPACE)  # noqa: FBT003 - Cython


def drain(raylet: Raylet, instance_id: str, message: str, deadline_s: float) -> list[str]:
    """Drain a node, and the other hosts of its TPU slice; return what Ray answers of those that it does not drain.

    Args:
        raylet: the node's.
        instance_id: the cloud's name of the machine or slice, which all hosts of a slice have; empty under v1.
        message: the reason, for people and for `ray.train`.
        deadline_s: when the machine ends, in Unix seconds.

    Raises:
        Exception: whatever Ray's client raises where the GCS does not answer.
    """
    from ray.core.generated.gcs_pb2 import GcsNodeInfo

    client = _client(raylet.gcs_address)
    nodes = [raylet.node_id]
    if instance_id:
        nodes += [
            node_id.hex()
            for node_id, info in client.get_all_node_info().items()
            if info.instance_id == instance_id and info.state == GcsNodeInfo.ALIVE
        ]
    return _drain(client, nodes, message, deadline_s)


def drain_nodes(node_ids: Iterable[str], message: str, deadline_s: float) -> list[str]:
    """Drain nodes by their ids in Ray, from the autoscaler; return what Ray answers of those that it does not drain.

    Raises:
        Exception: whatever Ray's client raises where the GCS does not answer.
    """
    client = _autoscalers_client()
    return [] if client is None else _drain(client, node_ids, message, deadline_s)


def _drain(client: Any, node_ids: Iterable[str], message: str, deadline_s: float) -> list[str]:
    from ray.core.generated.autoscaler_pb2 import DrainNodeReason

    refused = []
    for node_id in dict.fromkeys(node_ids):
        # As a preemption: a node may refuse the other reason, idle termination, while it works.
        accepted, why = client.drain_node(
            node_id, DrainNodeReason.DRAIN_NODE_REASON_PREEMPTION, message, max(int(deadline_s * 1000), _now_ms())
        )
        if not accepted:
            refused.append(str(why))
    return refused


def stop_nodes(node_ids: Iterable[str]) -> None:
    """End the raylets of nodes, with their tasks, from the autoscaler; as Ray's autoscalers do it.

    Raises:
        Exception: whatever Ray's client raises where the GCS does not answer.
    """
    client = _autoscalers_client()
    if client is not None:
        client.drain_nodes([bytes.fromhex(node_id) for node_id in node_ids], timeout=GCS_S)


def node_of(event_key: str) -> str:
    """Return the id in Ray of the node that has told an event, of a key of `node_events`."""
    return event_key.partition(_BEHIND_NODE)[0]


def node_events() -> dict[str, bytes]:
    """Return what nodes have told, by key (see `node_of`), asked of the GCS; empty in a process that is no autoscaler.

    Raises:
        Exception: whatever Ray's client raises where the GCS does not answer.
    """
    client = _autoscalers_client()
    if client is None:
        return {}
    # Two calls in each round, however many nodes have told something.
    keys = list(client.internal_kv_keys(EVENTS.encode(), KV_NAMESPACE, timeout=GCS_S))[:_MOST_EVENTS]
    values = client.internal_kv_multi_get(keys, KV_NAMESPACE, timeout=GCS_S) if keys else {}
    return {key.decode(errors="replace").removeprefix(EVENTS): value for key, value in values.items() if value}


def forget_event(event_key: str) -> None:
    """Remove one event that a node has told.

    Raises:
        Exception: whatever Ray's client raises where the GCS does not answer.
    """
    client = _autoscalers_client()
    if client is not None:
        client.internal_kv_del(f"{EVENTS}{event_key}".encode(), False, KV_NAMESPACE, timeout=GCS_S)  # noqa: FBT003 - Cython


def _autoscalers_client() -> Any | None:
    option = "--gcs-address="
    address = next((word.removeprefix(option) for word in sys.argv[1:] if word.startswith(option)), None)
    if not address or Path(sys.argv[0]).name != "monitor.py":
        return None
    return _client(address)


@functools.lru_cache(maxsize=1)
def _client(address: str) -> Any:
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # Cython

    return GcsClient(address=address)


def _now_ms() -> int:
    return int(time.time() * 1000)
