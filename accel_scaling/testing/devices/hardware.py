"""The accelerators of one machine, as its bus and its driver show them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DriverKind = (
    Literal["nvml", "neuron", "tpu", "amd", "intel", "gaudi", "ascend", "rbln", "metax", "furiosa", "mobilint"]  # noqa: PYI030 - one a line otherwise
    | Literal["tenstorrent", "apple", "fpga", "media", "qaic", "nodes", "pci-only", "none"]
)


@dataclass(frozen=True)
class Hardware:
    """The accelerators of one machine, as its bus and its driver show them.

    Attributes:
        kind: which driver is there, mostly by its family; ``nvml`` is NVIDIA's, ``nodes`` that of a plug-in,
            ``pci-only`` none that we emulate, ``none`` no device.
        family: who makes the devices (``nvidia``, ``neuron``, ``amd``, ...); empty for a plain machine.
        count: devices on the bus.
        driver_name: what the driver calls each.
        pci_id: ``vendor:device`` in lower-case hex; empty where no public source has it: the bus then shows none.
        pci_class: the class file's content, e.g. ``0x030200``.
        memory_mib: device memory that the driver reports.
        cores_per_device: what neuron-ls shows for each device; 0 for other families.
        driver_count: devices that the driver sees, None for all.
        lost_index: a device that has fallen off the bus while the driver runs (NVML), or a sick driver (Neuron).
        init_code: what nvmlInit answers; 0 is success.
        hangs: the driver's tool does not answer.
        subsystem: the PCI subsystem device in lower-case hex, where it tells products apart (TPU v2 and v3).
        device_nodes: for TPUs, ``accel`` (/dev/accel0) or ``vfio`` (/dev/vfio/0); for plug-ins, ``ferrum{}``.
        source: where the row is from.
        node_count: device nodes below /dev; None for one of each device.
        container: this is a container on the machine: the bus is the machine's, the rest is what it was given.
        facts: what the driver says of the last device beside that it is there: words of ``nvml.c``, or names of
            counters in Neuron's sysfs.
        functions: PCI functions that each device shows.
    """

    kind: DriverKind
    family: str = ""
    count: int = 0
    driver_name: str = ""
    pci_id: str = ""
    pci_class: str = "0x030200"
    memory_mib: int = 0
    cores_per_device: int = 0
    driver_count: int | None = None
    lost_index: int | None = None
    init_code: int = 0
    hangs: bool = False
    subsystem: str = ""
    device_nodes: str = ""
    source: str = ""
    node_count: int | None = None
    container: bool = False
    facts: tuple[tuple[str, int], ...] = ()
    functions: int = 1

    @property
    def nodes(self) -> int:
        """Device nodes; a device that the driver does not answer for has one, too, as it is on the bus."""
        return self.count if self.node_count is None else self.node_count

    @property
    def seen_by_driver(self) -> int:
        """Devices that the driver answers for."""
        return self.count if self.driver_count is None else self.driver_count
