"""Values of detection: a device, the state of a driver, the accelerators of one family."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from accel_scaling.message_text import shown

_PLAIN = re.compile(r"[\w.,:;*!-]{1,60}", re.ASCII)  # used in a sentence as it is


class DriverState(Enum):
    """The answer of a family's driver, in a word."""

    OK = "ok"
    MISSING = "missing"  # not installed, or not loaded
    UNHEALTHY = "unhealthy"  # it answered with an error, or with less than it should
    NOT_YET = "not yet"  # it did not answer in time: it may still be starting
    HIDDEN = "hidden"  # on this machine, but not visible in this container
    TOOL_BROKEN = "tool broken"  # the driver has the devices, and what is asked about them cannot run
    NOT_PROBED = "not probed"  # this version has no probe for the family


@dataclass(frozen=True)
class Device:
    """One device; what is not known is None.

    Attributes:
        index: the driver's number for it; the bus order where no driver answers.
        name: the product as the driver reports it.
        pci_address: e.g. ``0000:10:1c.0``.
        pci_id: ``vendor:device`` in lower-case hex.
        memory_mib: device memory that the driver reports.
    """

    index: int
    name: str | None = None
    pci_address: str | None = None
    pci_id: str | None = None
    memory_mib: int | None = None


@dataclass(frozen=True)
class Kind:
    """Devices of one product, on a machine that has several products of a family.

    Attributes:
        name: the exact product, or what the driver calls it.
        count: how many devices.
        answers_to: every accelerator type that a promise may name for these devices.
        places: their numbers, by the driver's order; by the bus's where no driver names them.
    """

    name: str
    count: int
    answers_to: tuple[str, ...] = ()
    places: tuple[int, ...] = ()


@dataclass(frozen=True)
class Visible:
    """The units of a Ray resource that an environment variable leaves visible to `ray start`.

    Attributes:
        variable: its name.
        value: its value.
        count: units by Ray's reading: Ray announces no more, and does not start where more are promised.
        usable: units by the reading of the devices' own runtime, which may be stricter: to CUDA, ``-1`` is no device.
        note: what the value gets wrong, as a part of a sentence; empty where nothing.
    """

    variable: str
    value: str
    count: int
    usable: int
    note: str = ""

    @property
    def assignment(self) -> str:
        """The variable with its value, as a part of a sentence: ``CUDA_VISIBLE_DEVICES=0,1,2``."""
        if not self.value:
            return f"{self.variable} is empty"
        return f"{self.variable}={self.value if _PLAIN.fullmatch(self.value) else shown(self.value)}"


@dataclass(frozen=True)
class Detection:
    """The result of a probe: one family of accelerators on this machine, by the bus and by its driver.

    Attributes:
        family: ``nvidia``, ``neuron``, ...: as in the catalog's chips.
        resource: the Ray resource that a node announces for it.
        count: devices that can be used: those the driver answers for (on the bus, where there is no probe).
        units: units of ``resource``: Neuron cores; equal to ``count`` for GPUs.
        ray_units: units that Ray 2.60 announces on this node by itself: it may count a device that is lost.
        accelerator_type: what Ray 2.60 announces on this node, None where Ray has no type for it.
        variant: the exact product, where the catalog knows the driver's name or the PCI id: ``A100-80G``, ``L4-3Q``.
        answers_to: every accelerator type that a promise may name for these devices. A slice of a device answers
            to its own name only, never to the whole chip's.
        devices: one entry a device.
        bus_count: devices on the PCI bus.
        driver_count: devices that the driver answers for.
        state: how the driver answered.
        trouble: why ``state`` is not OK, as the middle of a sentence.
        pod_type: for TPUs, the type of the slice that this host is in, as Ray writes it: ``v4-16``.
        worker_id: for TPUs, this host's number in it.
        evidence: what the bus, the driver and Ray's way show, one short sentence each.
        divided: how devices are cut into slices where a task would be given a whole one; empty where they are not.
        kinds: the products, where the devices are not all alike; ``answers_to`` has what is common to them.
        visible: what the environment leaves visible; None where it says nothing.
        nvlink_domain: the name of the machines that the devices' NVLink reaches; empty where it reaches this one only.
    """

    family: str
    resource: str
    count: int = 0
    units: int = 0
    ray_units: int = 0
    accelerator_type: str | None = None
    variant: str | None = None
    answers_to: tuple[str, ...] = ()
    devices: tuple[Device, ...] = ()
    bus_count: int = 0
    driver_count: int = 0
    state: DriverState = DriverState.OK
    trouble: str = ""
    pod_type: str = ""
    worker_id: int | None = None
    evidence: tuple[str, ...] = ()
    divided: str = ""
    kinds: tuple[Kind, ...] = ()
    visible: Visible | None = None
    nvlink_domain: str = ""

    @property
    def usable_units(self) -> int:
        """Units that tasks can use: those of this machine that the environment leaves visible."""
        return self.units if self.visible is None else min(self.units, self.visible.usable)

    @property
    def present(self) -> bool:
        """True where the bus or the driver shows a device."""
        return bool(self.bus_count or self.driver_count)

    @property
    def driver_name(self) -> str | None:
        """The first device's name as the driver reports it; Ray, too, asks the first."""
        return next((device.name for device in self.devices if device.name), None)

    def to_json(self) -> dict[str, Any]:
        """Return the documented form of ``detect --json``."""
        return {
            **asdict(self),
            "answers_to": list(self.answers_to),
            "devices": [asdict(device) for device in self.devices],
            "evidence": list(self.evidence),
            "state": self.state.value,
        }
