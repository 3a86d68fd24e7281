"""Reservations of a local cloud, as `rehearse --reservation` has them: how many machines, where, from when until when.

One form for all clouds::

    cr-0123:count=2,zone=us-west-2a,begins=60s,ends=10m

What each cloud makes of them is in its own folder.
"""

from __future__ import annotations

import enum
import json
import re
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from accel_scaling.errors import RehearsalError
from accel_scaling.testing.json_files import replace_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from accel_scaling.testing.file_machines import Machines

FORM = "NAME:count=N,zone=ZONE,begins=60s,ends=10m,kind=KIND,type=TYPE,owner=OWNER,group=GROUP,placement=GROUP"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"([0-9]{1,9})([smhd])")


class ReservationKind(str, enum.Enum):
    """The words for kinds of reservations."""

    TARGETED = "targeted"
    """A machine gets a place in it only if its launch names it."""

    OPEN = "open"
    """Each launch of its machine type in its zone takes its places first."""

    BLOCK = "block"
    """Bought for fixed dates: a Capacity Block of EC2, a reservation of Google's calendar mode."""

    INTERRUPTIBLE = "interruptible"
    """As targeted; its owner may ask for the machines back, two minutes before."""


@dataclass(frozen=True)
class Reservation:
    """One reservation of a local cloud.

    Attributes:
        name: its id (EC2) or its name (Google Cloud).
        count: how many machines it has places for.
        machine_type: for what machines; empty for that of the cluster file.
        zone: where they are; empty for the first zone of the cloud.
        kind: who gets its places; None for what the cluster file uses it as, and targeted where it names none.
        begins_s: from when it can be used, in seconds after ``since_s``.
        ends_s: when machines in it have to go, in seconds after ``since_s``; None for never.
        owner: the account (EC2) or project (Google Cloud) that has bought it; empty for the caller's own.
        group: the resource group of EC2 that it is in; empty for none.
        placement_group: of EC2, in which it was created; empty for none.
        since_s: from when its times count, as Unix time.
    """

    name: str
    count: int = 1
    machine_type: str = ""
    zone: str = ""
    kind: ReservationKind | None = None
    begins_s: float = 0.0
    ends_s: float | None = None
    owner: str = ""
    group: str = ""
    placement_group: str = ""
    since_s: float = 0.0

    @property
    def begins_at_s(self) -> float:
        """From when it can be used, as Unix time."""
        return self.since_s + self.begins_s

    @property
    def ends_at_s(self) -> float | None:
        """When machines in it have to go, as Unix time; None for never."""
        return None if self.ends_s is None else self.since_s + self.ends_s

    def text(self) -> str:
        """Return it in words, for the output of a rehearsal."""
        where = f" in {self.zone}" if self.zone else ""
        begins = f", from {self.begins_s:g} s on" if self.begins_s else ""
        ends = f", until {self.ends_s:g} s" if self.ends_s is not None else ""
        kind = f" ({self.kind.value})" if self.kind else ""
        return f"{self.name}{kind}: {self.count} x {self.machine_type}{where}{begins}{ends}"

    def has_begun(self, now_s: float) -> bool:
        """Return whether it can be used, as far as its begin says."""
        return now_s >= self.begins_at_s

    def has_ended(self, now_s: float) -> bool:
        """Return whether machines in it have to go."""
        return self.ends_at_s is not None and now_s >= self.ends_at_s

    @classmethod
    def parse(cls, text: str) -> Reservation:
        """Return the reservation that ``NAME`` or ``NAME:KEY=VALUE,...`` describes.

        Raises:
            RehearsalError: the text is not of this form.
        """
        name, _, rest = text.partition(":")
        if not name.strip():
            raise RehearsalError(f"--reservation {text}: expected {FORM}, where all but NAME may be left out")
        pairs: dict[str, str] = {}
        for part in [part.strip() for part in rest.split(",") if part.strip()]:
            key, _, value = (word.strip() for word in part.partition("="))
            if key not in _READERS or not value or key in pairs:
                raise RehearsalError(f"--reservation {text}: {part} is not of the form {FORM}, each key once")
            pairs[key] = value
        found = cls(name.strip())
        for key, value in pairs.items():
            attribute, read = _READERS[key]
            try:
                found = replace(found, **{attribute: read(value)})
            except ValueError as error:
                raise RehearsalError(f"--reservation {text}: {key}={value}: {error}") from None
        if found.ends_s is not None and found.ends_s <= found.begins_s:
            raise RehearsalError(f"--reservation {text}: it ends before it begins")
        return found


