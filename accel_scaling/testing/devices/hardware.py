"""The accelerators of one machine, as its bus and its driver show them; and the tables of plug-ins and users.

The tables that ship are beside this file (ec2_machines.py and gcp_machines.py read them). They are independent of the
catalog, and are asked first. A machine type that only a user's catalog knows comes from the user's hardware file, or
else from the row of the catalog itself: the rehearsal finds it out, prints which, and writes it for its local cloud.
"""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from accel_scaling.errors import RehearsalError
from accel_scaling.families.plugins import loaded
from accel_scaling.inputs.file_text import UnreadableError, read_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from accel_scaling.families.plugins import PlugIn


DriverKind = (
    Literal["nvml", "neuron", "tpu", "amd", "intel", "gaudi", "ascend", "rbln", "metax", "furiosa", "mobilint"]  # noqa: PYI030 - one a line otherwise
    | Literal["tenstorrent", "apple", "fpga", "media", "qaic", "nodes", "pci-only", "none"]
)

PLUG_IN_KIND = "nodes"  # PCI functions, and plain files below /dev
USER_TYPES_FILE = "own_hardware.json"  # in a local cloud's directory, for its process

_REQUIRED_COLUMNS = ("instance", "driver_name", "count")
_OPTIONAL_COLUMNS = ("pci_id", "pci_class", "memory_mib", "source")
_PROCESSING_ACCELERATOR = "0x120000"  # the PCI class


@dataclass(frozen=True)
class Hardware:
    """The accelerators of one machine, as its bus and its driver show them.

    Attributes:
        kind: the driver, mostly by its family; ``nvml`` is NVIDIA's, ``nodes`` that of a plug-in,
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
        facts: what the driver says of the last device beside that it is there: words of ``nvml.c`` and ``cuda.c``, or
            names of counters in Neuron's sysfs.
        functions: PCI functions that each device shows.
        products: name and PCI id of each device, where they are not all alike; ``:`` and the subsystem may follow.
        network_devices: EFA or RDMA devices, by the network interfaces that it was launched with.
        nvlink_domain: of machines whose NVLink reaches others, the numbers CLUSTER.CLIQUE; empty for others.
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
    products: tuple[tuple[str, str], ...] = ()
    nvlink_domain: str = ""
    network_devices: int = 0

    def product(self, index: int) -> tuple[str, str]:
        """Return the name and the PCI id of a device, by its place on the bus."""
        return self.products[index] if self.products else (self.driver_name, self.pci_id)

    @property
    def names(self) -> list[str]:
        """The names of the devices that the driver answers for."""
        return [self.product(index)[0] for index in range(self.seen_by_driver)]

    @property
    def nodes(self) -> int:
        """Device nodes; a device that the driver does not answer for has one, too, as it is on the bus."""
        return self.count if self.node_count is None else self.node_count

    @property
    def seen_by_driver(self) -> int:
        """Devices that the driver answers for."""
        return self.count if self.driver_count is None else self.driver_count


_user_hardware: dict[str, Hardware] = {}


def user_hardware(machine_type: str) -> Hardware | None:
    """Return the hardware of a machine type that only the user knows; None where no rehearsal has set it."""
    return _user_hardware.get(machine_type)


def set_user_hardware(hardware: Mapping[str, Hardware]) -> None:
    """Remember the hardware of these machine types, and forget those given before."""
    _user_hardware.clear()
    _user_hardware.update(hardware)


def write_user_hardware(directory: Path, hardware: Mapping[str, Hardware]) -> None:
    """Write the hardware of the user's machine types into a local cloud's directory."""
    rows = {machine_type: asdict(devices) for machine_type, devices in hardware.items()}
    (directory / USER_TYPES_FILE).write_text(json.dumps(rows), encoding="utf-8")


def read_user_hardware(directory: Path) -> None:
    """Set the hardware that the rehearsal wrote into a local cloud's directory, if it did."""
    file = directory / USER_TYPES_FILE
    if file.is_file():
        # JSON has no tuples: these fields come back as lists, which would not equal those of a table.
        rows = json.loads(file.read_text(encoding="utf-8"))
        set_user_hardware(
            {
                name: Hardware(**{**row, **{field: tuple(map(tuple, row[field])) for field in ("facts", "products")}})
                for name, row in rows.items()
            }
        )


def rows_of_plug_ins() -> list[dict[str, str]]:
    """Return the rows of all plug-ins' tables, each with every column of ours.

    Raises:
        RehearsalError: a table is wrong; the text names file, line and what is expected.
    """
    return [row for plug_in in loaded().plug_ins.values() for row in _rows(plug_in)]


def _rows(plug_in: PlugIn) -> list[dict[str, str]]:
    from accel_scaling.families.plugin_data import HARDWARE  # here: what ships is emulated without the catalog

    family = plug_in.family
    path = family.folder / HARDWARE if family.folder else None
    if path is None or not path.is_file():
        return []
    of_family = {"kind": PLUG_IN_KIND, "family": family.name, "device_nodes": family.node_template}
    return [
        {**row, **of_family, "pci_class": row["pci_class"] or _PROCESSING_ACCELERATOR} for _, row in rows_of_file(path)
    ]


def rows_of_file(path: Path) -> list[tuple[str, dict[str, str]]]:
    """Return the rows of a hardware file of a plug-in's or a user's, each with its location (``file:line``).

    Raises:
        RehearsalError: the file is wrong; the text names file, line and what is expected.
    """
    try:
        # Without the mark that spreadsheets put in front of UTF-8: it would become part of the first column's name.
        reader = csv.DictReader(io.StringIO(read_text(path).removeprefix("\ufeff"), newline=""))
        columns, rows = set(reader.fieldnames or ()), list(reader)
    except (UnreadableError, csv.Error) as error:
        raise RehearsalError(f"{path}:1: cannot be read as CSV in UTF-8: {error}") from None
    if not columns.issuperset(_REQUIRED_COLUMNS) or not columns.issubset((*_REQUIRED_COLUMNS, *_OPTIONAL_COLUMNS)):
        raise RehearsalError(
            f"{path}:1: the columns must be {', '.join(_REQUIRED_COLUMNS)} and may be {', '.join(_OPTIONAL_COLUMNS)}"
        )
    # From 2, as the first line is the header's: the location is what an editor shows.
    return [(f"{path}:{line}", _checked(row, f"{path}:{line}")) for line, row in enumerate(rows, 2)]


def _checked(row: dict[str, str], location: str) -> dict[str, str]:
    # csv.DictReader puts cells without a column under None, and None into columns without a cell.
    if None in row or None in row.values():
        raise RehearsalError(f"{location}: has more or fewer cells than the columns")
    for column, pattern, expected in (
        ("instance", r"\S+", "an instance type"),
        ("count", r"[1-9]\d*", "how many devices"),
        ("driver_name", r".+", "what the driver calls a device"),
        ("pci_id", r"(?:[0-9a-f]{4}:[0-9a-f]{4})?", "vendor:device in lower-case hex"),
        ("memory_mib", r"\d*", "MiB, or nothing"),
    ):
        if column in row and not re.fullmatch(pattern, row[column]):
            raise RehearsalError(f"{location}: {column} is {row[column] or 'empty'}; expected {expected}")
    return {**dict.fromkeys((*_OPTIONAL_COLUMNS, "cores_per_device"), ""), **row}
