"""Faults of a local cloud: sold-out types, machines that never get to join, devices that are not what was promised."""

from __future__ import annotations

import enum
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from accel_scaling.errors import RehearsalError
from accel_scaling.testing.json_files import replace_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

Faults = tuple["Fault", ...]
_UNITS = {"s": 1, "m": 60, "h": 3600}
SICK_CAUSES = ("lost", "ecc", "hangs")
"""How a device fails: it is off the bus, its memory has errors, or its driver does not answer."""
LATER_S = 20.0  # after a boot, a machine of a rehearsal has joined


class FaultKind(str, enum.Enum):
    """The words for faults, as in `accel-scaling rehearse --fault WORD:TYPE`."""

    NO_CAPACITY = "no-capacity"
    CAPACITY = "capacity"
    FEWER = "fewer"
    OTHER = "other"
    MIXED = "mixed"
    NO_DRIVER = "no-driver"
    NO_DEVICES = "no-devices"
    UNHEALTHY = "unhealthy"
    NOT_YET = "not-yet"
    SLOW = "slow"
    DIAG_FAILS = "diag-fails"
    ENDS_AT_LAUNCH = "ends-at-launch"
    NO_SSH = "no-ssh"
    SETUP_FAILS = "setup-fails"
    START_FAILS = "start-fails"
    NOTICE = "notice"
    SICK = "sick"
    XID = "xid"
    WAITS = "waits"
    QUEUE_FAILS = "queue-fails"
    QUEUE_SUSPENDED = "queue-suspended"
    BLOCK_ENDS = "block-ends"
    TAKES_BACK = "takes-back"


_OF_CAPACITY = (FaultKind.NO_CAPACITY, FaultKind.CAPACITY, FaultKind.WAITS)
_OF_START = (FaultKind.ENDS_AT_LAUNCH, FaultKind.NO_SSH, FaultKind.SETUP_FAILS, FaultKind.START_FAILS)
_LATER = (FaultKind.NOTICE, FaultKind.SICK, FaultKind.XID)
_OF_RESERVATION = (FaultKind.BLOCK_ENDS, FaultKind.TAKES_BACK)
OF_QUEUE = (FaultKind.QUEUE_FAILS, FaultKind.QUEUE_SUSPENDED)
# Those without accelerators have these too.
OF_MACHINE = (*_OF_CAPACITY, *_OF_START, *_OF_RESERVATION, *OF_QUEUE, FaultKind.NOTICE)
_WITH_NAME = (FaultKind.OTHER, FaultKind.MIXED)
_WITH_NUMBER = (FaultKind.CAPACITY, FaultKind.FEWER)
POOLS = ("on-demand", "spot")