def _number(value: str) -> int:
    if not value.isascii() or not value.isdigit():
        raise ValueError("expected a whole number")
    return int(value)


def _seconds(value: str) -> float:
    found = _DURATION.fullmatch(value)
    if found is None:
        raise ValueError("expected a duration, such as 60s, 10m, 2h or 1d")
    return float(int(found[1]) * _UNITS[found[2]])


def _kind(value: str) -> ReservationKind:
    try:
        return ReservationKind(value)
    except ValueError:
        raise ValueError(f"expected one of {', '.join(kind.value for kind in ReservationKind)}") from None


_READERS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "count": ("count", _number),
    "zone": ("zone", str),
    "begins": ("begins_s", _seconds),
    "ends": ("ends_s", _seconds),
    "kind": ("kind", _kind),
    "type": ("machine_type", str),
    "owner": ("owner", str),
    "group": ("group", str),
    "placement": ("placement_group", str),
}
"""Key -> the attribute that it sets, and what reads its value."""

Reservations = tuple[Reservation, ...]


def reservations_of(texts: Iterable[Reservation | str]) -> Reservations:
    """Return reservations, those given as text parsed.

    Raises:
        RehearsalError: as ``Reservation.parse``; or two of one name.
    """
    found = tuple(one if isinstance(one, Reservation) else Reservation.parse(one) for one in texts)
    names = [one.name for one in found]
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise RehearsalError(f"--reservation {twice[0]} is given twice; write one with the count of both")
    return found


def of_file(given: Iterable[Reservation], named: Iterable[Reservation], machines: Machines) -> Reservations:
    """Return the reservations of a rehearsal: those that are given, and those that the cluster file names beside them.

    Args:
        given: of the command line.
        named: what the file's node types name, as `CloudFacts.reservations_of` has it.
        machines: of the file.

    Raises:
        RehearsalError: the file has no such machine type or zone; or several types, and it is not said which is meant.
    """
    by_name = {one.name: one for one in named}
    found = {}
    for one in given:
        like = by_name.get(one.name, Reservation(one.name))
        machine_type = one.machine_type or like.machine_type or _only_type(one, machines)
        kind, group, owner = one.kind or like.kind, one.group or like.group, one.owner or like.owner
        whole = replace(one, machine_type=machine_type, kind=kind, group=group, owner=owner)
        machines.check_place(f"--reservation {one.name}", whole.machine_type, whole.zone)
        found[one.name] = whole
    return tuple({**by_name, **found}.values())


def _only_type(one: Reservation, machines: Machines) -> str:
    types = sorted(machines.accelerators)
    if len(types) > 1:
        raise RehearsalError(
            f"--reservation {one.name}: no node type of the file names it; say for which machine type it is: type=TYPE,"
            f" one of {', '.join(types)}"
        )
    return types[0]


def write_reservations(path: Path, reservations: Iterable[Reservation], since_s: float) -> None:
    """Replace the reservations in a file.

    Args:
        path: the file.
        reservations: what the cloud has from now on.
        since_s: from when the times of those count that do not say it, as Unix time.
    """
    whole = [
        replace(one, since_s=one.since_s or since_s, kind=one.kind or ReservationKind.TARGETED) for one in reservations
    ]
    replace_json(path, [asdict(one) for one in whole])


def read_reservations(path: Path) -> Reservations:
    """Return the reservations in a file; none where it does not exist."""
    rows = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return tuple(Reservation(**{**row, "kind": ReservationKind(row["kind"])}) for row in rows)
