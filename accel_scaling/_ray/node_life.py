"""What Ray says of a node between its launch and its first task: its status tag, its tries, and who has joined."""

from __future__ import annotations

import math
import os
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from accel_scaling._ray.autoscaler import autoscaler_version
from accel_scaling._ray.launcher import callers

if TYPE_CHECKING:
    from collections.abc import Mapping

# The values of the tag that Ray's updater sets, in its order: ray/autoscaler/tags.py.
STATUS_TAG = "ray-node-status"
WAITING_FOR_SSH = "waiting-for-ssh"
SYNCING_FILES = "syncing-files"
SETTING_UP = "setting-up"
UP_TO_DATE = "up-to-date"
UPDATE_FAILED = "update-failed"

PROBE_COMMAND = "uptime"
"""With which the updater asks whether ssh answers: NodeUpdater.wait_ready."""

SSH_TIMEOUT_S = 900
"""For a new machine to answer ssh: AUTOSCALER_NODE_START_WAIT_S, which NodeUpdater.wait_ready counts down."""

STOP_COMMAND = re.compile(r"((?:export \w+=[^;]*; )*)(ray stop(?: --force| -f)?)")
"""A start command that stops Ray and does nothing else, with the variables that Ray's util.with_envs puts before it."""

# What `ray stop` looks for (RAY_PROCESSES in ray/autoscaler/_private/constants.py), and the file that it removes. The
# brackets: the shell that runs the command has the pattern in its own command line.
_RAY_RUNS = (
    r"[r]aylet|[p]lasma_store|[m]onitor\.py|[r]ay\.util\.client\.server|[d]efault_worker\.py|[s]etup_worker\.py|[r]ay::"
    r"|[i]o\.ray\.runtime\.|[l]og_monitor\.py|[d]ashboard/|[r]untime_env/agent/|[r]ay_process_reaper\.py|[g]cs_server"
)
_RAY_ADDRESS = '"${RAY_TMPDIR:-/tmp}/ray/ray_current_cluster"'

_V2_ATTEMPTS = 3
"""How often v2 sets a machine up: max_install_attempts of ThreadedRayInstaller. v1 does it once."""

_V2_INSTALL_TIMEOUT = ("RAY_AUTOSCALER_RECONCILE_RAY_INSTALL_STATUS_TIMEOUT_S", 30 * 60)
"""After which v2 gives up a machine that is still being set up: InstanceReconcileConfig. v1 waits for ever."""

ALLOCATE_TIMEOUT = ("RAY_AUTOSCALER_RECONCILE_ALLOCATE_STATUS_TIMEOUT_S", 60 * 60)
"""After which v2 ends a machine that is listed and does not run: InstanceReconcileConfig. v1 sets it up at once."""

GCS_S = 5
"""For the GCS to answer: it runs on the same machine, and a round of the autoscaler waits for it."""


class JoinedNode(NamedTuple):
    """A node that has joined Ray.

    Attributes:
        instance_id: the cloud's name of it, which v2 puts into its start command; empty under v1.
        address: its address within the network.
        labels: as it announced them.
        alive: False for one that has left again.
        node_id: of it in Ray, in hex digits.
    """

    instance_id: str
    address: str
    labels: dict[str, str]
    alive: bool
    node_id: str = ""


def status_of(tags: dict[str, str]) -> str | None:
    """Return the status that these tags set; None where they set none."""
    return tags.get(STATUS_TAG)


def stop_where_ray_runs(command: str) -> str:
    """Return a start command whose `ray stop` is left out on a machine where no process of Ray's runs.

    `ray stop` imports Ray and looks through all processes: 1.3 s on each new machine, where there is nothing to stop.
    """
    found = STOP_COMMAND.fullmatch(command)
    if found is None:
        return command
    # 1 is pgrep's answer for "none"; without pgrep, or without `ray`, Ray's own command runs and says what is wrong.
    none = f"command -v ray && [ ! -e {_RAY_ADDRESS} ] && {{ pgrep -f '{_RAY_RUNS}'; [ $? -eq 1 ]; }}"
    return f"{found[1]}{{ {none}; }} >/dev/null 2>&1 || {found[2]}"


def is_passing(tags: Mapping[str, str]) -> bool:
    """Return whether these tags say nothing but how far a set-up is that continues."""
    return set(tags) == {STATUS_TAG} and tags[STATUS_TAG] in (WAITING_FOR_SSH, SYNCING_FILES, SETTING_UP)


def start_attempts() -> int:
    """Return how often this process's autoscaler sets a machine up before it gives it up."""
    return _V2_ATTEMPTS if autoscaler_version() == "v2" else 1


def set_up_timeout_s() -> float:
    """Return after how long this process's autoscaler gives up a machine whose set-up does not end."""
    name, default = _V2_INSTALL_TIMEOUT
    return float(os.environ.get(name, default)) if autoscaler_version() == "v2" else math.inf


def tell_launch_failed(node_type: str, tags: Mapping[str, str], code: str, message: str) -> None:
    """Tell autoscaler v2, which is listing nodes just now, that a machine of a launch will never be listed.

    It waits ten minutes for such a machine, and keeps the demand for it; v1 counts the machines of each listing again.
    """
    from ray.autoscaler.node_launch_exception import NodeLaunchException
    from ray.autoscaler.tags import TAG_RAY_LAUNCH_REQUEST
    from ray.autoscaler.v2.instance_manager.node_provider import LaunchNodeError, NodeProviderAdapter

    owners = (frame.f_locals.get("self") for frame in callers())
    adapter = next((owner for owner in owners if isinstance(owner, NodeProviderAdapter)), None)
    request_id = tags.get(TAG_RAY_LAUNCH_REQUEST)
    if adapter is None or not request_id:
        return
    error = LaunchNodeError(node_type, 1, request_id, time.time_ns())
    error.__cause__ = NodeLaunchException(code, message, None)
    # Read at the end of the listing: Autoscaler.update_autoscaling_state asks for nodes first, and for errors then.
    adapter._errors_queue.put(error)  # noqa: SLF001


def joined_nodes() -> list[JoinedNode] | None:
    """Return the nodes that have joined this cluster, those that have left again included, asked of the GCS.

    None in a process that is no autoscaler.

    Raises:
        Exception: whatever Ray's client raises where the GCS does not answer.
    """
    option = "--gcs-address="
    address = next((word.removeprefix(option) for word in sys.argv[1:] if word.startswith(option)), None)
    if not address or Path(sys.argv[0]).name != "monitor.py":
        return None
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # Cython
    from ray.core.generated.gcs_pb2 import GcsNodeInfo

    return [
        JoinedNode(
            info.instance_id,
            info.node_manager_address,
            dict(info.labels),
            info.state == GcsNodeInfo.ALIVE,
            node_id.hex(),
        )
        for node_id, info in GcsClient(address=address).get_all_node_info(timeout=GCS_S).items()
    ]
