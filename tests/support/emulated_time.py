"""Emulated time: a clock that a test moves on; whoever sleeps in the test's thread moves it on as well."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from unittest import mock

_POLL_S = 0.01


class EmulatedTime:
    """Stands for `time.time`, `time.time_ns` and `time.sleep` of the whole process, for the thread that made it.

    Other threads (servers, pools) sleep for real: they wait for real sockets.
    """

    def __init__(self) -> None:
        self._now_s = time.time()
        self._real_sleep = time.sleep
        self._thread = threading.get_ident()

    def now(self) -> float:
        """Return the emulated time, in Unix seconds."""
        return self._now_s

    def now_ns(self) -> int:
        """Return the emulated time in Unix nanoseconds, which Ray's reconciler counts in."""
        return int(self._now_s * 1e9)

    def sleep(self, seconds: float) -> None:
        """Move the clock on; another thread than the test's sleeps."""
        if threading.get_ident() == self._thread:
            self._now_s += seconds
            # Whoever polls an emulated cloud, whose time is real, must not run out of tries before it has answered.
            self._real_sleep(min(seconds, _POLL_S))
        else:
            self._real_sleep(seconds)

    def go_to(self, time_s: float) -> None:
        """Set the clock to a time; never back."""
        self._now_s = max(self._now_s, time_s)

    @contextlib.contextmanager
    def elsewhere(self) -> Iterator[list[float]]:
        """Do something that continues beside the test: what it sleeps is noted in the list, and not waited for."""
        before, took = self._now_s, [0.0]
        try:
            yield took
        finally:
            took[0] = self._now_s - before
            self._now_s = before


@contextlib.contextmanager
def emulated_time() -> Iterator[EmulatedTime]:
    """Let this process live in emulated time."""
    clock = EmulatedTime()
    now, now_ns = mock.patch("time.time", clock.now), mock.patch("time.time_ns", clock.now_ns)
    with now, now_ns, mock.patch("time.sleep", clock.sleep):
        yield clock
