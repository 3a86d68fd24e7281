"""The rows about drivers, container options and images, as the catalog folder has them."""

from __future__ import annotations

from accel_scaling.catalog.node_images import (
    ANY_SERIES,
    NO_ACCELERATOR,
    Image,
    ImageKind,
    Needs,
    boot_disks,
    images,
)
from accel_scaling.catalog.node_images import families as needs
from accel_scaling.families.plugins import loaded

__all__ = ["NO_ACCELERATOR", "Image", "ImageKind", "Needs", "boot_disk_type", "images", "needs", "needs_of"]


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


def boot_disk_type(cloud: str, machine_type: str) -> str:
    """Return the disk type that a Compute Engine machine of this type can boot from.

    Raises:
        CatalogFileError: the file has a wrong row.
    """
    types = boot_disks(cloud)
    parts = machine_type.split("-")
    for length in (2, 1):  # a3-ultragpu before a3
        if found := types.get("-".join(parts[:length])):
            return found
    return types[ANY_SERIES]
