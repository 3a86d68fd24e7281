"""A program that is connected to a cluster: its connection, the nodes, the store."""

from __future__ import annotations

import sys
from typing import Any

KV_NAMESPACE = b"accel_scaling"


def connect() -> None:
    """Connect this process to a cluster where it is not, as Ray does at the first `.remote()`."""
    from ray._private.auto_init_hook import auto_init_ray

    auto_init_ray()


def is_connected() -> bool:
    """Return whether this process is connected to a cluster; Ray is not imported for it."""
    ray = sys.modules.get("ray")
    return bool(ray and ray.is_initialized())


def worker() -> Any:
    """Return this process's end of its connection; its ``node`` is another object with each `ray.init()`."""
    from ray._private.worker import global_worker

    return global_worker


def nodes_resources() -> list[dict[str, float]]:
    """Return the resources of each living node of the connected cluster."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def kv_get(key: str) -> str | None:
    """Return a value of the cluster's key-value store, None where it has none."""
    from ray.experimental import internal_kv

    value = internal_kv._internal_kv_get(key, namespace=KV_NAMESPACE)  # noqa: SLF001
    return value.decode() if value is not None else None
