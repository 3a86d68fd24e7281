"""Errors that drivers report as they happen, from a process of its own that waits for them; its end is no harm."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import time
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from accel_scaling import timeouts
from accel_scaling.families.registry import all_families
from accel_scaling.families.visible import reading_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from accel_scaling.catalog.driver_events import Effect
    from accel_scaling.families.family import Family

_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG
_MOST_BYTES = 65_536  # of one read: a program that fails thousands of times a second must not cost as much here
_FIRST, _LAST = 3, 256  # numbers of files that the child closes: sockets and locks of its parent


class DriverError(NamedTuple):
    """One error of a device.

    Attributes:
        code: as its driver names it, and ``driver_events.csv``: ``XID 79``.
        message: a sentence.
        effect: of the node.
    """

    code: str
    message: str
    effect: Effect


class DriverEvents:
    """The drivers of one node that can report errors.

    Args:
        families: whose drivers are listened to.
        environment: of `ray start`, which may leave some devices to others.
        ticks: seconds that only go forward.
    """

    def __init__(
        self,
        families: Sequence[Family],
        environment: Mapping[str, str],
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._families, self._environment, self._ticks = families, environment, ticks
        self._children: dict[str, tuple[int, int]] = {}  # family -> process and the pipe that it writes to
        self._again_s: dict[str, float] = {}
        self._rest: dict[str, bytes] = {}

    def read(self) -> list[DriverError]:
        """Return what drivers have reported since the last call; a process that has ended is started again later."""
        found = []
        for family in self._families:
            if family.name not in self._children:
                if self._ticks() >= self._again_s.get(family.name, 0.0):
                    self._start(family)
                continue
            found += [self._error(family, line) for line in self._lines(family)]
        return [error for error in found if error is not None]

    def close(self) -> None:
        """End the processes."""
        for child, reading in self._children.values():
            os.close(reading)
            with contextlib.suppress(OSError):
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
        self._children.clear()

    def _start(self, family: Family) -> None:
        reading, writing = os.pipe()
        try:
            child = os.fork()
        except OSError:  # no room for a process now
            os.close(reading)
            os.close(writing)
            self._again_s[family.name] = self._ticks() + timeouts.DRIVER_EVENTS_AGAIN_S
            return
        if child == 0:
            _listen(family, writing)
        os.close(writing)
        self._children[family.name] = (child, reading)

    def _lines(self, family: Family) -> list[bytes]:
        child, reading = self._children[family.name]
        if not select.select([reading], [], [], 0)[0]:
            return []
        data = os.read(reading, _MOST_BYTES)
        if not data:
            os.close(reading)
            del self._children[family.name]
            # Ended by itself with 0: nothing can be listened to on this machine.
            nothing = os.waitpid(child, 0)[1] == 0
            self._again_s[family.name] = float("inf") if nothing else self._ticks() + timeouts.DRIVER_EVENTS_AGAIN_S
            return []
        *lines, self._rest[family.name] = (self._rest.get(family.name, b"") + data).split(b"\n")
        return list(dict.fromkeys(lines))

    def _error(self, family: Family, line: bytes) -> DriverError | None:
        # Here: the table is read when there is an error, which most nodes never have.
        from accel_scaling.catalog.driver_events import Effect, effect_of

        number, _, code = line.decode(errors="replace").partition(" ")
        name, effect = effect_of(family.name, code)
        whose = self._is_ours(family, int(number)) if number.isdecimal() else None
        if whose is False:
            return None
        # Where it is not sure which device that is, a look at those of this node says whether they are well.
        effect = Effect.LOOK if whose is None and effect is Effect.DRAIN else effect
        return DriverError(code, f"the driver reports {code} of device {number}: {name}", effect)

    def _is_ours(self, family: Family, number: int) -> bool | None:
        """Return whether Ray gives this device to tasks; None where that is not sure."""
        reading = reading_of(family, self._environment)
        if reading is None:
            return True
        places = family.places(reading.ids, self._environment) if family.places else None
        return None if places is None else number in places


def driver_events_of(promised: Mapping[str, float], environment: Mapping[str, str]) -> DriverEvents | None:
    """Return the drivers of the promised resources that can report errors; None where there are none."""
    families = [family for family in all_families() if family.listen and promised.get(family.resource, 0) > 0]
    return DriverEvents(families, environment) if families else None


def _listen(family: Family, writing: int) -> NoReturn:
    """Write a line for each error, in the child, until its parent ends."""
    code = 1
    try:
        ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGKILL)
        for number in range(_FIRST, _LAST):
            if number != writing:
                with contextlib.suppress(OSError):
                    os.close(number)

        def say(number: int, error: str) -> None:
            os.write(writing, f"{number} {error}\n".encode())

        if family.listen is not None:
            family.listen(say)
        code = 0
    except Exception:  # noqa: BLE001 - it is started again later
        code = 1
    finally:
        os._exit(code)
