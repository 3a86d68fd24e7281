"""Rounds of autoscaler v2 that come before Ray's interval is over: where a task waits, or a machine has come.

Ray's monitor looks every 5 s: a task waits for one look, and its machine, once launched, for another. Here the monitor
waits no longer than until something is there to be done. An early round asks the cloud nothing: the provider answers
it from what it knows (providers/base/known_nodes.py), so the cloud is asked as often as by Ray alone.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from accel_scaling import timeouts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Demand = Mapping[bytes, int]

logger = logging.getLogger(__name__)


class EarlyRounds:
    """Waits between two rounds, in the autoscaler's thread; says whether the round that follows is an early one.

    Args:
        demand: asks what waits for resources; it may raise what it likes.
        clock: seconds that only grow.
        sleep: waits so many seconds.
        came: set when machines were launched; it is waited for.
    """

    def __init__(
        self,
        demand: Callable[[], Demand] | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        came: threading.Event | None = None,
    ) -> None:
        self._demand = demand or dict
        self._clock = clock
        self._sleep = sleep
        self._came = came or threading.Event()
        self._thread: int | None = None
        self._early = False
        self._began_s = clock()
        self._regular_s = clock()  # when the next regular round is due
        self._known: Demand = {}

    @property
    def is_early(self) -> bool:
        """True in the autoscaler's thread, in a round that came before its time; updaters list again."""
        return self._early and threading.get_ident() == self._thread

    def came(self) -> None:
        """Tell that machines were launched: the round that starts their set-up may begin."""
        self._came.set()

    def pause(self, interval_s: float) -> None:
        """Wait until the next round is due, or until an early one is worth it."""
        ended_s, self._thread = self._clock(), threading.get_ident()
        if not self._early:
            self._regular_s = ended_s + interval_s
        # A round of a large cluster takes long: early ones take a fifth of the time at most.
        earliest_s = ended_s + max(timeouts.EARLY_ROUND_GAP_S, 4 * (ended_s - self._began_s))
        self._early = self._wait(earliest_s)
        self._began_s = self._clock()

    def _wait(self, earliest_s: float) -> bool:
        """Wait; return whether the round that follows is early."""
        look_s, before = timeouts.DEMAND_LOOK_S, self._known
        self._sleep(max(0.0, min(earliest_s, self._regular_s) - self._clock()))
        while (left_s := self._regular_s - self._clock()) > 0:
            if self._came.wait(min(look_s, left_s)):
                self._came.clear()
                return True
            asked_s = self._clock()
            now = self._look(before)
            # What waits no more is new when it waits again.
            self._known = {request: min(count, now.get(request, 0)) for request, count in self._known.items()}
            # Tasks come in bursts. What is still growing is waited for: seen whole, it gets the machines that fit it.
            if _grew(self._known, before) and _grew(self._known, now) and not _grew(before, now):
                self._known = now
                return True
            before = now
            look_s = max(timeouts.DEMAND_LOOK_S, 20 * (self._clock() - asked_s))
        self._came.clear()
        self._known = self._look(before)
        return False

    def _look(self, before: Demand) -> Demand:
        try:
            return self._demand()
        except Exception as error:  # noqa: BLE001 - Ray's client raises what gRPC does; the round will say it, too
            logger.debug("the pending resource requests are unknown: %s", error)
            return before


def _grew(before: Demand, now: Demand) -> bool:
    """Return whether something waits now that did not before, or more of it."""
    return any(count > before.get(request, 0) for request, count in now.items())
