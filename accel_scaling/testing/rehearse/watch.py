"""The watcher of a rehearsal: each step of each machine goes to the timeline as it happens."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

from accel_scaling import timeouts
from accel_scaling.boot.node_commands import VERDICT_FILE
from accel_scaling.errors import RehearsalError
from accel_scaling.testing.hosts.events import Event, EventKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accel_scaling.testing.faults import FaultSource
    from accel_scaling.testing.local_cloud import LocalCloud
    from accel_scaling.testing.rehearse.timeline import Timeline


class Watcher(threading.Thread):
    """A thread that polls the local cloud's events and the machines' verdicts until told to stop."""

    def __init__(
        self, local: LocalCloud, timeline: Timeline, node_types: Mapping[str, str], faults: FaultSource
    ) -> None:
        """Watch ``local``; ``node_types`` maps a machine type to the node types that use it."""
        super().__init__(daemon=True, name="rehearsal-watcher")
        self._local = local
        self._timeline = timeline
        self._node_types = node_types
        self._faults = faults
        self._done = threading.Event()
        self._seen = 0
        self._fault_error = ""
        self._requested: dict[str, list[float]] = {}
        self._last_requested: dict[str, float] = {}
        self._lock = threading.Lock()

    def run(self) -> None:
        """Poll until stop()."""
        while not self._done.wait(timeouts.REHEARSAL_POLL_S):
            self.look()

    def stop(self) -> None:
        """Look once more, then end."""
        self._done.set()
        self.join()
        self.look()

    def look(self) -> None:
        """Print what is new."""
        with self._lock:
            self._read_faults()
            events = self._local.events()
            for event in events[self._seen :]:
                self._print_event(event)
            self._seen = len(events)
            self._read_verdicts()

    def _read_faults(self) -> None:
        try:
            if self._faults.changed():
                self._local.set_faults(*self._faults.now)
                self._timeline.say(time.time(), "faults", "changed")
        except RehearsalError as error:  # half edited: the faults stay as they were
            if str(error) != self._fault_error:
                self._timeline.say(time.time(), "faults", f"not changed: {error}")
            self._fault_error = str(error)

    def _print_event(self, event: Event) -> None:
        machine_name = event.instance_type
        if event.kind is EventKind.ASKED:
            self._requested.setdefault(machine_name, []).extend([event.time] * (event.granted or 0))
            what = f"{event.count} x {machine_name} for {self._node_types.get(machine_name, '?')}"
            if event.error:
                self._timeline.say(event.time, "failed", f"{what}: {event.error}")
            else:
                self._timeline.say(event.time, "asked", what)
        elif event.instance_id:
            self._step(event, event.instance_id)

    def _step(self, event: Event, instance_id: str) -> None:
        machine = self._timeline.machine(instance_id, event.instance_type)
        machine.node_type = machine.node_type or self._node_types.get(event.instance_type, "?")
        machine.address = event.address or machine.address
        since = event.time - self._timeline.started_s
        name = f"{event.instance_type} {instance_id}"
        if event.kind is EventKind.BOOTED and machine.launched_s is None:
            requests = self._requested.get(event.instance_type)
            if requests:  # the other hosts of a slice were asked for with its first
                self._last_requested[event.instance_type] = requests.pop(0)
            last = self._last_requested.get(event.instance_type)
            machine.asked_s = None if last is None else last - self._timeline.started_s
            machine.launched_s = since
            self._timeline.say(event.time, "launched", f"{name} at {event.address}")
        elif event.kind is EventKind.TERMINATED:
            machine.gone_s = since
            self._timeline.say(event.time, "terminated", name)
        elif event.kind in {EventKind.STOPPED, EventKind.BOOT_FAILED}:
            self._timeline.say(event.time, event.kind.value.replace("_", " "), f"{name} {event.error or ''}".rstrip())

    def _read_verdicts(self) -> None:
        for machine in self._timeline.machines.values():
            if machine.verdict:
                continue
            verdict = self._verdict(machine.instance_id)
            if verdict is None:
                continue
            machine.verdict, machine.message = verdict["verdict"], verdict["message"]
            text = f"{machine.instance_type} {machine.instance_id}: {machine.message}"
            machine.refused = not verdict["joins"]
            if not machine.refused:
                machine.confirmed_s = verdict["time_s"] - self._timeline.started_s
                self._timeline.say(
                    verdict["time_s"],
                    "confirmed",
                    text if machine.verdict == "Confirmed" else f"{machine.verdict}: {text}",
                )
            else:
                self._timeline.say(verdict["time_s"], "refused", f"{machine.verdict}: {text}")

    def _verdict(self, instance_id: str) -> dict[str, Any] | None:
        try:
            text = self._local.host_file(instance_id, VERDICT_FILE).read_text(encoding="utf-8")
            verdict: dict[str, Any] = json.loads(text)
        except (OSError, ValueError):  # not there yet, half written, or the machine is gone
            return None
        return verdict
