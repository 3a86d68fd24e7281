"""The thread that puts each step of each machine into the timeline: events of the cloud, verdicts, quarantines."""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
import time
from typing import TYPE_CHECKING, Any

from accel_scaling import timeouts
from accel_scaling.boot.verdict_file import VERDICT_FILE
from accel_scaling.errors import RehearsalError
from accel_scaling.quarantine.machine import FAILURES
from accel_scaling.quarantine.store import STATE_FILE, StateError, Store
from accel_scaling.testing.hosts.events import Event, EventKind
from accel_scaling.testing.hosts.later_faults import CANNOT_FAIL
from accel_scaling.testing.rehearse.timeline import zones_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from accel_scaling.quarantine.ledger import Ledger
    from accel_scaling.quarantine.record import Quarantine
    from accel_scaling.testing.base_cloud import LocalCloud
    from accel_scaling.testing.fault_source import FaultSource
    from accel_scaling.testing.rehearse.timeline import MachineRecord, Timeline

SLICE_HOST = re.compile(r"-w-[0-9]+$")
"""The end of the name of a host of a TPU slice."""

_MAX_VERDICT_BYTES = 65_536  # of a verdict's file; a host writes what it likes


class NodeTypes:
    """The names of a file's node types, for what a cloud says of a machine.

    Args:
        by_tag: Ray's tag of a node type, as the cloud has it -> its name.
        by_machine: machine type -> the names of the node types that have it.
    """

    def __init__(self, by_tag: Mapping[str, str], by_machine: Mapping[str, list[str]]) -> None:
        self._by_tag, self._by_machine = by_tag, by_machine

    def of(self, event: Event) -> str:
        """Return the node type of a request or machine; all that it can be, where the cloud has no tag of it."""
        name = self._by_tag.get(event.node_type)
        return name or " or ".join(self._by_machine.get(event.instance_type, ["?"]))


