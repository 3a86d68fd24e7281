"""Needs of nodes besides their machine, as data: drivers and container options, machine images, boot disks."""

from __future__ import annotations

import fnmatch
import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from accel_scaling.catalog.columns import ANY_SERIES, NO_ACCELERATOR
from accel_scaling.catalog.files import shipped
from accel_scaling.catalog.model import ImageKind
from accel_scaling.catalog.node_schema import BOOT_DISKS, NODE_FAMILIES, NODE_IMAGES
from accel_scaling.catalog.table import CellError, Known, RowValues, read_table, value_of
from accel_scaling.clouds import known_clouds

if TYPE_CHECKING:
    from accel_scaling.catalog.files import Problem, Source

_UBUNTU = re.compile(r"ubuntu[a-z-]*-?([0-9]{2})\.?04")  # ubuntu-22.04, ubuntu-accel-2404-amd64, tpu-ubuntu2204-base

__all__ = ["ANY_SERIES", "NO_ACCELERATOR", "BootDisk", "Image", "ImageKind", "Needs"]


@dataclass(frozen=True)
class Needs:
    """Needs of the nodes of a family; a row of ``node_families.csv``.

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
        """True where container options are known."""
        return bool(self.run_options or self.each_device)


@dataclass(frozen=True)
class Image:
    """The image of a node type that names none; a row of ``node_images.csv``.

    Attributes:
        family: as in ``Needs``.
        chips: the accelerators that it is for; empty for all others of the family.
        cloud: whose image it is.
        arch: ``x86_64`` or ``arm64``.
        kind: how ``name`` names it.
        name: empty where there is none.
        disk_gb: size of the boot disk; 0 for the image's own.
        has_docker: it brings Docker.
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
    has_docker: bool
    metadata: tuple[tuple[str, str], ...]
    note: str
    source: str

    @property
    def system(self) -> str:
        """The Ubuntu that is in it, ``22.04``, as its name says; empty for any other system."""
        return system_in(self.name)


@dataclass(frozen=True)
class BootDisk:
    """The disk type of a Compute Engine machine series that a node type names no disk for.

    Attributes:
        series: the first words of a machine type's name, or a pattern of the whole name (``c3-*-metal``).
        disk_type: the API's name.
        source: who says so.
    """

    series: str
    disk_type: str
    source: str

    def fits(self, machine_type: str) -> bool:
        """Return whether the row is about a machine type; bare metal of a series may take other disks than its VMs."""
        if ANY_SERIES in self.series:
            return fnmatch.fnmatchcase(machine_type, self.series)
        return f"{machine_type}-".startswith(f"{self.series}-")

    @property
    def is_guess(self) -> bool:
        """True where no row has the series of the machine type."""
        return self.series == ANY_SERIES


def parse_families(source: Source) -> tuple[list[Needs], list[Problem]]:
    """Read the families, and everything that is wrong with their file."""
    return read_table(source, NODE_FAMILIES, _needs)


@functools.cache
def families() -> dict[str, Needs]:
    """Return what the nodes of each family that ships need.

    Raises:
        CatalogFileError: the file has a wrong row.
    """
    source = shipped(NODE_FAMILIES)
    return {needs.family: needs for needs in source.accept(parse_families(source))} if source else {}


def shipped_families() -> frozenset[str]:
    """Return the names of the families that ship.

    Raises:
        CatalogFileError: the file has a wrong row.
    """
    return frozenset(families())


def is_option(text: str) -> bool:
    """Return whether a text is an option of `docker run` that a shell leaves as it is."""
    try:
        # One word: a space in it would make a list of two options.
        return bool(value_of(NODE_FAMILIES.column("run_options"), text, {}) == (text,))
    except CellError:
        return False


def parse_images(source: Source, known: Known | None = None) -> tuple[list[Image], list[Problem]]:
    """Read the images, and everything that is wrong with their file; the names in it too, where they are given."""
    return read_table(
        source,
        NODE_IMAGES,
        _image,
        known,
        # A TPU slice takes a runtime version, and its hosts as machines may have an image beside.
        # Of several systems, each is there once; the first is the usual one.
        key=lambda row: (
            *(row["family"], row["chips"], row["cloud"], row["arch"], row["kind"] is ImageKind.RUNTIME),
            system_in(row["image"]),
        ),
    )


def system_in(text: str) -> str:
    """Return the Ubuntu that the name of an image says, ``22.04``; empty where it says none."""
    found = _UBUNTU.search(text)
    return f"{found[1]}.04" if found else ""


@functools.cache
def images() -> tuple[Image, ...]:
    """Return the default images, those for certain accelerators first.

    Raises:
        CatalogFileError: the file has a wrong row.
    """
    source = shipped(NODE_IMAGES)
    rows = source.accept(parse_images(source)) if source else ()
    # The first image that fits is taken: one for certain accelerators comes before that of all others.
    return tuple(sorted(rows, key=lambda image: not image.chips))


def parse_boot_disks(source: Source) -> tuple[list[BootDisk], list[Problem]]:
    """Read the boot disks, and everything that is wrong with their file."""
    return read_table(source, BOOT_DISKS, lambda row, _: BootDisk(row["series"], row["disk_type"], row["source"]))


@functools.cache
def boot_disks(cloud: str) -> tuple[BootDisk, ...]:
    """Return the disks of a cloud's machine series, the most exact first; none where the cloud has no such table.

    Raises:
        CatalogFileError: the file has a wrong row.
    """
    source = shipped(BOOT_DISKS, cloud)
    rows = source.accept(parse_boot_disks(source)) if source else ()
    # a3-ultragpu before a3, c3-*-metal before c3, and * last.
    return tuple(sorted(rows, key=lambda disk: -len(disk.series)))


def _needs(row: RowValues, _: int) -> Needs:
    return Needs(
        family=row["family"],
        driver=row["driver"],
        run_options=row["run_options"],
        each_device=row["each_device"],
        podman_options=row["podman_options"],
        claims=row["claims"],
        source=row["source"],
    )


def _image(row: RowValues, _: int) -> Image:
    kind, name, cloud = row["kind"], row["image"], row["cloud"]
    if kind is ImageKind.NONE:
        if name:
            raise CellError("image", f"kind is none and image is {name}; empty one of them")
        if not row["note"]:
            raise CellError("note", "note is empty; expected what an image of the user's own must hold")
    elif cloud in known_clouds():
        form = next((form for form in known_clouds()[cloud].images if form.kind == kind.value), None)
        if form is None:
            raise CellError("kind", f"kind is {kind.value}, which {cloud} does not have")
        if not form.form.fullmatch(name):
            raise CellError("image", f"image is {name or 'empty'}; expected {form.expected}")
    return Image(
        family=row["family"],
        chips=row["chips"],
        cloud=cloud,
        arch=row["arch"],
        kind=kind,
        name=name,
        disk_gb=row["disk_gb"],
        has_docker=row["docker"],
        metadata=tuple((key, value) for key, _, value in (pair.partition("=") for pair in row["metadata"])),
        note=row["note"],
        source=row["source"],
    )
