"""What ``accel-scaling catalog show`` says of the node itself: driver, container options, default image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling.cluster.docker import run_options
from accel_scaling.cluster.node_needs import ImageKind, default_image, needs_of

if TYPE_CHECKING:
    from typing import Any

    from accel_scaling.catalog.model import MachineType

_IMAGE_IS = {
    ImageKind.SSM: "the newest of {}",
    ImageKind.FAMILY: "the newest of {}",
    ImageKind.RUNTIME: "runtimeVersion {}",
    ImageKind.NONE: "none: name your own",
}

_FEW = 4  # options that are shown one by one


def describe_needs(machine: MachineType, *, of_slice: bool = False) -> dict[str, Any]:
    """Return the key ``dependencies`` of ``--json``; null or empty stands for what is not known or not needed.

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
    """Return the same for a person, as pairs; arguments as ``describe_needs()``."""
    told = describe_needs(machine, of_slice=of_slice)
    options = told["docker_options"]
    if machine.chip and not options:
        shown = "not known"
    else:
        shown = " ".join(options if len(options) <= _FEW else [options[0], "...", options[-1]]) or "none needed"
    kind = ImageKind(told["image_kind"]) if told["image_kind"] else ImageKind.NONE
    pairs = [
        ("image must have", told["driver"] or "not known"),
        ("docker options", shown),
        ("default image", _IMAGE_IS[kind].format(told["default_image"])),
    ]
    if told["image_note"]:
        must = "it must hold " if kind is ImageKind.NONE else ""
        pairs.append(("note", must + told["image_note"]))
    return pairs
