"""The states that a machine passes on its way to a node, as tags: known here at once, told to EC2 where one lasts.

Ray's provider waits a second for other tags before each write, and the updater waits for the write: three seconds of
each set-up, for tags that are overwritten a moment later. What ends a set-up is still written before it continues.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from accel_scaling import timeouts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

logger = logging.getLogger(__name__)


class _State(NamedTuple):
    tags: dict[str, str]
    since_s: float
    written: bool


class PassingStates:
    """Safe for several threads.

    Args:
        write: sets tags of machines at EC2, in one call; may raise what EC2 answers.
        after_s: how long a state must last to be written.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        write: Callable[[Sequence[str], Mapping[str, str]], None],
        after_s: float = timeouts.STATUS_TAG_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._after_s = after_s
        self._clock = clock
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._states: dict[str, _State] = {}
        self._writer: threading.Thread | None = None

    def set(self, node_id: str, tags: Mapping[str, str]) -> None:
        """Set the state of a machine."""
        with self._lock:
            self._states[node_id] = _State(dict(tags), self._clock(), written=False)
            if self._writer is None:
                self._writer = threading.Thread(target=self._write_behind, name="accel-aws-states", daemon=True)
                self._writer.start()

    def of(self, node_id: str) -> Mapping[str, str]:
        """Return the state of a machine as tags; none where Ray's provider knows it."""
        state = self._states.get(node_id)
        return state.tags if state else {}

    def forget(self, node_id: str) -> None:
        """Forget the state of a machine before another is written: no write of it comes after this."""
        with self._lock:
            self._states.pop(node_id, None)
        with self._writing:
            pass  # one that is under way ends first

    def write_old(self) -> None:
        """Write the states that have lasted."""
        with self._writing:
            for tags, node_ids in self._old().items():
                self._try_to_write(node_ids, dict(tags))

    def _try_to_write(self, node_ids: Sequence[str], tags: Mapping[str, str]) -> None:
        try:
            self._write(node_ids, tags)
        except Exception as error:  # noqa: BLE001 - a tag for people; the machine may be gone
            logger.debug("the state of %s is not written: %s", ", ".join(node_ids), error)

    def _old(self) -> dict[tuple[tuple[str, str], ...], list[str]]:
        """Return the machines whose states have lasted, by these, which count as written."""
        found: dict[tuple[tuple[str, str], ...], list[str]] = {}
        with self._lock:
            for node_id, state in self._states.items():
                if not state.written and self._clock() - state.since_s >= self._after_s:
                    found.setdefault(tuple(sorted(state.tags.items())), []).append(node_id)
                    self._states[node_id] = state._replace(written=True)
        return found

    def _write_behind(self) -> None:
        waiting = True
        while waiting:
            threading.Event().wait(self._after_s / 5)
            self.write_old()
            with self._lock:
                waiting = any(not state.written for state in self._states.values())
                if not waiting:
                    self._writer = None
