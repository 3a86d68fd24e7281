"""A call that is tried again while the cloud says that it has too much to do, each time after a longer wait."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, TypeVar

from accel_scaling import timeouts
from accel_scaling.catalog.launch_errors import PASSING
from accel_scaling.errors import INTERRUPTED_CODE, AccelScalingError

if TYPE_CHECKING:
    from collections.abc import Callable

    from accel_scaling.catalog.launch_errors import Failure

    Sleep = Callable[[float], None] | None

T = TypeVar("T")


class RefreshError(AccelScalingError):
    """The cloud's API could not be asked, or its answer cannot be written."""


class InterruptedRefreshError(RefreshError):
    """Ctrl-C came before anything was known that could be kept."""

    exit_code = INTERRUPTED_CODE


class RefusedError(Exception):
    """The cloud did not answer a call, in the end; one region's trouble need not be another's."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(" ".join(str(failure).split()))  # a cloud's sentences may have line breaks
        self.failure = failure


def patiently(
    call: Callable[[], T],
    failure_of: Callable[[Exception], Failure | None],
    *,
    sleep: Sleep = None,
) -> T:
    """Return what a call returns, tried again where that may help.

    Args:
        call: asks the cloud once.
        failure_of: what an exception means; None where it is none of the cloud's.
        sleep: waits for seconds; ``time.sleep`` where it is None.

    Raises:
        RefusedError: the cloud refused, or was too busy each time.
    """
    for wait_s in (*timeouts.REFRESH_RETRY_WAITS_S, None):
        try:
            return call()
        except Exception as error:
            failure = failure_of(error)
            if failure is None:
                raise
            if wait_s is None or failure.category not in PASSING:
                raise RefusedError(failure) from error
        # Several regions may be throttled at once: each waits its own time.
        (sleep or time.sleep)(wait_s * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
    raise AssertionError("the last wait is None")  # pragma: no cover
