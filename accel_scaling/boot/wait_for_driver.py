"""Waits, with a deadline, for a driver that is still loading; every other verdict is returned at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from accel_scaling import timeouts
from accel_scaling.boot.verdicts import NoCheck, VerdictWord
from accel_scaling.families.inventory import uptime_s

if TYPE_CHECKING:
    from collections.abc import Callable

    from accel_scaling.boot.verdicts import Verdict


def wait_for_verdict(
    check: Callable[[], Verdict],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    wait_s: float | None = None,
    up_s: Callable[[], float | None] = uptime_s,
) -> Verdict:
    """Return the verdict once the driver has answered, or the last one when it stays silent for too long.

    A missing driver is waited for too, but only on a machine that has just booted.

    Args:
        check: detects the machine's devices again and returns the verdict.
        clock: seconds; only differences count.
        sleep: waits so many seconds.
        wait_s: how long to repeat the check, 0 for one check; by default as long as a node's boot allows.
        up_s: the machine's uptime in seconds; None where that is not known.
    """
    # By a clock that nothing sets: a time service may move the wall clock of a machine that has just booted.
    deadline_s = clock() + (timeouts.DRIVER_READY_S if wait_s is None else wait_s)
    while (left_s := deadline_s - clock()) > 0:
        verdict = check()
        if not _may_change(verdict.word, up_s):
            return verdict
        sleep(min(timeouts.DRIVER_READY_POLL_S, left_s))
    # Also with a wait of 0 s, where the loop never runs.
    return check()


def _may_change(word: VerdictWord | NoCheck, up_s: Callable[[], float | None]) -> bool:
    if word is not VerdictWord.DRIVER_MISSING:
        return word is VerdictWord.NOT_YET
    # Where the uptime is not known, a missing driver is final: waiting would cost each such machine a minute.
    up = up_s()
    return up is not None and up < timeouts.DRIVER_LOADS_S