WORDS = (
    *("no-capacity", "capacity", "fewer", "other", "mixed", "no-driver", "no-devices"),
    *("ends-at-launch", "no-ssh", "setup-fails", "start-fails", "notice", "sick", "xid", "waits"),
    *("queue-fails", "queue-suspended", "block-ends", "takes-back", "slow", "diag-fails"),
)
"""The words that the command line takes and its help explains."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a machine type, from now on and until the faults are set again.

    Attributes:
        kind: what is wrong.
        machine_type: an EC2 instance type, a Compute Engine machine type, or a TPU's accelerator type;
            ``no_capacity`` takes ``TYPE@ZONE``, ``TYPE/spot``, ``TYPE/on-demand`` and ``TYPE@ZONE/spot`` too, and
            ``capacity`` the ways of buying without a zone.
        count: machines that the cloud still gives, or devices that a machine shows.
        driver_name: the product name that the driver reports.
        reason: why the cloud ends a machine, as EC2's StateReason has it, e.g. ``Client.VolumeLimitExceeded``.
        after_s: how long after its boot a machine has it, in seconds, for what comes after the boot check; or how long
            it waits for capacity.
        error_number: the XID of the error that NVIDIA's driver reports.
        cause: how a device fails, a word of `SICK_CAUSES`; None for the way in which its driver surely says it.
    """

    kind: FaultKind
    machine_type: str
    count: int | None = None
    driver_name: str | None = None
    reason: str | None = None
    after_s: float | None = None
    error_number: int | None = None
    cause: str | None = None

    @classmethod
    def no_capacity(cls, machine_type: str) -> Fault:
        """Make the cloud refuse to launch it: sold out."""
        return cls(FaultKind.NO_CAPACITY, machine_type)

    @classmethod
    def capacity(cls, machine_type: str, count: int) -> Fault:
        """Make the cloud launch at most ``count`` at a time."""
        return cls(FaultKind.CAPACITY, machine_type, count=count)

    @classmethod
    def fewer(cls, machine_type: str, count: int) -> Fault:
        """Make its machines boot with ``count`` devices only."""
        return cls(FaultKind.FEWER, machine_type, count=count)

    @classmethod
    def other(cls, machine_type: str, driver_name: str) -> Fault:
        """Make the driver of its machines report another product, e.g. ``NVIDIA L4``."""
        return cls(FaultKind.OTHER, machine_type, driver_name=driver_name)

    @classmethod
    def mixed(cls, machine_type: str, driver_name: str) -> Fault:
        """Make the driver of its machines report another product for one device, e.g. ``Tesla T4``."""
        return cls(FaultKind.MIXED, machine_type, driver_name=driver_name)

    @classmethod
    def no_driver(cls, machine_type: str) -> Fault:
        """Make its machines boot without a driver; the devices are on the PCI bus."""
        return cls(FaultKind.NO_DRIVER, machine_type)

    @classmethod
    def no_devices(cls, machine_type: str) -> Fault:
        """Make its machines boot without a device."""
        return cls(FaultKind.NO_DEVICES, machine_type)

    @classmethod
    def unhealthy(cls, machine_type: str) -> Fault:
        """Make the driver answer with an error for one device."""
        return cls(FaultKind.UNHEALTHY, machine_type)

    @classmethod
    def not_yet(cls, machine_type: str) -> Fault:
        """Make the driver not answer in time."""
        return cls(FaultKind.NOT_YET, machine_type)

    @classmethod
    def ends_at_launch(cls, machine_type: str, reason: str | None = None) -> Fault:
        """Make the cloud launch its machines and end them by itself a moment later, before they boot."""
        return cls(FaultKind.ENDS_AT_LAUNCH, machine_type, reason=reason)

    @classmethod
    def no_ssh(cls, machine_type: str) -> Fault:
        """Make its machines run without an answer over ssh, as with a wrong security group."""
        return cls(FaultKind.NO_SSH, machine_type)

    @classmethod
    def setup_fails(cls, machine_type: str) -> Fault:
        """Make a set-up command fail on its machines."""
        return cls(FaultKind.SETUP_FAILS, machine_type)

    @classmethod
    def start_fails(cls, machine_type: str) -> Fault:
        """Make `ray start` fail on its machines after the boot check has passed."""
        return cls(FaultKind.START_FAILS, machine_type)

    @classmethod
    def slow(cls, machine_type: str) -> Fault:
        """Make `dcgmi diag` take an hour, and one device copy at a twentieth of its speed, for an active check."""
        return cls(FaultKind.SLOW, machine_type)

    @classmethod
    def diag_fails(cls, machine_type: str) -> Fault:
        """Make `dcgmi diag` find an error of one device, and one bit of its memory always be 1."""
        return cls(FaultKind.DIAG_FAILS, machine_type)

    @classmethod
    def notice(cls, machine_type: str, after_s: float = LATER_S, count: int = 1) -> Fault:
        """Make the cloud announce to its first ``count`` machines that it takes them back, so long after their boot."""
        return cls(FaultKind.NOTICE, machine_type, count=count, after_s=after_s)

    @classmethod
    def sick(cls, machine_type: str, after_s: float = LATER_S, count: int = 1, cause: str | None = None) -> Fault:
        """Make a device of its first ``count`` machines fail, so long after their boot."""
        return cls(FaultKind.SICK, machine_type, count=count, after_s=after_s, cause=cause)

    @classmethod
    def xid(cls, machine_type: str, number: int, after_s: float = LATER_S) -> Fault:
        """Make NVIDIA's driver report this error of a device of its first machine, so long after its boot."""
        return cls(FaultKind.XID, machine_type, count=1, after_s=after_s, error_number=number)

    @classmethod
    def waits(cls, machine_type: str, after_s: float) -> Fault:
        """Make its flex-start machines and queued slices wait so long for capacity; on Google Cloud."""
        return cls(FaultKind.WAITS, machine_type, after_s=after_s)

    @classmethod
    def queue_fails(cls, machine_type: str) -> Fault:
        """Make its queued slices fail when their turn comes; on Google Cloud."""
        return cls(FaultKind.QUEUE_FAILS, machine_type)

    @classmethod
    def queue_suspended(cls, machine_type: str) -> Fault:
        """Make the cloud suspend its queued slices when their turn comes; on Google Cloud."""
        return cls(FaultKind.QUEUE_SUSPENDED, machine_type)

    @classmethod
    def block_ends(cls, machine_type: str, after_s: float = LATER_S) -> Fault:
        """Make the cloud end all machines of a capacity block, so long after the boot of the first of them."""
        return cls(FaultKind.BLOCK_ENDS, machine_type, count=1, after_s=after_s)

    @classmethod
    def takes_back(cls, machine_type: str, after_s: float = LATER_S) -> Fault:
        """Make the owner of an interruptible reservation take it back, so long after the boot of its first machine."""
        return cls(FaultKind.TAKES_BACK, machine_type, count=1, after_s=after_s)

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Return the fault that ``WORD:TYPE`` or ``WORD:TYPE=VALUE`` describes.

        Raises:
            RehearsalError: the text is not of this form.
        """
        word, _, rest = text.partition(":")
        machine_type, _, value = rest.partition("=")
        if word not in WORDS or not machine_type:
            raise RehearsalError(f"--fault {text}: expected WORD:TYPE, where WORD is one of {', '.join(WORDS)}")
        kind = FaultKind(word)
        if kind in (*_LATER, *_OF_RESERVATION):
            return cls._later(text, kind, machine_type, value)
        if kind in _WITH_NUMBER:
            if not value.isdigit():
                raise RehearsalError(f"--fault {text}: expected a whole number after `=`")
            return cls(kind, machine_type, count=int(value))
        if kind in _WITH_NAME:
            if not value:
                raise RehearsalError(f"--fault {text}: say what the driver names, e.g. {text}='NVIDIA L4'")
            return cls(kind, machine_type, driver_name=value)
        if kind is FaultKind.WAITS:
            return cls(kind, machine_type, after_s=_duration_s(text, value))
        if kind is FaultKind.ENDS_AT_LAUNCH:
            return cls(kind, machine_type, reason=value or None)
        return cls(kind, machine_type)

    @classmethod
    def _later(cls, text: str, kind: FaultKind, machine: str, value: str) -> Fault:
        """Return the fault of ``TYPE@SECONDS``; behind ``=`` is a number, of machines or of an XID, or a cause."""
        machine_type, _, after = machine.partition("@")
        seconds, is_xid, word = after.removesuffix("s") or f"{LATER_S:g}", kind is FaultKind.XID, kind.value
        number = value or ("" if is_xid else "1")
        if kind is FaultKind.SICK and value in SICK_CAUSES and seconds.isdecimal():
            return cls.sick(machine_type, float(seconds), cause=value)
        if not seconds.isdecimal() or not number.isdecimal():
            causes = f", where MACHINES may also be one of {', '.join(SICK_CAUSES)}" if kind is FaultKind.SICK else ""
            what = "XID" if is_xid else f"MACHINES{causes}"
            raise RehearsalError(f"--fault {text}: expected {word}:TYPE@SECONDS or {word}:TYPE@SECONDS={what}")
        if is_xid:
            return cls.xid(machine_type, int(number), float(seconds))
        return cls(kind, machine_type, count=int(number), after_s=float(seconds))


def _duration_s(text: str, value: str) -> float:
    number, unit = (value[:-1], value[-1:]) if value[-1:] in _UNITS else (value, "s")
    if not number.isdecimal():
        raise RehearsalError(f"--fault {text}: expected a duration after `=`, such as 90s, 15m or 2h")
    return float(int(number) * _UNITS[unit])


def all_of(faults: Iterable[Fault | str]) -> Faults:
    """Return faults, those given as ``WORD:TYPE=VALUE`` parsed.

    Raises:
        RehearsalError: as ``Fault.parse``.
    """
    return tuple(fault if isinstance(fault, Fault) else Fault.parse(fault) for fault in faults)


def granted(faults: Iterable[Fault], machine_type: str, requested: int, live: int) -> int:
    """Return how many of the requested machines the cloud gives while ``live`` of the type exist."""
    # `no-capacity` has no number: it is a capacity of none.
    kinds = (FaultKind.NO_CAPACITY, FaultKind.CAPACITY)
    limits = [fault.count or 0 for fault in faults if fault.machine_type == machine_type and fault.kind in kinds]
    return max(0, min([requested, *(limit - live for limit in limits)]))


def of_devices(faults: Iterable[Fault], machine_type: str) -> Fault | None:
    """Return what is wrong with the devices of a machine that boots now, the last that is given; None for nothing."""
    return _last(faults, machine_type, [kind for kind in FaultKind if kind not in OF_MACHINE + _LATER])


def of_start(faults: Iterable[Fault], machine_type: str) -> Fault | None:
    """Return what goes wrong between the launch of a machine and its join, the last that is given; None for nothing."""
    return _last(faults, machine_type, _OF_START)


def of_later(faults: Iterable[Fault], machine_type: str) -> list[Fault]:
    """Return what happens to machines of a type after their boot."""
    return [fault for fault in faults if fault.machine_type == machine_type and fault.kind in _LATER]


def block_end(faults: Iterable[Fault], machine_type: str) -> float | None:
    """Return how long after the boot of its first machine a block of a machine type ends; None for as it says."""
    found = _last(faults, machine_type, (FaultKind.BLOCK_ENDS,))
    return found.after_s if found else None


def taken_back(faults: Iterable[Fault], machine_type: str) -> float | None:
    """Return how long after the boot of its first machine an interruptible reservation is taken back; None for not."""
    found = _last(faults, machine_type, (FaultKind.TAKES_BACK,))
    return found.after_s if found else None


def _last(faults: Iterable[Fault], machine_type: str, kinds: Sequence[FaultKind]) -> Fault | None:
    mine = [fault for fault in faults if fault.machine_type == machine_type and fault.kind in kinds]
    # The file comes after the command line, so its lines can replace a fault while the rehearsal runs.
    return mine[-1] if mine else None


def write_faults(path: Path, faults: Iterable[Fault]) -> None:
    """Replace the faults in a file."""
    replace_json(path, [asdict(fault) for fault in faults])


def read_faults(path: Path) -> Faults:
    """Return the faults in a file; none where it does not exist."""
    rows = json.loads(path.read_text()) if path.exists() else []
    return tuple(Fault(**{**row, "kind": FaultKind(row["kind"])}) for row in rows)
