"""The text of `accel-scaling catalog` about what a node of a machine type needs: its image, driver, and container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling.cluster.docker import run_options
from accel_scaling.cluster.node_needs import ImageKind, default_image, needs_of

if TYPE_CHECKING:
    from typing import Any

    from accel_scaling.catalog.model import MachineType

_IMAGE_TEXTS = {
    ImageKind.SSM: "the newest of {}",
    ImageKind.FAMILY: "the newest of {}",
    ImageKind.RUNTIME: "runtimeVersion {}",
    ImageKind.NONE: "none: name your own",
}
_FEW_OPTIONS = 4  # container options that `show` prints in full: a machine may need one for each of 16 devices


def describe_needs(machine: MachineType, *, of_slice: bool = False) -> dict[str, Any]:
    """Return the key ``dependencies`` of ``--json``; null or empty where it is not known or not needed.

    Args:
        machine: the machine type, or one host of a slice.
        of_slice: it is a host of a slice, which Cloud TPU creates.
    """
    needs, image = needs_of(machine.chip.family if machine.chip else None), default_image(machine, of_slice=of_slice)
    return {
        "driver": needs.driver if needs else None,
        "docker_options": list(run_options(machine.chip.family, machine.count)) if machine.chip else [],
        "image_kind": image.kind.value if image else None,
        "default_image": image.name or None if image else None,
        "image_note": image.note or None if image else None,
    }


def shown_needs(machine: MachineType, *, of_slice: bool = False) -> list[tuple[str, str]]:
    """Return the node's needs as pairs for people; arguments as ``describe_needs()``."""
    needs = describe_needs(machine, of_slice=of_slice)
    options = needs["docker_options"]
    if machine.chip and not options:
        shown = "not known"
    else:
        shown = " ".join(options if len(options) <= _FEW_OPTIONS else [options[0], "...", options[-1]]) or "none needed"
    image_kind = ImageKind(needs["image_kind"]) if needs["image_kind"] else ImageKind.NONE
    pairs = [
        ("image must have", needs["driver"] or "not known"),
        ("docker options", shown),
        ("default image", _IMAGE_TEXTS[image_kind].format(needs["default_image"])),
    ]
    if needs["image_note"]:
        must = "it must hold " if image_kind is ImageKind.NONE else ""
        pairs.append(("note", must + needs["image_note"]))
    return pairs
