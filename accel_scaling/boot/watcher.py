"""The watcher of a node: it looks for notices of the cloud and for sick devices, as long as the node's raylet runs.

    python -m accel_scaling.boot.watcher        (started by the start hook, see watcher_start.py)

It imports no Ray, opens no port, and reads nothing that another user of the machine may write: the metadata server,
the devices, and the kernel's list of processes. What it finds goes to the head by a program of its own (drain_node.py).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from accel_scaling import _ray, timeouts
from accel_scaling.boot.node_event import MOST_CODE, MOST_MESSAGE, EventKind, NodeEvent, Notice
from accel_scaling.boot.verdict_file import START
from accel_scaling.boot.watcher_start import INSTANCE_ID, Watched, watched_of
from accel_scaling.catalog.model import Effect
from accel_scaling.clouds import known_clouds
from accel_scaling.cluster.policies import OnEvent
from accel_scaling.message_text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from accel_scaling.boot.driver_events import DriverError
    from accel_scaling.boot.sick_devices import Sick

_Key = tuple[EventKind, str, bool]
MOST_ERRORS = 1000  # that are remembered: a driver of many devices knows some hundred kinds


class NoticeSource(Protocol):
    """Asks a cloud for the notices of this machine."""

    def urgent(self) -> list[Notice]:
        """Return what comes within minutes."""

    def slow(self) -> list[Notice]:
        """Return what is announced longer before."""

    def pause(self, seconds: float) -> None:
        """Wait for so long, or until there may be a notice."""


@dataclass
class Watcher:
    """The watcher's loop, a step at a time.

    Attributes:
        watched: what the cluster file says, and what the node has joined with.
        source: of notices; None where the cloud has none.
        sick: looks at the devices; None where they are well.
        tell: tells the head of an event; False where it has to be tried again.
        clock: Unix seconds.
        ticks: seconds that only go forward, whatever becomes of the machine's clock.
        cpu_s: seconds of CPU that this process and its children have taken.
        errors: returns what drivers have reported since the last call; None where none is listened to.
    """

    watched: Watched
    source: NoticeSource | None
    sick: Callable[[], Sick | None] | None
    tell: Callable[[NodeEvent], bool]
    clock: Callable[[], float] = time.time
    log: Callable[[str], None] = lambda _: None
    address: str = ""
    ticks: Callable[[], float] = time.monotonic
    cpu_s: Callable[[], float] = lambda: sum(os.times()[:4])
    errors: Callable[[], Sequence[DriverError]] | None = None
    _reported: dict[tuple[str, str], float] = field(default_factory=dict)
    _told: set[_Key] = field(default_factory=set)
    _untold: dict[_Key, NodeEvent] = field(default_factory=dict)
    _tell_wait_s: float = 0.0
    _due: dict[str, float] = field(default_factory=dict)
    _silent_since_s: float | None = None
    _sick_looks: int = 0
    _sure_looks: int = 0
    _failed: str = ""
    _drains: bool = False

    def step(self) -> None:
        """Look at what is due now."""
        if self._drains:
            return  # it is told, and what comes now changes nothing
        if self.source is not None:
            wait_s = timeouts.WATCHER_NOTICES_S if self._answers() else timeouts.WATCHER_SLOW_NOTICES_S
            if self._is_due("urgent", wait_s):
                self._look_for_notices(self.source.urgent)
            if self._is_due("slow", timeouts.WATCHER_SLOW_NOTICES_S):
                self._look_for_notices(self.source.slow)
        for error in self.errors() if self.errors is not None else ():
            self._take(error)
        # The first look at the devices is the boot check's.
        if self.sick is not None and self._is_due("devices", timeouts.WATCHER_DEVICES_S, timeouts.WATCHER_DEVICES_S):
            self._look_at_devices(self.sick)

    def _take(self, error: DriverError) -> None:
        """Act on what a driver has reported, once: a program that fails may cause thousands of the same."""
        key, now_s = (error.code, error.message), self.ticks()
        if now_s - self._reported.get(key, -math.inf) < timeouts.DRIVER_ERROR_AGAIN_S:
            return
        self._reported = {name: at_s for name, at_s in self._reported.items() if len(self._reported) < MOST_ERRORS}
        self._reported[key] = now_s
        self.log(f"{error.message}: {error.effect.value}")
        if error.effect is Effect.DRAIN:
            self._found(Notice(EventKind.SICK, error.code, error.message))
        elif error.effect is Effect.LOOK:
            self._due["devices"] = now_s

    def _is_due(self, what: str, every_s: float, first_s: float = 0.0) -> bool:
        now_s = self.ticks()
        if now_s < self._due.setdefault(what, now_s + first_s):
            return False
        self._due[what] = now_s + every_s
        return True

    def _answers(self) -> bool:
        since_s = self._silent_since_s
        return since_s is None or self.ticks() - since_s < timeouts.NOTICE_LOST_S

    def _look_for_notices(self, ask: Callable[[], Sequence[Notice]]) -> None:
        try:
            notices = ask()
        except Exception as error:  # noqa: BLE001 - whatever a proxy answers in its place must not end the watch
            if self._silent_since_s is None:
                self._silent_since_s = self.ticks()
                self.log(one_line(str(error) or type(error).__name__, MOST_MESSAGE))
            return
        self._silent_since_s = None
        for notice in notices:
            self._found(notice)

    def _look_at_devices(self, look: Callable[[], Sick | None]) -> None:
        before_s = self.cpu_s()
        found = self._looked(look)
        self._sick_looks = self._sick_looks + 1 if found else 0
        self._sure_looks = self._sure_looks + 1 if found and found.sure else 0
        # Some makers' packages take seconds to import: they are asked as rarely as that costs.
        rarely_s = (self.cpu_s() - before_s) / timeouts.WATCHER_DEVICES_SHARE
        self._due["devices"] = self.ticks() + max(timeouts.WATCHER_DEVICES_S, rarely_s)
        if found is None:
            if not self._failed:
                self._are_well()
            return
        if self._sure_looks >= timeouts.WATCHER_SICK_LOOKS or self._sick_looks >= timeouts.WATCHER_UNSURE_LOOKS:
            self._found(Notice(EventKind.SICK, found.code, found.message), can_act=found.acts, sure=found.sure)
        elif found.sure:
            self._due["devices"] = self.ticks() + timeouts.WATCHER_SICK_AGAIN_S

    def _are_well(self) -> None:
        """Tell the head that its drain is no longer needed, where it has not begun.

        What a driver has reported, a look does not see: that stays.
        """
        reported = {code for code, _ in self._reported}
        sick = {
            key
            for key in (*self._told, *self._untold)
            if key[0] is EventKind.SICK and key[2] and key[1] not in reported
        }
        told = sick & self._told
        for key in sick:
            self._untold.pop(key, None)
            self._told.discard(key)
        if told:
            message = "the devices hold the promise again"
            self.log(message)
            words = (EventKind.SICK, "Confirmed", message)
            event = NodeEvent(
                *words, acts=False, deadline_s=self.clock(), instance_id=_instance_id(), address=self.address
            )
            if not self.tell(event):
                self._told |= told  # with the next look

    def _looked(self, look: Callable[[], Sick | None]) -> Sick | None:
        try:
            found = look()
        except Exception as error:  # noqa: BLE001 - a look that fails says nothing about the devices
            words = one_line(f"the devices could not be looked at: {type(error).__name__}: {error}", MOST_MESSAGE)
            if words != self._failed:
                self.log(words)
            self._failed = words
            return None
        self._failed = ""
        return found

    def _found(self, notice: Notice, *, can_act: bool = True, sure: bool = True) -> None:
        on_event = self.watched.on_event(notice.kind)
        if on_event is OnEvent.IGNORE or self._drains:
            return
        now_s, drain_s = self.clock(), self.watched.drain_s
        # A time that has passed says no more than that it may happen at any moment.
        left_s = None if notice.at_s is None or notice.at_s <= now_s else notice.at_s - now_s
        # What is announced days before is acted on when as much time is left as a drain takes. An interruption is
        # minutes away, whatever the machine's clock says.
        early = notice.kind is not EventKind.INTERRUPTION and left_s is not None and left_s > drain_s
        acts = on_event is OnEvent.ACT and can_act and not early
        code, message = one_line(notice.code, MOST_CODE), one_line(notice.message, MOST_MESSAGE)
        key = (notice.kind, code, acts)
        if key in self._told:
            return
        deadline_s = now_s + (drain_s if left_s is None else min(left_s, drain_s))
        # As it was found first: with each try the deadline would come later.
        event = self._untold.setdefault(
            key,
            NodeEvent(notice.kind, code, message, acts, deadline_s, _instance_id(), self.address, sure),
        )
        if self.ticks() >= self._due.get("tell", 0.0):
            self._try_to_tell(key, event)

    def _try_to_tell(self, key: _Key, event: NodeEvent) -> None:
        self.log(f"{event.kind.value}: {event.code}: {event.message}; {'drains' if event.acts else 'only told'}")
        if self.tell(event):
            self._told.add(key)
            del self._untold[key]
            # A sick node is drained by the head, which may wait with it: a notice may still come, or it is well again.
            self._drains, self._tell_wait_s = event.acts and event.kind is not EventKind.SICK, 0.0
            return
        # Each try starts a program that imports Ray.
        self._tell_wait_s = min(max(1.0, 2 * self._tell_wait_s), timeouts.WATCHER_TELL_MOST_S)
        self._due["tell"] = self.ticks() + self._tell_wait_s


def _instance_id() -> str:
    return os.environ.get(INSTANCE_ID, "")


def teller_of(raylet: _ray.Raylet) -> Callable[[NodeEvent], bool]:
    """Return a function that tells the head of an event in a process of its own."""

    def tell(event: NodeEvent) -> bool:
        words = [sys.executable, "-m", "accel_scaling.boot.drain_node", event.to_text(), json.dumps(raylet)]
        try:
            # Longer than the program's own alarm.
            done = subprocess.run(words, check=False, timeout=timeouts.DRAIN_CALL_S * 2, stdin=subprocess.DEVNULL)
        except (OSError, subprocess.SubprocessError):
            return False
        return done.returncode == 0

    return tell


def watch(environment: dict[str, str]) -> None:
    """Watch this node until its raylet ends; return at once where there is nothing to watch."""
    watched = watched_of(environment)
    if watched is None:
        return
    source = _source_of(watched.cloud) if watched.watches_notices else None
    sick, events = None, None
    if watched.watches_devices:
        from accel_scaling.boot.driver_events import driver_events_of  # here: the probes take memory
        from accel_scaling.boot.sick_devices import devices_of

        sick = devices_of(watched)
        events = driver_events_of(watched.promised, environment) if watched.driver_events else None
    if source is None and sick is None:
        return
    raylet = _wait_for_raylet(environment.get(START, ""))
    if raylet is None:
        return
    watcher = Watcher(watched, source, sick, teller_of(raylet), log=_log, address=raylet.address)
    with _alone(raylet), contextlib.closing(events) if events else contextlib.nullcontext():
        watcher.errors = events.read if events else None
        pause = source.pause if source is not None else time.sleep
        while _runs(raylet):
            watcher.step()
            pause(timeouts.WATCHER_NOTICES_S)


def _source_of(name: str) -> NoticeSource | None:
    cloud = known_clouds().get(name)
    if cloud is None or not cloud.has_part("notices"):
        return None
    try:
        source: NoticeSource = cloud.part("notices").Notices()
    except Exception as error:  # noqa: BLE001 - a variable with a wrong address: the devices are watched anyway
        _log(f"notices of the cloud are not watched: {type(error).__name__}: {error}")
        return None
    return source


@contextlib.contextmanager
def _alone(raylet: _ray.Raylet) -> Iterator[None]:
    """Wait, while the raylet runs, until no other watcher of this node works: each try of a start makes one.

    The lock is on a file of the raylet's in /proc: no other user can open it, it is gone with the raylet, and it is
    this machine's. One in the home would be that of all nodes, where they have their homes on one server.
    """
    try:
        handle = os.open(f"/proc/{raylet.pid}/environ", os.O_RDONLY)
    except OSError:
        handle = -1
    try:
        while handle >= 0 and _runs(raylet):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(timeouts.WATCHER_NOTICES_S)
            except OSError:
                break  # a kernel without such locks: two watchers do no harm
        yield
    finally:
        if handle >= 0:
            os.close(handle)


def _wait_for_raylet(start: str) -> Any:
    until_s = time.monotonic() + timeouts.WATCHER_RAYLET_S
    while start and time.monotonic() < until_s:
        if raylet := _ray.find_raylet(START, start):
            return raylet
        time.sleep(timeouts.WATCHER_NOTICES_S)
    return None


def _runs(raylet: _ray.Raylet) -> bool:
    # By its command line: the number may be another process's by now; a zombie has none.
    try:
        with open(f"/proc/{raylet.pid}/cmdline", "rb") as file:  # noqa: PTH123 - each second; pathlib takes longer
            return raylet.node_id.encode() in file.read()
    except OSError:
        return False


def _log(sentence: str) -> None:
    sys.stderr.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {sentence}\n")
    sys.stderr.flush()


def main() -> int:
    """Run the watcher in a child process, and another one where it dies."""
    while True:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                watch(dict(os.environ))
                code = 0
            except Exception as error:  # noqa: BLE001 - the parent starts it again
                _log(f"the watcher failed: {type(error).__name__}: {error}")
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        if status == 0:
            return 0
        time.sleep(timeouts.WATCHER_AGAIN_S)


if __name__ == "__main__":
    sys.exit(main())
