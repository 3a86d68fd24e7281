"""The autoscaler on a head, from the provider that it made: its config, version, metrics, store and messages."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

from accel_scaling._ray.facts import LABEL_TPU_WORKER_ID
from accel_scaling._ray.launcher import variable_of_callers
from accel_scaling._ray.programs import KV_NAMESPACE
from accel_scaling.terminal import without_controls


def autoscaler_config_path() -> Path | None:
    """Return the cluster config that this process's autoscaler reads again before each round.

    None in any process that is not the autoscaler of a head (ray/autoscaler/v2/monitor.py, _private/monitor.py).
    """
    # Ray's services.py joins each option and its value with `=`, so one word has both. The monitor's own parser is
    # made in its `__main__` block, where nobody else can reach it.
    option = "--autoscaling-config="
    if Path(sys.argv[0]).name != "monitor.py":
        return None
    path = next((word.removeprefix(option) for word in sys.argv[1:] if word.startswith(option)), "")
    return Path(path).expanduser() if path else None


def autoscaler_version() -> str:
    """Return this process's autoscaler: ``v2`` (ray/autoscaler/v2/monitor.py) or ``v1`` (_private/monitor.py)."""
    return "v2" if Path(sys.argv[0]).parent.name == "v2" else "v1"


def autoscaler_metrics_registry() -> Any | None:
    """Return the Prometheus registry of the autoscaler that is making its provider just now; None where there is none.

    Ray keeps it in a variable of the monitor that calls us; the monitor serves it at the autoscaler's metrics port.
    """
    # A local variable of v2's Monitor.__init__, an attribute of v1's.
    return getattr(variable_of_callers("prom_metrics", "registry"), "registry", None)


def autoscaler_kv_put(key: str, value: str) -> None:
    """Write a value into the cluster's key-value store, in the autoscaler that is making its provider just now.

    Raises:
        RuntimeError: this process is no autoscaler; whatever gRPC raises where the store does not answer.
    """
    client = variable_of_callers("gcs_client", "internal_kv_put")
    if client is None:
        raise RuntimeError("no client of the cluster's key-value store in the callers of the provider")
    client.internal_kv_put(key.encode(), value.encode(), True, KV_NAMESPACE)  # noqa: FBT003 - Ray's Cython takes no names


def tell_drivers(sentence: str) -> None:
    """Have Ray repeat a sentence on every driver's terminal, as ``(autoscaler +5s) ...``.

    v2 keeps a log of events for that; v1 marks lines of its own log.
    """
    from ray._private import ray_constants
    from ray._private.event import event_logger

    # In one line: v1's log is read line by line, and a line without the mark is not repeated to the drivers.
    # And plain: it may have the words of a node, and reaches the terminals of all drivers.
    text = without_controls(" ".join(sentence.split()))
    events = event_logger._event_logger.get("AUTOSCALER")  # noqa: SLF001 - the one that v2's monitor made
    if events is not None:
        # As an error: RAY_LOG_TO_DRIVER_EVENT_LEVEL may hide the levels below from the drivers.
        events.error(text)
    else:
        log = logging.getLogger("ray.autoscaler._private.monitor")
        log.info("%s%s", ray_constants.LOG_PREFIX_EVENT_SUMMARY, text)


def tpu_workers_joined(instance_id: str) -> set[str] | None:
    """Return the hosts of a slice that have joined this cluster, by their `ray.io/tpu-worker-id`.

    None in any process that is not autoscaler v2: no other takes the first Ray node of an instance for all of it.
    """
    option = "--gcs-address="
    address = next((word.removeprefix(option) for word in sys.argv[1:] if word.startswith(option)), None)
    if not address or Path(sys.argv[0]).parts[-2:] != ("v2", "monitor.py"):
        return None
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # Cython
    from ray.autoscaler.v2.sdk import get_cluster_resource_state
    from ray.core.generated.autoscaler_pb2 import NodeStatus

    return {
        node.labels.get(LABEL_TPU_WORKER_ID, "")
        for node in get_cluster_resource_state(GcsClient(address=address)).node_states
        if node.instance_id == instance_id and node.status != NodeStatus.DEAD
    }
