"""The pause of autoscaler v2 between two rounds, and the demand that its next round will find."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from accel_scaling._ray.autoscaler import autoscaler_version

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# Read by the monitor when it is imported: constants.py of ray/autoscaler/_private.
INTERVAL_VARIABLE = "AUTOSCALER_UPDATE_INTERVAL_S"

# Read by the GCS when it starts (src/ray/common/ray_config_def.h): milliseconds, 1000 by default.
DEMAND_PERIOD_VARIABLE = "RAY_gcs_pull_resource_loads_period_milliseconds"


class _Clock:
    """The module ``time`` as the monitor sees it, with another ``sleep``."""

    def __init__(self, pause: Callable[[float], None]) -> None:
        self.sleep = pause

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


def replace_pause(pause: Callable[[float], None]) -> bool:
    """Have this process's autoscaler v2 wait between two rounds by this function, which gets Ray's seconds.

    Returns:
        Whether it does; False in any other process, and where the user has set an interval of their own.
    """
    # Ray has no interface for it: Monitor._run calls `time.sleep` of its own module, which runs as the program.
    monitor = sys.modules["__main__"]
    if autoscaler_version() != "v2" or os.environ.get(INTERVAL_VARIABLE) or not hasattr(monitor, INTERVAL_VARIABLE):
        return False
    monitor.__dict__["time"] = _Clock(pause)
    return True


def demand_reader() -> Callable[[], Mapping[bytes, int]] | None:
    """Return a function that asks the GCS what waits for resources: each request, and how often; None elsewhere."""
    option = "--gcs-address="
    address = next((word.removeprefix(option) for word in sys.argv[1:] if word.startswith(option)), None)
    if not address:
        return None
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # Cython

    client = GcsClient(address=address)
    return lambda: _demand(client)


def _demand(client: Any) -> Mapping[bytes, int]:
    from ray.autoscaler.v2.sdk import get_cluster_resource_state

    state = get_cluster_resource_state(client)
    found: Counter[bytes] = Counter()
    for one in state.pending_resource_requests:
        found[one.request.SerializeToString(deterministic=True)] += one.count
    for other in (*state.pending_gang_resource_requests, *state.cluster_resource_constraints):
        found[other.SerializeToString(deterministic=True)] += 1
    return found
