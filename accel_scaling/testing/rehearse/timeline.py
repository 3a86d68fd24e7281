"""The output of a rehearsal: lines while it runs, then each machine's promise beside what it announced.

On a terminal, a status line at the bottom shows the step that runs. A watcher puts each step of each machine into the
timeline as it happens.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from accel_scaling import timeouts
from accel_scaling._ray.facts import ACCELERATOR_TYPE_PREFIX
from accel_scaling.boot.bundle import VERDICT_FILE
from accel_scaling.errors import RehearsalError
from accel_scaling.terminal import Paint, Stream, painted, render
from accel_scaling.testing.hosts.events import Event, EventKind
from accel_scaling.timeouts import STATUS_LINE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from accel_scaling.testing.base_cloud import LocalCloud
    from accel_scaling.testing.faults import FaultSource


BYTES_PER_GIB = 1024**3
_CLEAR = "\r\033[K"  # to the line's begin, and nothing after it
_PAINTS = {
    "confirmed": Paint.GOOD,
    "running": Paint.GOOD,
    "refused": Paint.BAD,
    "failed": Paint.BAD,
    "pending": Paint.WAITS,
}


@dataclass
class MachineRecord:
    """The record of one instance; times are seconds since the rehearsal began, None for what never happened."""

    instance_id: str
    instance_type: str
    node_type: str = ""
    address: str = ""
    asked_s: float | None = None
    launched_s: float | None = None
    confirmed_s: float | None = None
    running_s: float | None = None
    gone_s: float | None = None
    verdict: str = ""
    message: str = ""
    refused: bool = False
    resources: Mapping[str, float] = field(default_factory=dict)


class Timeline:
    """The lines of a rehearsal, printed as things happen, and the records for its closing table."""

    def __init__(self, started_s: float, out: Stream = sys.stdout) -> None:
        """Start the clock at ``started_s`` (Unix time)."""
        self.started_s = started_s
        self.machines: dict[str, MachineRecord] = {}
        self._out = out

    def say(self, at_s: float, word: str, text: str) -> None:
        """Print one line: seconds since the start, what happened, to what."""
        shown = f"{word:<10}"
        if word in _PAINTS:
            shown = painted(shown, _PAINTS[word], self._out)
        self._out.write(f"{at_s - self.started_s:7.1f} s  {shown} {text}\n")
        self._out.flush()

    def machine(self, instance_id: str, instance_type: str) -> MachineRecord:
        """Return the record of an instance, new or known."""
        return self.machines.setdefault(instance_id, MachineRecord(instance_id, instance_type))

    def announced(self, address: str, resources: Mapping[str, float]) -> None:
        """Remember what the node at this address announces to Ray."""
        machine = self.at(address)
        if machine is not None:
            machine.resources = resources

    def at(self, address: str) -> MachineRecord | None:
        """Return the machine that is up at this address."""
        up = (machine for machine in self.machines.values() if machine.gone_s is None)
        return next((machine for machine in up if machine.address == address), None)

    def coming(self) -> list[MachineRecord]:
        """Return the machines that are up, were not refused, and have not announced anything yet."""
        up = (machine for machine in self.machines.values() if machine.gone_s is None)
        return [machine for machine in up if not machine.resources and not machine.refused]

    def closing_table(self, promised: Mapping[str, Mapping[str, float]]) -> str:
        """Return the machines with their times, and the resources promised beside those announced.

        Args:
            promised: node type -> resources as filled.
        """
        headers = ("node type", "machine", "asked", "launched", "confirmed", "running", "verdict")
        rows = [
            (
                m.node_type,
                m.instance_type,
                _s(m.asked_s),
                _s(m.launched_s),
                _s(m.confirmed_s),
                _s(m.running_s),
                m.verdict or "-",
            )
            for m in self.machines.values()
        ]
        text = render(headers, rows, right={2, 3, 4, 5})
        pairs = [
            (m.node_type, shown(promised.get(m.node_type, {})), shown(m.resources) or "(never joined)")
            for m in self.machines.values()
        ]
        return text + "\n\n" + render(("node type", "promised", "announced by the node"), pairs)


def shown(resources: Mapping[str, Any]) -> str:
    """Return resources as one readable line, in the catalog's order; memory in GiB."""
    parts = []
    for name, amount in sorted(resources.items(), key=_order):
        if name.startswith("node:") or name == "object_store_memory":
            continue
        if name == "memory":
            parts.append(f"memory {amount / BYTES_PER_GIB:.1f} GiB")
        elif name.startswith(ACCELERATOR_TYPE_PREFIX):
            parts.append(name.removeprefix(ACCELERATOR_TYPE_PREFIX))
        else:
            parts.append(f"{name} {amount:g}")
    return ", ".join(parts)


def _order(item: tuple[str, Any]) -> tuple[int, str]:
    name = item[0]
    return (0 if name == "CPU" else 2 if name == "memory" else 3 if ":" in name else 1, name)


def _s(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f} s"


class StatusLine:
    """A stream that passes texts on; on a terminal it has a line of status below them, and off one nothing more."""

    def __init__(self, out: Stream, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._clock = clock
        self._live = out.isatty() and os.environ.get("TERM") != "dumb"
        self._shown = False
        self._lock = threading.Lock()  # status and lines come from two threads, and share the terminal's last line

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        return self._out.isatty()

    def flush(self) -> None:
        """Flush the stream."""
        self._out.flush()

    def write(self, text: str, /) -> None:
        """Write whole lines, where the status was."""
        with self._lock:
            self._clear()
            self._out.write(text)

    @contextlib.contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Show, while the block runs on a terminal, what it does and for how long by now."""
        if not self._live:
            yield
            return
        began_s, over = self._clock(), threading.Event()

        def tell() -> None:
            while not over.wait(STATUS_LINE_S):
                self.show(f"{what} ... {self._clock() - began_s:.0f} s")

        teller = threading.Thread(target=tell, daemon=True, name="status line")
        teller.start()
        try:
            yield
        finally:
            over.set()
            # Before the line is cleared, so that no status is written after it.
            teller.join()
            with self._lock:
                self._clear()
                self._out.flush()

    def show(self, status: str) -> None:
        """Show a status in the place of the last one, in one line of the terminal."""
        with self._lock:
            # One column is left free: some terminals go to the next line as soon as the last one is filled.
            self._out.write(_CLEAR + status[: shutil.get_terminal_size().columns - 1])
            self._out.flush()
            self._shown = True

    def _clear(self) -> None:
        if self._shown:
            self._out.write(_CLEAR)
            self._shown = False


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
        # The look of the thread may be under way; the last one comes after it, on the caller's thread.
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
        # The cloud does not say which request a machine is from: they are matched by type, in order. A machine that was
        # stopped boots again, and its first times count.
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
            self._timeline.say(event.time, "terminated", f"{name}: {event.error}" if event.error else name)
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
