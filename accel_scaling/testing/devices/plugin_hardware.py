"""Rehearsed machines with a plug-in family's devices: the rows of its ``hardware.csv``, and what its probe reads."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING

from accel_scaling.errors import RehearsalError
from accel_scaling.families.plugins import loaded

if TYPE_CHECKING:
    from pathlib import Path

    from accel_scaling.families.plugins import PlugIn
    from accel_scaling.testing.devices.hardware import Hardware

KIND = "nodes"  # PCI functions, and plain files below /dev

_NEEDED = ("instance", "driver_name", "count")
_FREE = ("pci_id", "pci_class", "memory_mib", "source")
_PCI_ID = re.compile(r"(?:[0-9a-f]{4}:[0-9a-f]{4})?")
_ACCELERATOR = "0x120000"  # the PCI class of processing accelerators


def rows_of_plug_ins() -> list[dict[str, str]]:
    """Return the rows of all plug-ins' tables, each with every column of ours.

    Raises:
        RehearsalError: a table is wrong; the text names file, line and what is expected.
    """
    return [row for plug_in in loaded().plug_ins.values() for row in _rows(plug_in)]


def write_what_the_probe_reads(root: Path, hardware: Hardware) -> None:
    """Let the family write, below the folder that stands for ``/``, what its probe reads of its driver."""
    from accel_scaling.families.registry import all_families  # here: what ships is emulated without the catalog

    for family in all_families():
        if family.name == hardware.family and family.emulate:
            family.emulate(root, [hardware.driver_name] * min(hardware.seen_by_driver, hardware.nodes))


def _rows(plug_in: PlugIn) -> list[dict[str, str]]:
    from accel_scaling.families.catalog import HARDWARE  # here: what ships is emulated without the catalog

    family = plug_in.family
    path = family.folder / HARDWARE if family.folder else None
    if path is None or not path.is_file():
        return []
    of_family = {"kind": KIND, "family": family.name, "device_nodes": family.node_template}
    return [{**row, **of_family, "pci_class": row["pci_class"] or _ACCELERATOR} for _, row in rows_of_file(path)]


def rows_of_file(path: Path) -> list[tuple[str, dict[str, str]]]:
    """Return the rows of a hardware file of a plug-in's or a user's, each with its place (``file:line``).

    Raises:
        RehearsalError: the file is wrong; the text names file, line and what is expected.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns, rows = set(reader.fieldnames or ()), list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RehearsalError(f"{path}:1: cannot be read as CSV in UTF-8: {error}") from None
    if not columns.issuperset(_NEEDED) or not columns.issubset((*_NEEDED, *_FREE)):
        raise RehearsalError(f"{path}:1: the columns must be {', '.join(_NEEDED)} and may be {', '.join(_FREE)}")
    return [(f"{path}:{line}", _checked(row, f"{path}:{line}")) for line, row in enumerate(rows, 2)]


def _checked(row: dict[str, str], where: str) -> dict[str, str]:
    if None in row or None in row.values():
        raise RehearsalError(f"{where}: has more or fewer cells than the columns")
    for column, pattern, expected in (
        ("instance", r"\S+", "an instance type"),
        ("count", r"[1-9]\d*", "how many devices"),
        ("driver_name", r".+", "what the driver calls a device"),
        ("pci_id", _PCI_ID.pattern, "vendor:device in lower-case hex"),
        ("memory_mib", r"\d*", "MiB, or nothing"),
    ):
        if column in row and not re.fullmatch(pattern, row[column]):
            raise RehearsalError(f"{where}: {column} is {row[column] or 'empty'}; expected {expected}")
    return {**dict.fromkeys((*_FREE, "cores_per_device"), ""), **row}
