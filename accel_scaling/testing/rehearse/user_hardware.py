"""The emulated hardware of machine types that only the user's catalog knows: from the user's hardware file, or the row.

A confirmation of such a machine proves that the whole path works: launch, boot, detection, join. Made from the very row
that it confirms, it does not prove the row; the rehearsal says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from accel_scaling.catalog.files import hardware_files
from accel_scaling.catalog.lookup import is_clouds_own
from accel_scaling.cluster.cluster import read_config, user_catalogs
from accel_scaling.errors import RehearsalError
from accel_scaling.testing.devices.drivers import DRIVERS
from accel_scaling.testing.devices.ec2_machines import NOTHING, like_family
from accel_scaling.testing.devices.hardware import Hardware, rows_of_file

if TYPE_CHECKING:
    from pathlib import Path

    from accel_scaling.catalog.load import Catalog
    from accel_scaling.catalog.model import MachineType
    from accel_scaling.testing.base_cloud import LocalCloud

_UNLISTED_DEVICE = "ffff"  # what the bus shows of a device that no list has, after its maker's number


@dataclass(frozen=True)
class UserMachine:
    """A machine type of the user's own, as it is emulated.

    Attributes:
        hardware: what it has.
        by: the file and line that say so.
        independent: whether that is a hardware file, not the row that is to be confirmed.
    """

    hardware: Hardware
    by: str
    independent: bool


def user_machines(
    config: dict[str, Any], catalog: Catalog, cloud: type[LocalCloud], *, home: Path | None = None
) -> dict[str, UserMachine]:
    """Return the machine types of a cluster file that only its user knows, by their names.

    Args:
        config: the cluster config.
        catalog: where its machine types come from.
        cloud: says which types are emulated without the user's help.
        home: the folder that has ``.accel_scaling``; the user's home where it is None.

    Raises:
        RehearsalError: a type that cannot be emulated, or a wrong hardware file.
    """
    machines: dict[str, UserMachine] = {}
    rows = _rows(hardware_files(user_catalogs(config["provider"]), home=home))
    for node_type in read_config(config, catalog).node_types.values():
        machine, node_config = node_type.machine, node_type.node_config
        try:
            cloud.check(node_config)
        except RehearsalError:
            # Only what the user added is made from their rows; what ships must be in tables that are independent of it.
            if machine.slice is not None or is_clouds_own(machine.machine):
                raise
            machines[machine.name] = _user_machine(machine.machine, rows)
        else:
            if machine.name in rows:
                location = rows[machine.name][0]
                raise RehearsalError(f"{location}: rehearsals know what is in {machine.name} already; remove this row")
    return machines


def introduced(machines: dict[str, UserMachine]) -> list[str]:
    """Return a line for each machine type of the user's: the file and line that it is emulated by."""
    return [
        f"{name}: emulated as {machine.by} says"
        + ("" if machine.independent else ", the row itself: its boot check proves the path, not the row")
        for name, machine in machines.items()
    ]


def _user_machine(machine: MachineType, rows: dict[str, tuple[str, dict[str, str]]]) -> UserMachine:
    location, row = rows.get(machine.name, ("", None))
    by = location or f"{machine.layer}:{machine.line}"
    return UserMachine(_hardware(machine, row, by), by, independent=row is not None)


def _hardware(machine: MachineType, row: dict[str, str] | None, by: str) -> Hardware:
    chip = machine.chip
    if chip is None:
        return NOTHING
    like = like_family(chip.family)
    if like is None and chip.family not in DRIVERS:
        raise RehearsalError(f"{by}: no driver of the family {chip.family} can be emulated ({machine.name})")
    driver_name = row["driver_name"] if row else next(iter(chip.driver_names), "")
    if not driver_name:
        raise RehearsalError(f"{by}: {chip.name} has no driver_names; a rehearsal needs one for {machine.name}")
    unlisted = f"{like.pci_id.partition(':')[0]}:{_UNLISTED_DEVICE}" if like and like.pci_id else ""
    return Hardware(
        kind=like.kind if like else chip.family,  # type: ignore[arg-type]  # a key of DRIVERS
        family=chip.family,
        count=int(row["count"]) if row else machine.count,
        driver_name=driver_name,
        pci_id=(row["pci_id"] if row else next(iter(chip.pci_ids), "")) or unlisted,
        pci_class=(row and row["pci_class"]) or (like.pci_class if like else "0x120000"),
        memory_mib=int((row and row["memory_mib"]) or chip.memory_mib or 0),
        cores_per_device=chip.units_per_device if chip.family == "neuron" else 0,
        device_nodes=like.device_nodes if like else "",
        source=by,
    )


def _rows(files: list[Path]) -> dict[str, tuple[str, dict[str, str]]]:
    """Return the rows of the hardware files by machine type, each with its location; the first file wins."""
    rows: dict[str, tuple[str, dict[str, str]]] = {}
    for path in files:
        for location, row in rows_of_file(path):
            rows.setdefault(row["instance"], (location, row))
    return rows
