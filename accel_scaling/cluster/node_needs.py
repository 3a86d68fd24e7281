"""The needs of a node type's machines: driver, container options, disk type, and an image where it names none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling.catalog.node_images import (
    NO_ACCELERATOR,
    BootDisk,
    Image,
    ImageKind,
    Needs,
    boot_disks,
    images,
    system_in,
)
from accel_scaling.catalog.node_images import families as needs
from accel_scaling.families.plugins import loaded

if TYPE_CHECKING:
    from collections.abc import Iterable

    from accel_scaling.catalog.model import MachineType

__all__ = [
    "NO_ACCELERATOR",
    "BootDisk",
    "Image",
    "ImageKind",
    "Needs",
    "boot_disk",
    "images",
    "needs",
    "needs_of",
    "system_in",
]

RESOLVE_SSM = "resolve:ssm:"  # EC2's own form of an ImageId that is a Systems Manager parameter


def needs_of(family: str | None) -> Needs | None:
    """Return what the nodes of a family need; None for a family that only a user's catalog knows.

    Args:
        family: as in ``accelerators.yaml``; None for a machine without an accelerator.
    """
    shipped = needs().get(family or NO_ACCELERATOR)
    if shipped is not None:
        return shipped
    families = (plug_in.family for plug_in in loaded().plug_ins.values())
    return next((plugged.needs for plugged in families if plugged.name == family), None)


def boot_disk(cloud: str, machine_type: str) -> BootDisk:
    """Return the disk that a Compute Engine machine of this type can boot from.

    Raises:
        CatalogFileError: the file has a wrong row.
    """
    return next(disk for disk in boot_disks(cloud) if disk.fits(machine_type))


def default_image(machine: MachineType, *, of_slice: bool = False, system: str = "") -> Image | None:
    """Return the image for a machine type.

    Args:
        machine: a row of the catalog.
        of_slice: the machine is a host of a slice that Cloud TPU creates: the image is a runtime version.
        system: the Ubuntu that the cluster's images have in common, where there is one for this machine.

    Returns:
        Of kind NONE where no cloud image has the driver; None where nothing is known about such a machine.
    """
    every = default_images(machine, of_slice=of_slice)
    return next((image for image in every if image.system == system), every[0] if every else None)


def default_images(machine: MachineType, *, of_slice: bool = False) -> list[Image]:
    """Return the images for a machine type, one for each system, the usual one first; arguments as default_image()."""
    family, chip = (machine.chip.family, machine.chip.name) if machine.chip else (NO_ACCELERATOR, "")
    fitting = [
        image
        for image in images()
        if (image.family, image.cloud, image.arch) == (family, machine.cloud, machine.arch)
        and (not image.chips or chip in image.chips)
        and (image.kind is ImageKind.RUNTIME) == of_slice
    ]
    # Images for certain chips come first in the list: the first that fits is the most exact.
    return [image for image in fitting if image.chips == fitting[0].chips]


def common_system(machines: Iterable[MachineType]) -> str:
    """Return the Ubuntu of which each of some machines has a default image, the usual one if it may be chosen.

    Ray needs one Python on all nodes, and each Ubuntu has its own. Empty where they have none in common.
    """
    systems = [[image.system for image in default_images(machine) if image.system] for machine in machines]
    shared = [system for system in systems[0] if all(system in each for each in systems)] if systems else []
    return shared[0] if shared else ""


def no_image(location: str, machine: MachineType, key: str) -> str:
    """Return the sentence for a node type that must name its image itself.

    Args:
        location: the node type's place in the cluster file.
        machine: its machine type.
        key: what the image is named with, e.g. ``ImageId``.
    """
    image = default_image(machine)
    if image and image.name:
        # Of a config that was not filled before, as Ray's API allows.
        return (
            f"{location} ({machine.name}): node_config.{key} is missing; name an image there, or let the fill "
            f"write the default one, {image.name}"
        )
    chip = machine.chip.name if machine.chip else f"{machine.arch} machines"
    must = image.note if image and image.note else "Python and ssh"
    if machine.chip and not (image and image.note):
        family_needs = needs_of(machine.chip.family)
        must = f"{family_needs.driver if family_needs else 'the driver of the accelerator'}, Python and ssh"
    return (
        f"{location} ({machine.name}): there is no default image for {chip}; write node_config.{key} and name one of "
        f"your own, which must contain {must}"
    )
