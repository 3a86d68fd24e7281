"""The rows about drivers, container options and images, as the catalog folder has them."""

from __future__ import annotations

import functools

from accel_scaling.catalog.node_images import (
    ANY_SERIES,
    NO_ACCELERATOR,
    Image,
    ImageKind,
    Needs,
    parse_boot_disks,
    parse_families,
    parse_images,
)
from accel_scaling.catalog.table import NODE_FILES, shipped_rules
from accel_scaling.families.plugins import loaded

__all__ = ["NO_ACCELERATOR", "Image", "ImageKind", "Needs", "boot_disk_type", "images", "needs", "needs_of"]

_FAMILIES, _IMAGES, _DISKS = NODE_FILES


@functools.cache
def needs() -> dict[str, Needs]:
    """Return what the nodes of each family need.

    Raises:
        CatalogFileError: the file has a wrong row.
    """
    source = shipped_rules(_FAMILIES)
    return {each.family: each for each in source.accept(parse_families(source))}


def needs_of(family: str | None) -> Needs | None:
    """Return what the nodes of a family need; None for a family that only a user's catalog knows.

    Args:
        family: as in ``accelerators.yaml``; None for a machine without an accelerator.
    """
    shipped = needs().get(family or NO_ACCELERATOR)
    if shipped is not None:
        return shipped
    plugged = (plug_in.family for plug_in in loaded().plug_ins.values())
    return next((each.needs for each in plugged if each.name == family), None)


@functools.cache
def images() -> tuple[Image, ...]:
    """Return the default images, those for certain accelerators first.

    Raises:
        CatalogFileError: the file has a wrong row.
    """
    source = shipped_rules(_IMAGES)
    return tuple(sorted(source.accept(parse_images(source)), key=lambda each: not each.chips))


def boot_disk_type(machine_type: str) -> str:
    """Return the disk type that a Compute Engine machine of this type can boot from.

    Raises:
        CatalogFileError: the file has a wrong row.
    """
    types = _boot_disks()
    parts = machine_type.split("-")
    for length in (2, 1):  # a3-ultragpu before a3
        if found := types.get("-".join(parts[:length])):
            return found
    return types[ANY_SERIES]


@functools.cache
def _boot_disks() -> dict[str, str]:
    source = shipped_rules(_DISKS)
    return {each.series: each.disk_type for each in source.accept(parse_boot_disks(source))}
