"""The operations of Cloud TPU, and the wait for one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from accel_scaling import timeouts
from accel_scaling.catalog.launch_errors import Category, Failure
from accel_scaling.providers.gcp.answers import named
from accel_scaling.providers.gcp.calls import OperationFailedError, of_operation
from accel_scaling.providers.gcp.client import collection

if TYPE_CHECKING:
    from collections.abc import Callable


def wait(client: Any, operation: dict[str, Any], *, enough: Callable[[], bool] = lambda: False) -> None:
    """Wait until an operation is done, looking less and less often.

    Args:
        client: of Cloud TPU.
        operation: as the call that began it answered.
        enough: asked before each look; where it is true, the operation may end by itself.

    Raises:
        OperationFailedError: it failed, or is not done after half an hour.
    """
    # From 0.2 s on, for labels; a creation takes minutes, and needs no look each second.
    deadline, wait_s = time.monotonic() + timeouts.GCP_OPERATION_S, timeouts.GCP_OPERATION_POLL_S / 5
    operations = collection(client, "projects", "locations", "operations")
    while not operation.get("done"):
        if enough():
            return
        if time.monotonic() > deadline:
            text = f"{named(operation)} is not done after {timeouts.GCP_OPERATION_S:.0f} s"
            raise OperationFailedError(Failure(Category.UNAVAILABLE, "TIMEOUT", text))
        time.sleep(wait_s)
        wait_s = min(wait_s * 1.5, 5 * timeouts.GCP_OPERATION_POLL_S)
        operation = operations.get(name=named(operation)).execute()
    if "error" in operation:
        raise OperationFailedError(of_operation(operation["error"]))
