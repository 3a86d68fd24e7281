"""What a node's watcher makes of notices, of looks at its devices, and of errors that drivers report; step by step."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from accel_scaling import timeouts
from accel_scaling.boot.node_event import MOST_CODE, MOST_MESSAGE, EventKind, NodeEvent, Notice
from accel_scaling.boot.watcher_start import INSTANCE_ID, Watched
from accel_scaling.catalog.model import Effect
from accel_scaling.cluster.policies import OnEvent
from accel_scaling.message_text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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

    def pause(self, seconds: float) -> bool:
        """Wait for so long, or until there may be a notice; return whether there may."""


class Look:
    """A look at the devices.

    Attributes:
        found: what is wrong with them; None for nothing.
        error: why they could not be looked at, as a sentence; empty where they could.
        over: it has ended.
        before_s: seconds of CPU that had been taken before it.
    """

    def __init__(self, sick: Callable[[], Sick | None], cpu_s: Callable[[], float]) -> None:
        self._sick = sick
        self.before_s = cpu_s()
        self.found: Sick | None = None
        self.error = ""
        self.over = False

    def run(self) -> None:
        """Look."""
        try:
            self.found = self._sick()
        except Exception as error:  # noqa: BLE001 - a look that fails says nothing about the devices
            self.error = one_line(f"the devices could not be looked at: {type(error).__name__}: {error}", MOST_MESSAGE)
        self.over = True


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
        start_look: runs a look; in a thread, a driver that hangs keeps no notice waiting.
        sleep: waits so many seconds, where there is no source.
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
    start_look: Callable[[Look], None] = lambda look: look.run()
    sleep: Callable[[float], None] = time.sleep
    _look: Look | None = None
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
        every_s = timeouts.WATCHER_DEVICES_S
        if self._look is None and self.sick is not None and self._is_due("devices", every_s, every_s):
            self._look = Look(self.sick, self.cpu_s)
            self.start_look(self._look)
        if self._look is not None and self._look.over:
            look, self._look = self._look, None
            self._looked_at_devices(look)

    def wait(self) -> None:
        """Wait until the next step may be due, or until there may be a notice, for which the source is asked at once.

        An answer that is there and is not taken would end each wait at once.
        """
        if self.source is None or self._drains:
            self.sleep(timeouts.WATCHER_NOTICES_S)
        elif self.source.pause(timeouts.WATCHER_NOTICES_S):
            self._due["urgent"] = self.ticks()

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

    def _looked_at_devices(self, look: Look) -> None:
        found = look.found
        if look.error:
            if look.error != self._failed:
                self.log(look.error)
            found = None
        self._failed = look.error
        self._sick_looks = self._sick_looks + 1 if found else 0
        self._sure_looks = self._sure_looks + 1 if found and found.sure else 0
        # Some makers' packages take seconds to import: they are asked as rarely as that costs.
        rarely_s = (self.cpu_s() - look.before_s) / timeouts.WATCHER_DEVICES_SHARE
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