class Watcher(threading.Thread):
    """A thread that polls the local cloud's events, the machines' verdicts and the head's state until told to stop."""

    def __init__(self, local: LocalCloud, timeline: Timeline, node_types: NodeTypes, faults: FaultSource) -> None:
        """Watch ``local``; ``node_types`` names its machines."""
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
        self._quarantines: dict[tuple[str, str, float], Quarantine] = {}
        self._failures: set[str] = set()
        self._drains: set[tuple[str, bool]] = set()
        self._lock = threading.Lock()

    def run(self) -> None:
        """Poll until stop(), or until nobody reads the output: `accel-scaling rehearse cluster.yaml | head`."""
        with contextlib.suppress(BrokenPipeError):
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
            self._read_ledger()

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
        machine_name, node_type = event.instance_type, self._node_types.of(event)
        if event.kind is EventKind.ASKED:
            self._requested.setdefault(machine_name, []).extend([event.time] * (event.granted or 0))
            bought = f" ({event.capacity})" if event.capacity not in ("", "on-demand") else ""
            what = f"{event.count} x {machine_name} for {node_type}{bought}"
            self._timeline.requests[node_type] = event.error or ""
            if event.error:
                self._timeline.say(event.time, "failed", f"{what}: {event.error}")
            else:
                self._timeline.say(event.time, "asked", what)
        elif event.instance_id:
            self._step(event, event.instance_id, node_type)

    def _step(self, event: Event, instance_id: str, node_type: str) -> None:
        machine = self._timeline.machine(instance_id, event.instance_type)
        machine.node_type = machine.node_type or node_type
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
            machine.trouble = event.error or machine.trouble
            self._timeline.say(event.time, "terminated", f"{name}: {event.error}" if event.error else name)
        elif event.kind is EventKind.HAPPENED:
            machine.happened_s, machine.unhurt = since, (event.error or "").startswith(CANNOT_FAIL)
            self._timeline.say(event.time, "happened", f"{name}: {event.error}")
        elif event.kind in {EventKind.STOPPED, EventKind.BOOT_FAILED}:
            machine.trouble = event.error or machine.trouble
            self._timeline.say(event.time, event.kind.value.replace("_", " "), f"{name} {event.error or ''}".rstrip())

    def _read_verdicts(self) -> None:
        for machine in self._timeline.machines.values():
            # One that waits for capacity has no host yet.
            if machine.address and not machine.verdict and (verdict := self._verdict(machine.instance_id)):
                self._judge(machine, verdict)

    def _judge(self, machine: MachineRecord, verdict: dict[str, Any]) -> None:
        machine.verdict, machine.message = str(verdict["verdict"]), str(verdict["message"])
        text = f"{machine.instance_type} {machine.instance_id}: {machine.message}"
        machine.refused = verdict["joins"] is not True
        if machine.refused:
            self._timeline.say(verdict["time_s"], "refused", f"{machine.verdict}: {text}")
            return
        machine.confirmed_s = verdict["time_s"] - self._timeline.started_s
        is_whole = machine.verdict == "Confirmed"
        self._timeline.say(verdict["time_s"], "confirmed", text if is_whole else f"{machine.verdict}: {text}")

    def _verdict(self, instance_id: str) -> dict[str, Any] | None:
        try:
            text = read_bounded(self._local.host_file(instance_id, VERDICT_FILE))
            verdict: dict[str, Any] = json.loads(text)
            float(verdict["time_s"]), verdict["verdict"], verdict["message"], verdict["joins"]
        # Not there yet, half written, the machine is gone; or a file of another form, whoever wrote it.
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None
        return verdict

    def _read_ledger(self) -> None:
        head = next(iter(self._timeline.machines), None)  # `ray up` launches it first
        if head is None:
            return
        now_s = time.time()
        try:
            path = self._local.host_file(head, STATE_FILE)
            if not path.is_file():  # nothing is quarantined yet; or the head is gone, and with it its state
                return
            ledger = Store(path).read()
        except (StateError, RehearsalError):
            return
        self._read_failures(ledger)
        self._read_drains(ledger)
        self._read_quarantines(ledger, now_s)

    def _read_failures(self, ledger: Ledger) -> None:
        """Say why machines are given up of which the boot check has not said anything: a command that failed."""
        for name, known in ledger.machines.items():
            if known.failure is None or known.failure.code not in FAILURES or name in self._failures:
                continue
            self._failures.add(name)
            hosts = [one for key, one in self._timeline.machines.items() if SLICE_HOST.sub("", key) == name]
            what = f"{hosts[0].instance_type} {name}" if hosts else name
            text = f"{known.failure.code}: {known.failure.message}"
            self._timeline.say(time.time(), "failed", f"{what}: {text}")
            for host in hosts:
                host.verdict, host.trouble = host.verdict or known.failure.code, text

    def _read_drains(self, ledger: Ledger) -> None:
        """Say which machines are drained, and which wait for it, with the reason."""
        for name, drain in ledger.drains.items():
            begun = drain.since_s is not None
            if (name, begun) in self._drains:
                continue
            self._drains.add((name, begun))
            hosts = [one for key, one in self._timeline.machines.items() if SLICE_HOST.sub("", key) == name]
            what = f"{hosts[0].instance_type} {name}" if hosts else name
            reason = f"{drain.kind}: {drain.code}: {drain.message}"
            if drain.since_s is None:
                self._timeline.say(drain.told_s, "waits", f"{what} is drained after others: {reason}")
                continue
            left = "" if drain.until_s is None else f", within {max(0.0, drain.until_s - drain.since_s):.0f} s"
            self._timeline.say(drain.since_s, "drained", f"{what}{left}: {reason}")
            for host in hosts:
                host.drained_s = drain.since_s - self._timeline.started_s

    def _read_quarantines(self, ledger: Ledger, now_s: float) -> None:
        lasting = {
            (name, item.zone, item.since_s): item
            for name, record in ledger.types.items()
            for item in record.active(now_s)
        }
        begun = {key: item for key, item in lasting.items() if self._quarantines.get(key) != item}
        over = {key: item for key, item in self._quarantines.items() if key not in lasting}
        for name, items in _by_node_type(begun):
            self._timeline.quarantined(name, items)
        for name, items in _by_node_type(over):
            self._timeline.say(now_s, "quarantine", f"of {name} {zones_text(items)} has ended")
        self._quarantines = lasting


def _by_node_type(
    quarantines: Mapping[tuple[str, str, float], Quarantine],
) -> Iterator[tuple[str, list[Quarantine]]]:
    """Yield the quarantines by node type: a type that is sold out in four zones gets one line."""
    for name in dict.fromkeys(key[0] for key in quarantines):
        yield name, [item for key, item in quarantines.items() if key[0] == name]


def read_bounded(path: Path) -> str:
    """Return the text of a host's file, which may be anything: no pipe keeps the reader, no size fills its memory.

    Raises:
        OSError: it is not there, or a link.
        ValueError: it is too long, or not UTF-8.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        data = file.read(_MAX_VERDICT_BYTES + 1) or b""
    if len(data) > _MAX_VERDICT_BYTES:
        raise ValueError(f"{path} is longer than {_MAX_VERDICT_BYTES} bytes")
    return data.decode("utf-8")
