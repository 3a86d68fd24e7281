"""A driver that is still coming up is waited for, with a deadline; every other verdict stands at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from accel_scaling import timings
from accel_scaling.confirm.words import VerdictWord

if TYPE_CHECKING:
    from collections.abc import Callable

    from accel_scaling.confirm.verdict import Verdict


def settled_verdict(
    judge: Callable[[], Verdict],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    wait_s: float | None = None,
) -> Verdict:
    """Return the verdict once the driver has answered, or the last one when it stays silent for too long.

    Args:
        judge: looks at the machine anew and returns the verdict on it.
        clock: seconds; only differences count.
        sleep: waits so many seconds.
        wait_s: for how long to look again, 0 for one look; by default as long as a node's boot allows.
    """
    deadline_s = clock() + (timings.DRIVER_READY_S if wait_s is None else wait_s)
    while (verdict := judge()).word is VerdictWord.NOT_YET and (left_s := deadline_s - clock()) > 0:
        sleep(min(timings.DRIVER_READY_POLL_S, left_s))
    return verdict
