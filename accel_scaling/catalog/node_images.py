"""What a node needs besides its machine, as data: drivers and container options, machine images, boot disks."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from accel_scaling.catalog.suggest import hint
from accel_scaling.catalog.table import NODE_FILES, Cells, RuleError, parse_rules, shipped_rules

if TYPE_CHECKING:
    from collections.abc import Collection

    from accel_scaling.catalog.files import Problem, Source

NO_ACCELERATOR = "none"  # the family of a machine without one
ANY_SERIES = "*"

FAMILY_COLUMNS = ("family", "driver", "run_options", "each_device", "podman_options", "claims", "source")
IMAGE_COLUMNS = ("family", "chips", "cloud", "arch", "kind", "image", "disk_gb", "metadata", "note", "source")
DISK_COLUMNS = ("series", "disk_type", "source")

# What reaches a shell on the node, unquoted by Ray: no space, no quote, no sign that a shell reads.
_OPTION = re.compile(r"--?[a-z][a-z-]*(?:=[A-Za-z0-9_./:,=-]*(?:\{n\})?)?")
_DEVICE_NUMBER = "{n}"
_METADATA = re.compile(r"[a-z][a-z0-9-]*=\S+")


class ImageKind(Enum):
    """How an image is named."""

    SSM = "ssm"  # the name of a public parameter of AWS Systems Manager, whose value is the AMI's id
    FAMILY = "family"  # a Compute Engine image family, whose newest image is taken at each creation
    RUNTIME = "runtime"  # the runtimeVersion of a TPU slice
    NONE = "none"  # no cloud image has the driver: the user must name one


_LOOKS_LIKE = {
    ImageKind.SSM: ("aws", re.compile(r"/aws/service/[A-Za-z0-9_./-]+"), "a parameter's name, as /aws/service/..."),
    ImageKind.FAMILY: (
        "gcp",
        re.compile(r"projects/[a-z0-9-]+/global/images/family/[a-z0-9-]+"),
        "projects/PROJECT/global/images/family/FAMILY",
    ),
    ImageKind.RUNTIME: ("gcp", re.compile(r"[a-z0-9-]+"), "a runtime version, as tpu-ubuntu2204-base"),
}


@dataclass(frozen=True)
class Needs:
    """What the nodes of a family need; a row of ``node_families.csv``.

    Attributes:
        family: as in ``accelerators.yaml``; ``none`` for machines without an accelerator.
        driver: what the machine image must hold, as the end of a sentence.
        run_options: options of ``docker run`` that show the devices to a container.
        each_device: one more option for each device, ``{n}`` for its number from 0; empty where there is none.
        podman_options: in place of ``run_options`` under podman; empty where they are the same.
        claims: words in a user's own options that mean that they decide about this family's devices.
    """

    family: str
    driver: str
    run_options: tuple[str, ...]
    each_device: str
    podman_options: tuple[str, ...]
    claims: tuple[str, ...]
    source: str

    @property
    def known(self) -> bool:
        """Whether container options are known."""
        return bool(self.run_options or self.each_device)


@dataclass(frozen=True)
class Image:
    """The image of a node type that names none; a row of ``node_images.csv``.

    Attributes:
        family: as in ``Needs``.
        chips: the accelerators that it is for; empty for all others of the family.
        cloud: ``aws`` or ``gcp``.
        arch: ``x86_64`` or ``arm64``.
        kind: how ``name`` names it.
        name: empty where there is none.
        disk_gb: size of the boot disk; 0 for the image's own.
        metadata: keys and values that the machine must be given for it.
        note: where there is none: what the user's own image must hold. Else a remark for the user.
    """

    family: str
    chips: tuple[str, ...]
    cloud: str
    arch: str
    kind: ImageKind
    name: str
    disk_gb: int
    metadata: tuple[tuple[str, str], ...]
    note: str
    source: str


@dataclass(frozen=True)
class BootDisk:
    """The disk type of a Compute Engine machine series that a node type names no disk for."""

    series: str
    disk_type: str
    source: str


def parse_families(source: Source) -> tuple[list[Needs], list[Problem]]:
    """Read the families, and everything that is wrong with their file."""
    return parse_rules(source, FAMILY_COLUMNS, _needs, lambda each: each.family)


@functools.cache
def shipped_families() -> frozenset[str]:
    """Return the names of the families that ship.

    Raises:
        CatalogFileError: the file has a wrong row.
    """
    source = shipped_rules(NODE_FILES[0])
    return frozenset(each.family for each in source.accept(parse_families(source)))


def is_option(text: str) -> bool:
    """Return whether a text is an option of `docker run` that a shell leaves as it is."""
    return bool(_OPTION.fullmatch(text))


def parse_images(
    source: Source, families: Collection[str] | None = None, chips: Collection[str] | None = None
) -> tuple[list[Image], list[Problem]]:
    """Read the images, and everything that is wrong with their file; the names in it too, where they are given."""
    return parse_rules(
        source,
        IMAGE_COLUMNS,
        lambda cells: _image(cells, families, chips),
        lambda each: (each.family, each.chips, each.cloud, each.arch, each.kind is ImageKind.RUNTIME),
    )


def parse_boot_disks(source: Source) -> tuple[list[BootDisk], list[Problem]]:
    """Read the boot disks, and everything that is wrong with their file."""
    return parse_rules(
        source,
        DISK_COLUMNS,
        lambda cells: BootDisk(cells.text("series"), cells.text("disk_type"), cells.text("source")),
        lambda each: each.series,
    )


def _needs(cells: Cells) -> Needs:
    each_device = cells.by_column["each_device"]
    if each_device and _DEVICE_NUMBER not in each_device:
        raise RuleError(f"each_device is {each_device}; expected an option with {_DEVICE_NUMBER}")
    for column in ("run_options", "each_device", "podman_options"):
        for option in cells.words(column):
            if not is_option(option):
                raise RuleError(f"{column} has {option}; expected options without spaces, as --device=/dev/kfd")
    return Needs(
        family=cells.text("family"),
        driver=cells.text("driver"),
        run_options=cells.words("run_options"),
        each_device=each_device,
        podman_options=cells.words("podman_options"),
        claims=cells.words("claims"),
        source=cells.text("source"),
    )


def _image(cells: Cells, families: Collection[str] | None, chips: Collection[str] | None) -> Image:
    kind = ImageKind(cells.one_of("kind", (each.value for each in ImageKind)))
    cloud, name = cells.one_of("cloud", ("aws", "gcp")), cells.by_column["image"]
    if kind is ImageKind.NONE:
        if name:
            raise RuleError(f"kind is none and image is {name}; empty one of them")
        cells.text("note")
    else:
        of_cloud, pattern, expected = _LOOKS_LIKE[kind]
        if cloud != of_cloud:
            raise RuleError(f"kind is {kind.value}, which {cloud} does not have")
        if not pattern.fullmatch(name):
            raise RuleError(f"image is {name or 'empty'}; expected {expected}")
    for chip in cells.words("chips"):
        if chips is not None and chip not in chips:
            raise RuleError(f"chips has {chip!r}, which is not known{hint(chip, chips)}")
    metadata = cells.words("metadata")
    for pair in metadata:
        if not _METADATA.fullmatch(pair):
            raise RuleError(f"metadata has {pair}; expected KEY=VALUE")
    return Image(
        family=cells.known("family", families),
        chips=cells.words("chips"),
        cloud=cloud,
        arch=cells.one_of("arch", ("x86_64", "arm64")),
        kind=kind,
        name=name,
        disk_gb=cells.number("disk_gb", empty=0),
        metadata=tuple((key, value) for key, _, value in (pair.partition("=") for pair in metadata)),
        note=cells.by_column["note"],
        source=cells.text("source"),
    )
