"""What `ray down` says while it works: which machines it ends, how many have ended, and which are left.

Ray itself prints numbers only: "Requested 3 nodes to shut down", and nothing until the cloud has answered for all of
them. On a terminal a status line counts; in a log a line comes every LOG_PROGRESS_S.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from accel_scaling import _ray, timeouts
from accel_scaling.message_text import flat, printable
from accel_scaling.status_line import doing
from accel_scaling.terminal import wrapped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_NAMED = 5  # machines of a node type that a line names: a line of a thousand is not read


class TeardownProgress:
    """The lines of one `ray down`.

    Args:
        stops: machines are stopped where they can be, and not terminated.
        say: prints a line.
    """

    def __init__(self, *, stops: bool, say: Callable[[str], object] | None = None) -> None:
        self._verbs = ("Stopping", "stopped") if stops else ("Terminating", "terminated")
        self._say = say or _say
        self._first: frozenset[str] | None = None  # what was there when the first was ended
        self._left: frozenset[str] = frozenset()  # at the last line
        self._commands: set[str] = set()
        self._lock = threading.Lock()

    def runs(self, command: str, seconds: float) -> None:
        """Say that a command runs on machines; once, though it runs on many.

        Args:
            command: such as ``ray stop``.
            seconds: how long each machine has for it.
        """
        with self._lock:
            known = command in self._commands
            self._commands.add(command)
        if not known:
            self._say(f"Running `{flat(command)}` before the machines end, for at most {seconds:g} s on each")

    @contextlib.contextmanager
    def ending(self, node_types: Mapping[str, str]) -> Iterator[Callable[[Sequence[str]], None]]:
        """Say which machines are being ended, and count while the block runs; give it what notes that some have ended.

        Args:
            node_types: machine -> its node type.
        """
        self._say_which(node_types)
        ended: set[str] = set()

        def note(node_ids: Sequence[str]) -> None:
            # From many threads; adding to a set is one step of Python's.
            ended.update(node_ids)

        def status() -> str:
            left = len(node_types) - len(ended)
            return f"{len(ended)} of {len(node_types)} machines {self._verbs[1]}, {left} left"

        with doing(status, lines_every_s=timeouts.LOG_PROGRESS_S):
            yield note

    def _say_which(self, node_types: Mapping[str, str]) -> None:
        now = frozenset(node_types)
        if self._first is None:
            self._first = now
            self._say(f"{self._verbs[0]} {_machines(len(now))}: {_named(node_types)}")
        elif now != self._left:
            # Ray ends what is left in each round, once a second: only a change is news.
            self._say(f"{len(now)} of {_machines(len(self._first | now))} left: {_named(node_types)}")
        self._left = now


def listing() -> contextlib.AbstractContextManager[None]:
    """Show that the cluster's machines are listed, while the block runs."""
    return doing("the cluster's machines are listed", lines_every_s=timeouts.LOG_PROGRESS_S)


def _machines(count: int) -> str:
    return "1 machine" if count == 1 else f"{count} machines"


def _named(node_types: Mapping[str, str]) -> str:
    """Return the machines, by node type: ``head i-1; a10g i-2, i-3 and 4 more``."""
    by_type: dict[str, list[str]] = {}
    for node_id, node_type in node_types.items():
        by_type.setdefault(node_type, []).append(node_id)
    return "; ".join(_of_type(node_type, sorted(nodes)) for node_type, nodes in sorted(by_type.items()))


def _of_type(node_type: str, nodes: Sequence[str]) -> str:
    more = f" and {len(nodes) - _NAMED} more" if len(nodes) > _NAMED else ""
    return printable(f"{node_type} {', '.join(nodes[:_NAMED])}{more}")


def _say(line: str) -> None:
    _ray.cli_logger().print("{}", wrapped(line))
