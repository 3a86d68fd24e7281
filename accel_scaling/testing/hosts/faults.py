"""What goes wrong on a local cloud: sold-out types and machines that lie. In a file, re-read at each use."""

from __future__ import annotations

import enum
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class HardwareFaultKind(str, enum.Enum):
    """How a machine's devices differ from what its instance type promises."""

    FEWER = "fewer"
    OTHER = "other"
    NO_DRIVER = "no_driver"
    NONE = "none"
    UNHEALTHY = "unhealthy"
    NOT_YET = "not_yet"


@dataclass(frozen=True)
class HardwareFault:
    """One lie about devices, applied when an instance of the type boots.

    Attributes:
        kind: which lie.
        count: for ``FEWER``, how many devices the machine shows.
        driver_name: for ``OTHER``, the product name that the driver reports, e.g. ``NVIDIA L4``.
    """

    kind: HardwareFaultKind
    count: int | None = None
    driver_name: str | None = None


def fewer(count: int) -> HardwareFault:
    """The machine shows ``count`` devices only."""
    return HardwareFault(HardwareFaultKind.FEWER, count=count)


def other(driver_name: str) -> HardwareFault:
    """The machine's devices report another product name."""
    return HardwareFault(HardwareFaultKind.OTHER, driver_name=driver_name)


def no_driver() -> HardwareFault:
    """The devices are on the bus, but no driver answers."""
    return HardwareFault(HardwareFaultKind.NO_DRIVER)


def no_devices() -> HardwareFault:
    """The machine has no device at all."""
    return HardwareFault(HardwareFaultKind.NONE)


def unhealthy() -> HardwareFault:
    """The driver answers with an error for one device."""
    return HardwareFault(HardwareFaultKind.UNHEALTHY)


def not_yet() -> HardwareFault:
    """The driver does not answer in time."""
    return HardwareFault(HardwareFaultKind.NOT_YET)


@dataclass(frozen=True)
class Faults:
    """All faults of a local cloud at one moment.

    Attributes:
        no_capacity: instance types that are sold out.
        capacity: instance type -> how many may be pending or running at once.
        hardware: instance type -> what is wrong with the devices of machines that boot from now on.
    """

    no_capacity: frozenset[str] = frozenset()
    capacity: Mapping[str, int] = field(default_factory=dict)
    hardware: Mapping[str, HardwareFault] = field(default_factory=dict)

    def grants(self, instance_type: str, wanted: int, live: int) -> int:
        """How many of ``wanted`` machines the cloud can give while ``live`` of the type exist."""
        if instance_type in self.no_capacity:
            return 0
        if instance_type not in self.capacity:
            return wanted
        return max(0, min(wanted, self.capacity[instance_type] - live))


def write_faults(path: Path, faults: Faults) -> None:
    """Replaces the faults in ``path``; a reader sees the old ones or the new ones, never half."""
    body: dict[str, Any] = {
        "no_capacity": sorted(faults.no_capacity),
        "capacity": dict(faults.capacity),
        "hardware": {name: asdict(fault) for name, fault in faults.hardware.items()},
    }
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(json.dumps(body))
    fresh.replace(path)


def read_faults(path: Path) -> Faults:
    """The faults in ``path``; none where the file does not exist."""
    if not path.exists():
        return Faults()
    body = json.loads(path.read_text())
    hardware = {
        name: HardwareFault(HardwareFaultKind(row["kind"]), row["count"], row["driver_name"])
        for name, row in body["hardware"].items()
    }
    return Faults(frozenset(body["no_capacity"]), body["capacity"], hardware)
