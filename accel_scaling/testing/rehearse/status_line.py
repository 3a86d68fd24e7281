"""A status line at the bottom of a terminal, shown while a step runs."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from typing import TYPE_CHECKING

from accel_scaling.timeouts import STATUS_LINE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from accel_scaling.terminal import Stream

_CLEAR = "\r\033[K"  # to the line's begin, and nothing after it


class StatusLine:
    """A stream that passes texts on; on a terminal it has a line of status below them, and off one nothing more."""

    def __init__(self, out: Stream, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._clock = clock
        self._live = out.isatty() and os.environ.get("TERM") != "dumb"
        self._shown = False
        self._lock = threading.Lock()

    def isatty(self) -> bool:
        """Say whether a person looks at it."""
        return self._out.isatty()

    def flush(self) -> None:
        """Let what was written be seen."""
        self._out.flush()

    def write(self, text: str, /) -> None:
        """Write whole lines, where the status was."""
        with self._lock:
            self._clear()
            self._out.write(text)

    @contextlib.contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Show, while the block runs on a terminal, what it does and for how long by now."""
        if not self._live:
            yield
            return
        began_s, over = self._clock(), threading.Event()

        def tell() -> None:
            while not over.wait(STATUS_LINE_S):
                self.show(f"{what} ... {self._clock() - began_s:.0f} s")

        teller = threading.Thread(target=tell, daemon=True, name="status line")
        teller.start()
        try:
            yield
        finally:
            over.set()
            teller.join()
            with self._lock:
                self._clear()
                self._out.flush()

    def show(self, status: str) -> None:
        """Show a status in the place of the last one, in one line of the terminal."""
        with self._lock:
            self._out.write(_CLEAR + status[: shutil.get_terminal_size().columns - 1])
            self._out.flush()
            self._shown = True

    def _clear(self) -> None:
        if self._shown:
            self._out.write(_CLEAR)
            self._shown = False
