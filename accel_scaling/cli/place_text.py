"""The text of `accel-scaling catalog` about where a type is offered, from which files, and how old these are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling.catalog.lookup import is_clouds_own
from accel_scaling.catalog.unlisted import dates

if TYPE_CHECKING:
    from typing import Any

    from accel_scaling.catalog.load import Catalog
    from accel_scaling.catalog.model import MachineType
    from accel_scaling.catalog.tpu_slices import TpuSlice

_FEW_REGIONS = 5


def describe_places(machine: MachineType, catalog: Catalog) -> dict[str, Any]:
    """Return the layers that have a machine type, and its regions with their zones, as ``--json`` prints them.

    A region without zones: they are not known, or it offers something that has no zones of its own.
    """
    offering, unlisted = catalog.where(machine), catalog.unlisted(machine)
    return {
        "line": machine.line or None,
        "overrides": [weaker.layer for weaker in catalog.layers(machine.cloud, machine.name)[1:]],
        "regions": {region: list(offering.zones(region)) for region in offering.regions},
        "unlisted": unlisted.source if unlisted else None,
        "as_of": ages(_files_of(machine, catalog)),
    }


def shown_places(machine: MachineType, catalog: Catalog) -> list[tuple[str, str]]:
    """Return the lines of ``show`` about the layers and the regions of a machine type."""
    answered, *weaker = catalog.layers(machine.cloud, machine.name) or [machine]
    over = f", over {' and '.join(map(_file_of, weaker))}" if weaker else ""
    # Regions of the USA first: most users know their names.
    named = sorted(catalog.where(machine).regions, key=lambda region: (not region.startswith("us-"), region))
    if len(named) > _FEW_REGIONS + 1:
        named[_FEW_REGIONS:] = [f"{len(named) - _FEW_REGIONS} more (--json lists them)"]
    why = catalog.nowhere(machine)
    has = ", ".join(named) or (f"none is known to have it{why}" if why else "unknown")
    old = [f"{as_of} ({name})" for name, as_of in ages(_files_of(machine, catalog)).items()]
    return [
        ("regions", has),
        ("from", f"{_file_of(answered)}{over} (catalog {catalog.version})"),
        *([("as of", ", ".join(old))] if old else []),
    ]


def _files_of(machine: MachineType, catalog: Catalog) -> list[str]:
    """Return the names of the files, shipped or not, that say what a machine type has and where it is offered."""
    answered, offering = (catalog.layers(machine.cloud, machine.name) or [machine])[0], catalog.where(machine)
    # What is listed of the cloud does not mean a type that only the user's own catalog has.
    listed = offering.listed.values() if is_clouds_own(answered) else ()
    return [answered.layer, *sorted({row.layer for row in (*offering.rows.values(), *listed)})]


def ages(files: list[str]) -> dict[str, str]:
    """Return how old files are, by their names; those that ship alone."""
    known = dates()
    return {name: known[name] for name in files if name in known}


def _file_of(machine: MachineType) -> str:
    """Return the file of a row; with the line where it is the user's own, or a plug-in's."""
    return machine.layer if is_clouds_own(machine) or not machine.line else f"{machine.layer}:{machine.line}"


def files_of_slice(tpu_slice: TpuSlice) -> list[str]:
    """Return the names of the files that say what a slice has."""
    return ["gcp_tpu.csv", tpu_slice.machine.layer]
