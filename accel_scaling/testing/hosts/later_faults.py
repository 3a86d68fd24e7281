"""What happens to machines of a local cloud after their boot: a notice of the cloud, or a device that fails."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from accel_scaling.errors import RehearsalError
from accel_scaling.testing.faults import Fault, FaultKind, of_later, read_faults
from accel_scaling.testing.hosts.hosts import sick, sick_words

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from accel_scaling.testing.devices.hardware import Hardware

CANNOT_FAIL = "none of its devices can be made to fail"


@dataclass(frozen=True)
class Booted:
    """One machine that is up.

    Attributes:
        machine_type: as a fault names it.
        tell: has the cloud announce to it that it takes it back.
        sicken: makes one of its devices fail, with a cause or the most certain one, and returns what happens as a part
            of a sentence; it raises a RehearsalError where it has none that can.
        report: has the driver report an error with this number of one of its devices; it raises as ``sicken``.
        since_s: when it came up, of a clock that nobody sets.
    """

    machine_type: str
    tell: Callable[[], None]
    sicken: Callable[[str], str]
    report: Callable[[int], None]
    since_s: float = field(default_factory=time.monotonic)


class LaterFaults:
    """The later faults of one local cloud; each machine has each of them once."""

    def __init__(self, faults_file: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._file, self._clock = faults_file, clock
        self._machines: dict[str, Booted] = {}
        self._hit: dict[Fault, set[str]] = {}

    def booted(self, machine_id: str, machine: Booted) -> None:
        """Take note of a machine that has come up."""
        self._machines[machine_id] = machine

    def ended(self, machine_id: str) -> None:
        """Take note of a machine that is gone."""
        self._machines.pop(machine_id, None)

    def step(self) -> list[tuple[str, str]]:
        """Do what is due; return, for each, the machine and what has happened to it."""
        if not self._machines:
            return []
        faults, done = read_faults(self._file), []
        for machine_id, machine in list(self._machines.items()):
            for fault in of_later(faults, machine.machine_type):
                hit = self._hit.setdefault(fault, set())
                too_many = len(hit) >= (fault.count or 1)
                early = self._clock() - machine.since_s < (fault.after_s or 0)
                if machine_id in hit or too_many or early:
                    continue
                hit.add(machine_id)
                done.append((machine_id, _happen(fault, machine)))
        return done


def _happen(fault: Fault, machine: Booted) -> str:
    if fault.kind is FaultKind.NOTICE:
        machine.tell()
        return "the cloud announces that it takes it back"
    try:
        if fault.error_number is not None:
            machine.report(fault.error_number)
            return f"its driver reports XID {fault.error_number}"
        return machine.sicken(fault.cause or "")
    except (OSError, RehearsalError) as error:
        return f"{CANNOT_FAIL}: {error}"


def sickener(change: Callable[[Hardware], None], hardware: Hardware) -> Callable[[str], str]:
    """Return what `Booted.sicken` is, of a machine with this hardware.

    Args:
        change: makes its devices others than they were.
        hardware: of its boot.
    """

    def sicken(cause: str) -> str:
        change(sick(hardware, cause))
        return sick_words(hardware, cause)

    return sicken
