"""Changes that read first, and are made again when somebody else's change came between."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from accel_scaling import timeouts

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def until_unbeaten(change: Callable[[], T], beaten: Callable[[Exception], bool]) -> T:
    """Make a change, which reads anew each time, until no other comes between; return what it returns.

    Args:
        change: reads and writes.
        beaten: says whether what it raised means that another change came between.

    Raises:
        Exception: what ``change`` raised for another reason, or at the last try (GCP_CONFLICT_TRIES).
    """
    for attempt in range(1, timeouts.GCP_CONFLICT_TRIES):
        try:
            return change()
        except Exception as error:
            if not beaten(error):
                raise
        time.sleep(attempt * timeouts.GCP_CONFLICT_WAIT_S)
    return change()
