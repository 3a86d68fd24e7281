"""The output of a rehearsal: lines while it runs, then each machine's promise beside what it announced."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from accel_scaling._ray.facts import ACCELERATOR_TYPE_PREFIX
from accel_scaling.quarantine import messages
from accel_scaling.quarantine.place import EVERY_ZONE, place_text
from accel_scaling.tables import render
from accel_scaling.terminal import Paint, Stream, painted, without_controls, wrapped
from accel_scaling.testing.rehearse.demands import MARK

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from accel_scaling.quarantine.record import Quarantine

BYTES_PER_GIB = 1024**3
_WORD = 10  # columns of the word of a line
_PAINTS = {
    "confirmed": Paint.GOOD,
    "running": Paint.GOOD,
    "refused": Paint.BAD,
    "failed": Paint.BAD,
    "pending": Paint.WAITS,
    "drained": Paint.WAITS,
    "quarantine": Paint.WAITS,
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
    last_run_s: float | None = None
    happened_s: float | None = None
    drained_s: float | None = None
    gone_s: float | None = None
    verdict: str = ""
    message: str = ""
    refused: bool = False
    trouble: str = ""
    unhurt: bool = False  # none of its devices can be made to fail
    resources: Mapping[str, float] = field(default_factory=dict)


class Timeline:
    """The lines of a rehearsal, printed as things happen, and the records for its closing table.

    Attributes:
        machines: by the cloud's id, in the order of their launches.
        requests: node type -> the error of its last request for machines; empty where machines came.
        quarantines: node type -> its last quarantine, as a clause.
    """

    def __init__(self, started_s: float, out: Stream = sys.stdout) -> None:
        """Start the clock at ``started_s`` (Unix time)."""
        self.started_s = started_s
        self.machines: dict[str, MachineRecord] = {}
        self.requests: dict[str, str] = {}
        self.quarantines: dict[str, str] = {}
        self._out = out

    def say(self, at_s: float, word: str, text: str) -> None:
        """Print one line: seconds since the start, what happened, to what."""
        shown = word.ljust(_WORD)
        if word in _PAINTS:
            shown = painted(shown, _PAINTS[word], self._out)
        begin = f"{at_s - self.started_s:7.1f} s  "
        used = len(begin) + _WORD + 1
        lines = wrapped(without_controls(text), hang=" " * used, stream=self._out, used=used)
        self._out.write(f"{begin}{shown} {lines}\n")
        self._out.flush()

    def quarantined(self, node_type: str, quarantines: Sequence[Quarantine]) -> None:
        """Print that quarantines of a node type have begun, or have been prolonged, and remember it."""
        last = max(quarantines, key=lambda one: one.until_s)
        minutes, until = (last.until_s - last.since_s) / 60, messages.end_text(last)
        where, reason = zones_text(quarantines), messages.reason_text(last)
        text = f"of {node_type} {where} for {round(minutes, 1):g} min, until {until} ({reason})"
        self.say(time.time(), "quarantine", text)
        self.quarantines[node_type] = f"node type {node_type} is quarantined {where} until {until} ({reason})"

    def reason_of(self, node_types: Collection[str]) -> str:
        """Return why node types have no machine for a task, as far as it was seen; empty where nothing was."""
        for node_type in node_types:
            if node_type in self.quarantines:
                return self.quarantines[node_type] + self._failure_of(node_type)
        for node_type in node_types:
            if error := self.requests.get(node_type):
                return f"node type {node_type}: the cloud answered {error}"
        for machine in reversed(self.machines.values()):
            if machine.node_type in node_types and not machine.resources:
                trouble = machine.trouble or (f"{machine.verdict}: {machine.message}" if machine.refused else "")
                return f"node type {machine.node_type}: {trouble or 'its last machine has not joined'}"
        return ""

    def _failure_of(self, node_type: str) -> str:
        """Return the failure of its last machine, which a quarantine names by its word alone."""
        troubles = [one.trouble for one in self.machines.values() if one.node_type == node_type and one.trouble]
        return f": {troubles[-1]}" if troubles else ""

    def joined(self) -> set[str]:
        """Return the node types of which a machine has announced itself to Ray."""
        return {machine.node_type for machine in self.machines.values() if machine.resources}

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
        text = render(headers, rows, right={2, 3, 4, 5}, drop=(2, 3, 1), stream=self._out)
        pairs = [
            (m.node_type, shown(promised.get(m.node_type, {})), shown(m.resources) or _absent(m))
            for m in self.machines.values()
        ]
        announced = render(("node type", "promised", "announced by the node"), pairs, stream=self._out)
        return without_controls(text + "\n\n" + announced)


def zones_text(quarantines: Sequence[Quarantine]) -> str:
    """Return where a node type is quarantined: ``in us-west-2a, us-west-2b (spot)``, or ``in all zones``."""
    places = sorted({place_text(item.zone) for item in quarantines})
    whole = [name for name in places if name == place_text(EVERY_ZONE)]  # where it is, single zones say nothing more
    return f"in {', '.join(whole or places)}"


def shown(resources: Mapping[str, Any]) -> str:
    """Return resources as one readable line, in the catalog's order; memory in GiB."""
    parts = []
    for name, amount in sorted(resources.items(), key=_order):
        if name.startswith(("node:", MARK)) or name == "object_store_memory":
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


def _absent(machine: MachineRecord) -> str:
    """Return what stands for the resources of a machine that has announced none."""
    if machine.drained_s is not None:
        return "(drained before it was asked)"  # a command may outlive it, and nodes are asked after that
    comes = machine.gone_s is None and not machine.refused and not machine.trouble
    return "(had not joined when this ended)" if comes else "(never joined)"


def _s(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f} s"
