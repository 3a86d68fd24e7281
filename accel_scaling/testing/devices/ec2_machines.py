"""The hardware of each EC2 machine type: what a local host shows, whatever the catalog promises.

Independent of ``catalogs/`` on purpose: a wrong row there must not be confirmed by hardware made from that same row.
How many devices: moto's recording of EC2's DescribeInstanceTypes. What the driver calls them and what the bus
shows: ``hardware.csv`` beside this file, by type or by family, each row with its source; types that the recording
lacks have whole rows there. Plug-in families bring rows of their own, of the kind ``nodes``.
"""

from __future__ import annotations

import csv
import difflib
import functools
import gzip
import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from accel_scaling.errors import RehearsalError
from accel_scaling.message_text import shown
from accel_scaling.requirements import missing
from accel_scaling.testing.devices.hardware import PLUG_IN_KIND, Hardware, rows_of_plug_ins, user_hardware

TABLE = Path(__file__).with_name("hardware.csv")

NOTHING = Hardware(kind="none", source="no accelerator in EC2's DescribeInstanceTypes")


def hardware_of(instance_type: str) -> Hardware:
    """Return what a machine of this EC2 type really has.

    Args:
        instance_type: EC2's name, e.g. ``p4d.24xlarge``.

    Raises:
        RehearsalError: neither moto's recording nor ``hardware.csv`` has the type, nor did the user tell of it; there
            is no driver's name for it; or a plug-in's table is wrong.
    """
    # The type's own row first: sizes of one family differ where each has another part of a GPU, as g6f's do.
    row = _table().get(instance_type) or _table().get(instance_type.partition(".")[0])
    recorded = ec2_api_record(instance_type)
    if recorded is None and not (row and row.count):
        if hardware := user_hardware(instance_type):
            return hardware
        raise RehearsalError(_unknown(instance_type))
    if recorded is None:
        return row  # type: ignore[return-value]  # a whole row: checked above
    count, memory_mib = _devices(recorded)
    if row is None:
        if count:
            raise RehearsalError(
                f"EC2's recording says that {instance_type} has {count} accelerators, but {TABLE.name} does not say"
                " what their driver calls them: add a row for its family"
            )
        return NOTHING
    return replace(row, count=row.count or count, memory_mib=row.memory_mib or memory_mib)


def like_family(family: str) -> Hardware | None:
    """Return a row of a family, for what its products have in common: driver, PCI vendor and class; None for none."""
    return next((row for row in _table().values() if row.family == family), None)


def ec2_api_record(instance_type: str) -> dict[str, Any] | None:
    """Return moto's recorded DescribeInstanceTypes answer for one type (us-east-1), None where it has none."""
    return _recording().get(instance_type)


def _devices(record: dict[str, Any]) -> tuple[int, int]:
    """Count a recorded type's devices and read the memory of one, in MiB; (0, 0) for a plain machine."""
    for info, entries in (
        ("GpuInfo", "Gpus"),
        ("NeuronInfo", "NeuronDevices"),
        ("InferenceAcceleratorInfo", "Accelerators"),
        ("FpgaInfo", "Fpgas"),
        ("MediaAcceleratorInfo", "Accelerators"),
    ):
        for entry in record.get(info, {}).get(entries, []):
            # A slice of a GPU has Count 0 and LogicalGpuCount 1; the guest sees one device.
            return entry["Count"] or entry.get("LogicalGpuCount", 0), entry["MemoryInfo"]["SizeInMiB"]
    return 0, 0


def _unknown(instance_type: str) -> str:
    near = difflib.get_close_matches(instance_type, [*_recording(), *_table()], n=3)
    return (
        f"no machine of type {shown(instance_type)} can be rehearsed: neither moto's recording nor {TABLE.name} has it"
        + (f"; near names: {', '.join(near)}" if near else "")
    )


@functools.cache
def _recording() -> dict[str, dict[str, Any]]:
    # Found without importing moto: its package import alone takes longer than a whole look-up here.
    spec = importlib.util.find_spec("moto")
    if spec is None or spec.origin is None:
        raise missing("moto", "rehearse")
    path = Path(spec.origin).parent / "ec2" / "resources" / "instance_types.json.gz"
    try:
        return dict(json.loads(gzip.decompress(path.read_bytes())))
    except OSError as error:
        raise RehearsalError(f"moto's recording of EC2's machine types cannot be read: {path}: {error}") from error


@functools.cache
def _table() -> dict[str, Hardware]:
    with TABLE.open(newline="", encoding="utf-8") as file:
        ours = {row["instance"]: _hardware(row) for row in csv.DictReader(file)}
    # Ours win: a plug-in cannot change what a machine type that ships is emulated by.
    return {**{row["instance"]: _hardware(row) for row in rows_of_plug_ins()}, **ours}


def _hardware(row: dict[str, str]) -> Hardware:
    return Hardware(
        kind=row["kind"],  # type: ignore[arg-type]  # a test holds the column to the four words
        family=row["family"],
        count=int(row["count"] or 0),
        driver_name=row["driver_name"],
        pci_id=row["pci_id"],
        pci_class=row["pci_class"],
        memory_mib=int(row["memory_mib"] or 0),
        cores_per_device=int(row["cores_per_device"] or 0),
        device_nodes=row.get("device_nodes") or _device_nodes(row),
        source=row["source"],
        functions=2 if row["kind"] == "media" else 1,
    )


def _device_nodes(row: dict[str, str]) -> str:
    """Return the nodes of a built-in family without an emulated driver of its own in ``drivers.py``."""
    if row["kind"] != PLUG_IN_KIND:
        return ""
    from accel_scaling.families.registry import family_of_name  # here: what else ships is emulated without the catalog

    return family_of_name(row["family"]).node_template
