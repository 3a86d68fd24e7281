"""Where a machine type is to be had, and which file says what it has: as ``accel-scaling catalog`` says it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling.catalog.chips import lines_of
from accel_scaling.catalog.files import read, user_catalog_files
from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.clouds import cloud_of_region
from accel_scaling.errors import UnknownRegionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path
    from typing import Any

    from accel_scaling.catalog.load import Catalog
    from accel_scaling.catalog.model import MachineType

FEW = 5  # regions that `show` names


def describe_places(machine: MachineType, catalog: Catalog) -> dict[str, Any]:
    """Return what ``--json`` prints of the layers that have a machine type, and of its regions, each with its zones.

    A region without zones: nobody knows which of them, or what has no zones of its own.
    """
    where = catalog.where(machine)
    return {
        "line": machine.line or None,
        "overrides": [each.layer for each in catalog.layers(machine.cloud, machine.name)[1:]],
        "regions": {region: list(where.zones(region)) for region in where.regions},
    }


def shown_places(machine: MachineType, catalog: Catalog) -> list[tuple[str, str]]:
    """Return the lines of ``show`` about the layers and the regions of a machine type."""
    answered, *weaker = catalog.layers(machine.cloud, machine.name) or [machine]
    over = f", over {' and '.join(_place(each) for each in weaker)}" if weaker else ""
    where = catalog.where(machine)
    regions = where.regions
    named = sorted(regions, key=lambda each: (not each.startswith("us-"), each))  # most people know those
    if len(named) > FEW + 1:
        named[FEW:] = [f"{len(named) - FEW} more (--json lists them)"]
    has = ", ".join(named) or "no places file has it"
    return [("regions", has), ("from", f"{_place(answered)}{over} (catalog {catalog.version})")]


def own_chip(machine: MachineType, files: Sequence[Path]) -> str:
    """Return the place of the user's own entry for a machine's accelerator, and that it stands for a shipped one.

    Args:
        machine: as the catalog has it.
        files: those that the command names; ``~/.accel_scaling`` is looked through, too.
    """
    if machine.chip is None:
        return ""
    for path in user_catalog_files(files):
        line = lines_of(read(path).text).get(machine.chip.name) if path.suffix.lower() in {".yaml", ".yml"} else None
        if line:
            shipped = machine.chip.name in shipped_catalog().chips
            return f"{path}:{line['']}" + (", which stands for the whole entry of accelerators.yaml" if shipped else "")
    return ""


def in_region(machines: Iterable[MachineType], catalog: Catalog, region: str) -> tuple[list[MachineType], int]:
    """Return the machine types that a region has, and of how many nobody knows whether it does.

    Raises:
        UnknownRegionError: no places file has the region.
    """
    cloud = cloud_of_region(region) or ""
    known = [each for of in catalog.clouds for each in catalog.places(of).regions]
    if region not in known:
        from accel_scaling.catalog.suggest import hint

        raise UnknownRegionError(f"region {region!r} is in no places file{hint(region, known)}")
    has = [(each, catalog.where(each).in_region(region)) for each in machines if each.cloud == cloud]
    return [each for each, known in has if known], sum(known is None for _, known in has)


def _place(machine: MachineType) -> str:
    """Return the file; with the line where it is the user's own, or a plug-in's."""
    from accel_scaling.catalog.lookup import is_clouds_own

    return machine.layer if is_clouds_own(machine) or not machine.line else f"{machine.layer}:{machine.line}"
