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
import threading
import time
from typing import TYPE_CHECKING, Any

from accel_scaling import _ray, timeouts
from accel_scaling.boot.verdict_file import START
from accel_scaling.boot.watcher_start import watched_of
from accel_scaling.boot.watcher_steps import NoticeSource, Watcher
from accel_scaling.clouds import known_clouds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from accel_scaling.boot.node_event import NodeEvent


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
    watcher.start_look = lambda look: threading.Thread(target=look.run, daemon=True).start()
    with _alone(raylet), contextlib.closing(events) if events else contextlib.nullcontext():
        watcher.errors = events.read if events else None
        while _runs(raylet):
            watcher.step()
            watcher.wait()


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
