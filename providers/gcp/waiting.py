"""Nodes that wait in a queue of Google's: Ray's autoscalers are told to wait as long, and set up nothing before."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from accel_scaling import _ray, timeouts
from accel_scaling.cluster.capacity import capacity_orders
from accel_scaling.errors import ClusterConfigError
from accel_scaling.providers.gcp.capacity import wait_s
from accel_scaling.providers.gcp.tpu_capacity import queue_time_s

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

logger = logging.getLogger(__name__)


def queues(provider: Mapping[str, Any]) -> bool:
    """Return whether slices of the cluster may be asked for by a queue of Google's."""
    try:
        orders = capacity_orders(provider)
    except ClusterConfigError:  # `ray down` ends machines whatever the order is; `ray up` and the autoscaler refuse it
        return False
    return any(queue_time_s(entry) is not None for order in orders.values() for entry in order)


def allowed(config: dict[str, Any]) -> dict[str, Any]:
    """Return the config, its head start commands with the time that v2 is to wait for a node; a user's own stays.

    Without it, v2 ends after an hour what is listed and does not run.
    """
    entries = [entry for order in capacity_orders(config["provider"]).values() for entry in order]
    by_hand = [
        wait_s(node_type.get("node_config") or {}) for node_type in (config.get("available_node_types") or {}).values()
    ]
    longest_s = max([*by_hand, *(entry.wait_for_s or 0.0 for entry in entries)], default=0.0)
    if not longest_s:
        return config
    name, default_s = _ray.ALLOCATE_TIMEOUT
    export = f"export {name}=${{{name}:-{max(default_s, int(longest_s + timeouts.GCP_PROVISIONING_S))}}}; "
    config["head_start_ray_commands"] = [
        export + command if "ray start" in command and f"export {name}=" not in command else command
        for command in config.get("head_start_ray_commands") or []
    ]
    return config


def until_over(waits: Callable[[], bool], waits_now: Callable[[], bool]) -> None:
    """Return when a node does not wait any more: it has come, or never will.

    Args:
        waits: says it as last seen; where that fails, nothing is waited for.
        waits_now: asks Google; where that fails, it is asked again.
    """
    try:
        waiting = waits()
    except Exception as error:  # noqa: BLE001 - Ray's updater, which calls this, asks the node itself
        logger.warning("it is not known whether a node waits in a queue: %s", error)
        return
    while waiting:
        time.sleep(timeouts.GCP_QUEUE_POLL_S)
        try:
            waiting = waits_now()
        except Exception as error:  # noqa: BLE001 - a wait of hours does not end by one lost answer
            logger.warning("it is not known whether a node waits still: %s", error)


class LaterRunner:
    """A command runner that is made when it is used first.

    Args:
        make: makes it.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: Any = None

    def __getattr__(self, name: str) -> Any:
        with self._lock:
            if self._made is None:
                self._made = self._make()
        return getattr(self._made, name)
