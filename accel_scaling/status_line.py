"""A status line: on a terminal, the last line tells which step runs and for how long.

Off a terminal there is none; a step that may take minutes gets a whole line now and then there.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from typing import TYPE_CHECKING

from accel_scaling.message_text import flat
from accel_scaling.terminal import USUAL_WIDTH, Stream, width_of
from accel_scaling.timeouts import STATUS_LINE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CLEAR = "\r\033[K"  # to the line's begin, and nothing after it


class StatusLine:
    """A stream that passes texts on; on a terminal it has a line of status below them, and off one nothing more."""

    def __init__(self, out: Stream, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._clock = clock
        self._live = out.isatty() and os.environ.get("TERM") != "dumb"
        self._shown = False
        self._lock = threading.Lock()  # status and lines come from two threads, and share the terminal's last line

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        return self._out.isatty()

    def fileno(self) -> int:
        """Return the stream's file descriptor: its terminal has the width."""
        return int(self._out.fileno())  # type: ignore[attr-defined] # Python's streams have it

    def flush(self) -> None:
        """Flush the stream."""
        self._out.flush()

    def write(self, text: str, /) -> None:
        """Write whole lines, where the status was."""
        with self._lock:
            self._clear()
            self._out.write(text)

    @contextlib.contextmanager
    def doing(self, what: str | Callable[[], str], lines_every_s: float | None = None) -> Iterator[None]:
        """Show, while the block runs on a terminal, what it does and for how long by now.

        Args:
            what: the step, or what returns it: it may count.
            lines_every_s: off a terminal, a whole line each time so many seconds are over; none where it is None.
        """
        pause_s = STATUS_LINE_S if self._live else lines_every_s
        if pause_s is None:
            yield
            return
        began_s, over = self._clock(), threading.Event()

        def tell() -> None:
            while not over.wait(pause_s):
                step = flat(what if isinstance(what, str) else what())
                status = f"{step} ... {self._clock() - began_s:.0f} s"
                if self._live:
                    self.show(status)
                else:
                    self.write(f"{status}\n")
                    self.flush()

        teller = threading.Thread(target=tell, daemon=True, name="status line")
        teller.start()
        try:
            yield
        finally:
            over.set()
            # Before the line is cleared, so no status is written after it.
            teller.join()
            with self._lock:
                self._clear()
                self._out.flush()

    def show(self, status: str) -> None:
        """Show a status in the place of the last one, in one line of the terminal."""
        with self._lock:
            # One column is left free: some terminals go to the next line as soon as the last one is filled.
            self._out.write(_CLEAR + status[: (width_of(self._out) or USUAL_WIDTH) - 1])
            self._out.flush()
            self._shown = True

    def _clear(self) -> None:
        if self._shown:
            self._out.write(_CLEAR)
            self._shown = False


@contextlib.contextmanager
def doing(what: str | Callable[[], str], lines_every_s: float | None = None) -> Iterator[None]:
    """Show on standard error, where it is a terminal, what a command does while the block runs, and for how long.

    For what may take more than two seconds: questions to a cloud, the import of Ray. Nothing is shown of a step that is
    over sooner, and nothing stays on the screen.

    Args:
        what: the step, such as `AWS is asked which machine types us-west-2 has`, or what returns it.
        lines_every_s: as in `StatusLine.doing`.
    """
    # The stream itself: what the commands write through escapes control characters.
    with StatusLine(getattr(sys.stderr, "whole", sys.stderr)).doing(what, lines_every_s):
        yield
