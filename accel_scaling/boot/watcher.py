"""The watcher of a node: it looks for notices of the cloud and for sick devices, as long as the node's raylet runs.

    python -m accel_scaling.boot.watcher        (started by the start hook, see watcher_start.py)

It imports no Ray, opens no port, and reads nothing that another user of the machine may write: the metadata server,
the devices, and the kernel's list of processes. What it finds goes to the head by a program of its own (drain_node.py).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from accel_scaling import _ray, timeouts
from accel_scaling.boot.node_event import EventKind, NodeEvent, Notice
from accel_scaling.boot.verdict_file import FOLDER, START
from accel_scaling.boot.watcher_start import INSTANCE_ID, Watched, watched_of
from accel_scaling.clouds import known_clouds
from accel_scaling.cluster.policies import OnEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


class NoticeSource(Protocol):
    """Asks a cloud for the notices of this machine."""

    def urgent(self) -> list[Notice]:
        """Return what comes within minutes."""

    def slow(self) -> list[Notice]:
        """Return what is announced longer before."""


@dataclass
class Watcher:
    """The watcher's loop, a step at a time.

    Attributes:
        watched: what the cluster file says, and what the node has joined with.
        source: of notices; None where the cloud has none.
        sick: looks at the devices; the word of a verdict and its sentence, None where they are well.
        tell: tells the head of an event; False where it has to be tried again.
        clock: Unix seconds.
    """

    watched: Watched
    source: NoticeSource | None
    sick: Callable[[], tuple[str, str] | None] | None
    tell: Callable[[NodeEvent], bool]
    clock: Callable[[], float] = time.time
    log: Callable[[str], None] = lambda _: None
    address: str = ""
    _told: set[tuple[EventKind, str, bool]] = field(default_factory=set)
    _due: dict[str, float] = field(default_factory=dict)
    _silent_since_s: float | None = None
    _sick_looks: int = 0
    _drains: bool = False

    def step(self) -> None:
        """Look at what is due now."""
        if self.source is not None:
            wait_s = timeouts.WATCHER_NOTICES_S if self._answers() else timeouts.WATCHER_SLOW_NOTICES_S
            if self._is_due("urgent", wait_s):
                self._look_for_notices(self.source.urgent)
            if self._is_due("slow", timeouts.WATCHER_SLOW_NOTICES_S):
                self._look_for_notices(self.source.slow)
        if self.sick is not None and self._is_due("devices", timeouts.WATCHER_DEVICES_S):
            self._look_at_devices(self.sick)

    def _is_due(self, what: str, every_s: float) -> bool:
        now_s = self.clock()
        # The first look at the devices is the boot check's.
        due_s = self._due.setdefault(what, now_s + (every_s if what == "devices" else 0.0))
        # A clock that was put back must not stop the watch.
        if now_s < due_s <= now_s + every_s:
            return False
        self._due[what] = now_s + every_s
        return True

    def _answers(self) -> bool:
        since_s = self._silent_since_s
        return since_s is None or self.clock() - since_s < timeouts.NOTICE_LOST_S

    def _look_for_notices(self, ask: Callable[[], Sequence[Notice]]) -> None:
        try:
            notices = ask()
        except OSError as error:
            if self._silent_since_s is None:
                self._silent_since_s = self.clock()
                self.log(str(error))
            return
        self._silent_since_s = None
        for notice in notices:
            self._found(notice)

    def _look_at_devices(self, sick: Callable[[], tuple[str, str] | None]) -> None:
        found = sick()
        self._sick_looks = self._sick_looks + 1 if found else 0
        if found:
            self._due["devices"] = self.clock() + timeouts.WATCHER_SICK_AGAIN_S
        if found and self._sick_looks >= timeouts.WATCHER_SICK_LOOKS:
            self._found(Notice(EventKind.SICK, *found))

    def _found(self, notice: Notice) -> None:
        on_event = self.watched.on_event(notice.kind)
        if on_event is OnEvent.IGNORE or self._drains:
            return
        now_s, drain_s = self.clock(), self.watched.drain_s
        acts = on_event is OnEvent.ACT
        # What is announced days before is acted on when as much time is left as a drain takes.
        early = notice.at_s is not None and notice.at_s - now_s > drain_s
        acts = acts and not early
        if (notice.kind, notice.code, acts) in self._told:
            return
        deadline_s = now_s + drain_s if notice.at_s is None else max(now_s, min(notice.at_s, now_s + drain_s))
        event = NodeEvent(
            notice.kind, notice.code, notice.message, acts, deadline_s, os.environ.get(INSTANCE_ID, ""), self.address
        )
        self.log(f"{event.kind.value}: {event.code}: {event.message}; {'drains' if acts else 'only told'}")
        if self.tell(event):
            self._told.add((notice.kind, notice.code, acts))
            self._drains = acts


def devices_of(watched: Watched) -> Callable[[], tuple[str, str] | None]:
    """Return a function that compares the devices with what the node has joined with."""
    from accel_scaling.boot.compare import compare
    from accel_scaling.boot.verdicts import holds_promise
    from accel_scaling.families.inventory import detect

    def look() -> tuple[str, str] | None:
        verdict = compare(watched.promised, detect())
        return None if holds_promise(verdict.word) else (verdict.word.value, verdict.message)

    return look


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
    cloud = known_clouds().get(watched.cloud)
    source = cloud.part("notices").Notices() if cloud is not None and cloud.has_part("notices") else None
    sick = devices_of(watched) if watched.watches_devices else None
    if not (source and watched.watches_notices) and sick is None:
        return
    raylet = _wait_for_raylet(environment.get(START, ""))
    if raylet is None:
        return
    watcher = Watcher(
        watched, source if watched.watches_notices else None, sick, teller_of(raylet), log=_log, address=raylet.address
    )
    with _alone(raylet, environment):
        while _runs(raylet):
            watcher.step()
            time.sleep(timeouts.WATCHER_NOTICES_S)


@contextlib.contextmanager
def _alone(raylet: _ray.Raylet, environment: dict[str, str]) -> Iterator[None]:
    """Wait, while the raylet runs, until no other watcher of this node works: each try of a start makes one."""
    folder = environment.get(FOLDER)
    try:
        handle = os.open(f"{folder}/watcher.lock", os.O_RDWR | os.O_CREAT, 0o600) if folder else -1
    except OSError:
        handle = -1
    try:
        while handle >= 0 and _runs(raylet):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                time.sleep(timeouts.WATCHER_NOTICES_S)
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
