"""The nodes of a cluster as the autoscaler has been told of them: listed by the cloud, or launched a moment ago."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from accel_scaling import timeouts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable


class KnownNodes:
    """Safe for several threads: launches, updaters and the autoscaler's rounds use it.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._listed: list[str] = []
        self._launched: dict[str, float] = {}  # since when; until the cloud lists it
        self._told: set[str] = set()  # of those launched: the autoscaler counts on them
        self._ended: set[str] = set()

    def launched(self, node_ids: Iterable[str]) -> None:
        """Take note of nodes that a launch has made, which no listing may show yet."""
        with self._lock:
            self._launched |= dict.fromkeys(node_ids, self._clock())

    def ended(self, node_ids: Iterable[str]) -> None:
        """Take note of nodes whose end was asked for."""
        with self._lock:
            self._ended.update(node_ids)

    def listed(self, node_ids: Collection[str]) -> list[str]:
        """Take note of what the cloud lists, and return what to tell the autoscaler beside it.

        A cloud's lists lag behind its launches. A node that the autoscaler was told of, and that is missing in the next
        list, would count as ended: a second one would be launched.
        """
        with self._lock:
            self._listed = list(node_ids)
            oldest_s = self._clock() - timeouts.LISTED_AFTER_S
            kept = {
                name: launched_s
                for name, launched_s in self._launched.items()
                if launched_s > oldest_s and name not in node_ids and name not in self._ended
            }
            self._told &= kept.keys()
            self._launched, self._ended = kept, self._ended & {*node_ids, *kept}
            return [name for name in kept if name in self._told]

    def all(self) -> list[str]:
        """Return the nodes of the last list, and those launched since.

        Also those that have ended since: a node that goes and is listed again would be treated as another.
        """
        with self._lock:
            self._told.update(self._launched)
            return list(dict.fromkeys((*self._listed, *self._launched)))
