"""The machines of a cluster file: faults and reservations of a rehearsal must be for one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from accel_scaling.errors import RehearsalError
from accel_scaling.testing.faults import OF_MACHINE, OF_QUEUE, POOLS, FaultKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from accel_scaling.testing.faults import Fault


@dataclass(frozen=True)
class Machines:
    """The machines of a cluster file, which faults must be for.

    Attributes:
        accelerators: machine type -> how many one machine has.
        zones: the zones that a fault may name; none where the cloud has no faults by zone.
        waits: whether machines of the cloud can wait for capacity.
    """

    accelerators: Mapping[str, int]
    zones: Sequence[str] = ()
    waits: bool = True

    def check(self, fault: Fault) -> None:
        """Refuse a fault that would never come.

        Raises:
            RehearsalError: the file does not have the machine or zone, or the machine does not have the devices.
        """
        text = f"the fault {fault.kind.value}:{fault.machine_type}"
        whole, slash, pool = fault.machine_type.partition("/")
        machine_type, at, zone = whole.partition("@")
        self.check_place(text, machine_type, "")
        if at and fault.kind is not FaultKind.NO_CAPACITY:
            raise RehearsalError(f"{text}: only no-capacity can be for one zone")
        if slash and fault.kind not in (FaultKind.NO_CAPACITY, FaultKind.CAPACITY):
            raise RehearsalError(f"{text}: only no-capacity and capacity can be for spot or on-demand alone")
        if fault.kind in (FaultKind.WAITS, *OF_QUEUE) and not self.waits:
            raise RehearsalError(f"{text}: machines of this cloud do not wait for capacity; Google Cloud's do")
        if slash and pool not in POOLS:
            raise RehearsalError(f"{text}: expected TYPE/spot or TYPE/on-demand")
        self.check_place(text, machine_type, zone)
        count = self.accelerators[machine_type]
        if fault.kind not in OF_MACHINE and not count:
            raise RehearsalError(f"{text}: a {machine_type} has no accelerators")
        if fault.kind is FaultKind.FEWER and (fault.count or 0) >= count:
            raise RehearsalError(f"{text}={fault.count}: a {machine_type} has {count}; write a smaller number")

    def check_place(self, text: str, machine_type: str, zone: str) -> None:
        """Refuse a machine type or zone that the file does not have; ``text`` begins the sentence, "" is any zone.

        Raises:
            RehearsalError: names it, and what the file has.
        """
        # Here, as the parts that emulate devices share nothing with the catalog.
        from accel_scaling.catalog.suggest import hint

        if machine_type not in self.accelerators:
            has = ", ".join(sorted(self.accelerators))
            near = hint(machine_type, self.accelerators)
            raise RehearsalError(f"{text}: no node type of the file has a {machine_type}; they have {has}{near}")
        # A cluster file need not name its zones: those of EC2 come from its subnets.
        if zone and self.zones and zone not in self.zones:
            has, near = ", ".join(self.zones), hint(zone, self.zones)
            raise RehearsalError(f"{text}: the file does not have the zone {zone}; it has {has}{near}")
