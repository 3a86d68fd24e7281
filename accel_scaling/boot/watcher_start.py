"""Starts the watcher of a node, from the start hook; and what it is told: the policy, and what the node joins with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.boot.node_event import EventKind
from accel_scaling.boot.verdict_file import FOLDER, START
from accel_scaling.cluster.policies import OnEvent, WatcherPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping

WATCH = "ACCEL_SCALING_WATCH"
"""What whoever starts a node says of its watcher, as JSON; without it there is none."""

_JOINED_WITH = "ACCEL_SCALING_JOINED_WITH"
INSTANCE_ID = "RAY_CLOUD_INSTANCE_ID"  # which autoscaler v2 puts into a worker's start command
_LOG = "watcher-{host}.log"  # nodes may have their homes on one server


@dataclass(frozen=True)
class Watched:
    """What a watcher is told.

    Attributes:
        cloud: by its name.
        policy: by the kinds of events.
        drain_s: for so many seconds at most, tasks continue.
        promised: the Ray resources that the node has joined with; empty where its devices are not watched.
        driver_events: whether drivers are listened to for errors of devices.
    """

    cloud: str
    policy: Mapping[EventKind, OnEvent]
    drain_s: float
    promised: Mapping[str, float]
    driver_events: bool = True

    def on_event(self, kind: EventKind) -> OnEvent:
        """Return what becomes of the node with such an event."""
        return self.policy[kind]

    @property
    def watches_devices(self) -> bool:
        """Whether a sick device would make a difference."""
        from accel_scaling.boot.compare import may_be_accelerator  # here: a provider, which imports this, needs it not

        devices = any(amount > 0 and may_be_accelerator(name) for name, amount in self.promised.items())
        return devices and self.on_event(EventKind.SICK) is not OnEvent.IGNORE

    @property
    def watches_notices(self) -> bool:
        """Whether a notice would make a difference."""
        return any(self.policy[kind] is not OnEvent.IGNORE for kind in EventKind if kind is not EventKind.SICK)


def with_watch(command: str, cloud: str, policy: WatcherPolicy, *, head: bool) -> str:
    """Return a start command whose node is watched.

    Args:
        command: a start command with the boot check.
        cloud: the cloud's name.
        policy: the cluster file's.
        head: a head cannot be drained: what would be acted on is told.
    """
    words = {kind.value: getattr(policy, kind.value) for kind in EventKind}
    if head:
        words = {name: OnEvent.REPORT if word is OnEvent.ACT else word for name, word in words.items()}
    rest = {"cloud": cloud, "drain_s": policy.drain_s, "driver_events": policy.driver_events}
    text = json.dumps({**rest, **{name: word.value for name, word in words.items()}})
    return f"export {WATCH}='{text}'; {command}"


def watched_of(environment: Mapping[str, str]) -> Watched | None:
    """Return what a watcher is told by its environment; None where nobody has said it, or not as `with_watch` does."""
    try:
        given = json.loads(environment[WATCH])
        policy = {kind: OnEvent(given[kind.value]) for kind in EventKind}
        promised = {str(name): float(amount) for name, amount in json.loads(environment[_JOINED_WITH]).items()}
        drain_s, listens = float(given["drain_s"]), given.get("driver_events") is not False
        return Watched(str(given["cloud"]), policy, drain_s, promised, listens)
    except (KeyError, ValueError, TypeError, AttributeError):
        return None


def cloud_of_start(environment: Mapping[str, str]) -> str:
    """Return the name of the cloud by which this node is started; empty where nobody has named it."""
    try:
        return str(json.loads(environment[WATCH])["cloud"])
    except (KeyError, ValueError, TypeError):
        return ""


def start_watcher(environment: Mapping[str, str], joined_with: Mapping[str, float]) -> None:
    """Start the watcher of this node, where whoever starts the node wants one.

    It is no child of Ray's: `ray start` ends, and Ray's own processes are started after this one.

    Args:
        environment: this process's.
        joined_with: the Ray resources that the devices are to hold; empty where nobody looks at them.
    """
    if not environment.get(WATCH) or not environment.get(START):
        return
    try:
        _start(environment, joined_with)
    except Exception as error:  # noqa: BLE001 - a node without a watcher is one as before; it must join
        sys.stderr.write(f"accel_scaling: this node is not watched: {error}\n")


def _start(environment: Mapping[str, str], joined_with: Mapping[str, float]) -> None:
    try:
        folder = Path(environment.get(FOLDER) or Path.home() / ".accel_scaling")
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / _LOG.format(host=os.uname().nodename)
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    except (OSError, RuntimeError):  # the latter of an account without a home
        handle = os.open(os.devnull, os.O_WRONLY)
    try:
        subprocess.Popen(
            [sys.executable, "-m", "accel_scaling.boot.watcher"],
            env={**environment, _JOINED_WITH: json.dumps(dict(joined_with))},
            stdin=subprocess.DEVNULL,
            stdout=handle,
            stderr=handle,
            start_new_session=True,
            cwd="/",
        )
    finally:
        os.close(handle)
