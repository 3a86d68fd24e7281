"""The start of Ray on the hosts of one TPU slice: all are confirmed, host 0 joins, and then the others.

Autoscaler v2 knows one Ray node of each of its instances: the first that joins with the instance's id. Where that is
not host 0, the slice has neither `TPU-<type>-head` nor `ray.io/tpu-worker-id: "0"` for its scheduler, and whoever
waits for host 0 gets a second slice (Reconciler._handle_ray_status_transition, SchedulingNode.new; tried in
tests/_ray/test_contract_tpu_slices.py). Of hosts that join within one round, it takes the last that it is told: so the
others wait for a round that has seen host 0.
"""

from __future__ import annotations

import copy
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from accel_scaling import _ray, timeouts
from accel_scaling.boot.admission import CONFIRM_ONLY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

logger = logging.getLogger(__name__)


class HostZeroMissingError(Exception):
    """Ray was started on host 0 of a slice, and it did not join."""


class Rounds:
    """A count of the autoscaler's rounds: each begins, once it has read which nodes joined, with a listing."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0

    def began(self) -> None:
        """Count one."""
        with self._changed:
            self._count += 1
            self._changed.notify_all()

    def wait(self, rounds: int, timeout_s: float) -> bool:
        """Wait until so many more have begun; say whether they have."""
        with self._changed:
            until = self._count + rounds
            return self._changed.wait_for(lambda: self._count >= until, timeout_s)


def start(
    runner: Any,
    cmd: str,
    host_zero_seen: Callable[[], None],
    is_checked: Callable[[Any], bool],
    *args: Any,
    **kwargs: Any,
) -> Any:
    """Run a start command on all hosts of a slice, and return what host 0 said.

    Args:
        runner: Ray's command runner of the slice.
        cmd: the command, with the boot check.
        host_zero_seen: returns when the autoscaler has seen host 0.
        is_checked: says whether a host has a verdict of this start.
        args: of the runner's ``run``.
        kwargs: of the runner's ``run``.

    Raises:
        HostZeroMissingError: from ``host_zero_seen``; what Ray's runners raise where the command fails.
    """
    # First on all hosts at once, without joining: a slice with one bad host is refused before a task can reach it.
    output = runner.run(f"export {CONFIRM_ONLY}=1; {cmd}", *args, **kwargs)
    first, *others = _ray.hosts_of(runner)
    # A command beside the one that starts Ray (`sudo sysctl ...`) has now run to its end: nothing is to be started.
    if not is_checked(first):
        return output
    # A copy for each host, as Ray's own runner of a slice gives: what one changes in it must not reach another.
    output = first.run(cmd, *args, **copy.deepcopy(kwargs))
    host_zero_seen()
    on_each(runner, others, lambda host: host.run(cmd, *args, **copy.deepcopy(kwargs)))
    return output


def on_each(runner: Any, hosts: Sequence[Any], do: Callable[[Any], Any]) -> None:
    """Do something on several hosts at once: on as many as Ray's own runner of a slice talks to.

    Args:
        runner: Ray's command runner of the node.
        hosts: of that node.
        do: takes one host; its first error is raised, once the hosts that have begun are done.
    """
    with ThreadPoolExecutor(min(len(hosts), _ray.connections_of(runner)), thread_name_prefix="accel-hosts") as pool:
        list(pool.map(do, hosts))


def wait_until_seen(node_id: str, rounds: Rounds) -> None:
    """Wait until autoscaler v2 has taken host 0 for the slice's Ray node; at once where there is no such autoscaler.

    Raises:
        HostZeroMissingError: host 0 did not join.
    """
    deadline = time.monotonic() + timeouts.GCP_SLICE_HOST_ZERO_S
    while (joined := _ray.tpu_workers_joined(node_id)) is not None and "0" not in joined:
        if time.monotonic() > deadline:
            raise HostZeroMissingError(
                f"host 0 of {node_id} did not join within {timeouts.GCP_SLICE_HOST_ZERO_S:.0f} s of its ray start; "
                f"the other hosts are not started; look at the raylet's log on host 0"
            )
        time.sleep(timeouts.GCP_SLICE_POLL_S)
    # A round that has begun may have read who joined before host 0 did: the one after it has not.
    if joined is not None and not rounds.wait(2, timeouts.GCP_SLICE_HOST_ZERO_S):
        logger.warning("no two rounds of the autoscaler since host 0 of %s joined; its other hosts join now", node_id)
