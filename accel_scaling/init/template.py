"""Templates of cluster files: a cloud's YAML files with places to fill, and what only its files have.

A line that is nothing but ``$name`` takes a block of lines, at its own indentation, or vanishes where the block is
empty. Everywhere else ``$name`` takes a value: a scalar made by `scalar()`, or words of a comment made by `words()`.
"""

from __future__ import annotations

import functools
import re
import textwrap
from string import Template
from types import MappingProxyType
from typing import TYPE_CHECKING

import yaml

from accel_scaling.catalog.capacity_types import sold_as
from accel_scaling.catalog.columns import EMPTY, Column, ListOf, Table, Text
from accel_scaling.catalog.files import read
from accel_scaling.catalog.model import SoldAs
from accel_scaling.catalog.table import read_table
from accel_scaling.cluster.capacity import CapacityEntry, CapacityType
from accel_scaling.cluster.capacity_text import sold_as_of
from accel_scaling.errors import InitError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from accel_scaling.catalog.load import Catalog
    from accel_scaling.catalog.table import RowValues
    from accel_scaling.clouds import Cloud
    from accel_scaling.init.model import AcceleratorRequest, Choice, FileRequest, Place

WIDTH = 110  # characters of a line of comment

_BLOCK = re.compile(r"^( *)\$(\w+)$")

_SOURCE = Column("source", Text(), "who says so")
USUAL_REGIONS = Table(
    "usual_regions.csv",
    "where machines with an accelerator usually are",
    (
        Column("accelerator", Text(), "a key of accelerators.yaml; empty for any other", EMPTY),
        Column("region", Text(), "the cloud's name"),
        Column("zones", ListOf(Text()), "in the order to try them; empty for all of the region's", EMPTY),
        Column("head", Text(), "the machine type of the head there"),
        _SOURCE,
    ),
    key=("accelerator",),
)
NOT_OFFERED = Table(
    "not_offered.csv",
    "what a cloud offers no more",
    (
        Column("name", Text(), "how the machine types' names begin, or an attached accelerator's name"),
        Column("because", Text(), "as a clause"),
        _SOURCE,
    ),
    key=("name",),
)


@functools.cache
def rows_of(table: Table, folder: Path) -> tuple[RowValues, ...]:
    """Return the rows of one of the two tables of a cloud's folder.

    Raises:
        CatalogFileError: the file has a wrong row.
    """
    source = read(folder / table.files)
    return tuple(source.accept(read_table(source, table, lambda row, _: row)))


class ClusterTemplate:
    """The part ``init_template`` of a cloud's folder has one as ``TEMPLATE``; a cloud overrides what it does otherwise.

    Its folder holds YAML files, ``cluster.yaml`` among them, and two tables: ``usual_regions.csv`` (where accelerators
    usually are; the row without an accelerator is for all others) and ``not_offered.csv`` (what the catalog knows and
    the cloud sells no more).
    """

    # The option that chooses where the cluster runs.
    place_option = "--region"
    # Where the user named no region, another one that has every machine is taken.
    moves_to_near_region = True
    # Ends the comment of `ray up`: how one logs in.
    login = ""
    # The beginning of the names of machine types without an accelerator, as the heads of the examples have them.
    plain_family = ""
    # What the file has in place of an image of the user's own.
    image_placeholder = "an-image-of-your-own"
    # What the file has in place of the name of a block or reservation, and what that is.
    reservation = ("a-reservation-of-your-own", "the name of your reservation")
    # Sentences about a capacity type, for the comment at the orders.
    capacity_notes: Mapping[CapacityType, tuple[str, ...]] = MappingProxyType({})

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        """Read the files of a folder.

        Args:
            cloud: whose files are written.
            folder: with the cloud's YAML files and tables.
        """
        self.cloud = cloud
        self._folder = folder

    def part(self, name: str, /, **values: str) -> str:
        """Return a YAML file of the folder with its places filled, without a final newline.

        Args:
            name: of the file, without ``.yaml``.
            values: scalars, words and blocks by place.
        """
        lines: list[str] = []
        for line in _text(self._folder / f"{name}.yaml").splitlines():
            block = _BLOCK.match(line)
            if block is None:
                lines.append(Template(line).substitute(values))
            elif values[block[2]]:
                lines += textwrap.indent(values[block[2]], block[1]).splitlines()
        return "\n".join(lines)

    def usual_regions(self) -> Sequence[RowValues]:
        """Return the rows of ``usual_regions.csv``: accelerator, region, zones, head, source."""
        return rows_of(USUAL_REGIONS, self._folder)

    def not_offered(self) -> Sequence[RowValues]:
        """Return the rows of ``not_offered.csv``: name (or its beginning), because, source."""
        return rows_of(NOT_OFFERED, self._folder)

    def check(self, request: FileRequest) -> None:
        """Refuse options that the cloud does not know.

        Raises:
            InitError: names the option.
        """
        if request.project is not None:
            raise InitError(f"--project: {self.cloud.title} has no projects; your credentials say which account it is")

    def region_of(self, request: FileRequest) -> str:
        """Return the region that is asked for, by its name or by zones.

        Raises:
            InitError: region and zones are none, or contradict each other.
        """
        raise NotImplementedError

    def place_values(self, request: FileRequest, place: Place, note: str) -> dict[str, str]:
        """Return what the places of ``cluster.yaml`` for region, zones and account are filled with.

        Args:
            request: what is asked for.
            place: where the cluster runs.
            note: why there.
        """
        raise NotImplementedError

    def worker(self, choice: Choice, request: FileRequest, values: dict[str, str]) -> str:
        """Return the text of a node type of workers.

        Args:
            choice: its machine.
            request: what is asked for.
            values: what every cloud's node types have: name, comments, max_workers, machine, has, image.
        """
        raise NotImplementedError

    def order(self, choice: Choice, request: FileRequest) -> tuple[CapacityEntry, ...]:
        """Return how a machine is bought: as asked, of what the cloud sells, or else in its first way of selling it."""
        asked = request.order or (CapacityEntry(CapacityType.ON_DEMAND),)
        sold = sold_as(self.cloud.name, choice.machine.name) if choice.slice is None else None
        if sold is None:
            return asked
        kept = tuple(entry for entry in asked if sold_as_of(entry.type) in sold.sold_as)
        return kept or (self._first_sold(sold.sold_as[0]),)

    def _first_sold(self, way: SoldAs) -> CapacityEntry:
        if way is SoldAs.RESERVED:
            return CapacityEntry(CapacityType.BLOCK, self.reservation[0])
        return CapacityEntry(CapacityType(way.value))

    def attached(self, request: AcceleratorRequest, names: Collection[str], catalog: Catalog) -> list[Choice]:
        """Return machines to which one of these accelerators is attached; none where the cloud attaches none."""
        del request, names, catalog
        return []


def one_region(request: FileRequest, regions: Sequence[str]) -> str:
    """Return the region that the options name.

    Args:
        request: with ``--region``, if it was given.
        regions: of the zones that were asked for.

    Raises:
        InitError: they are several.
    """
    different = dict.fromkeys([*([request.region] if request.region else []), *regions])
    if len(different) > 1:
        raise InitError(f"--region and --zones name {' and '.join(different)}; a cluster runs in one region")
    return regions[0]


def scalar(value: str | int) -> str:
    """Return a value as YAML writes it in one line: quoted where it would be read as anything else."""
    plain = str(value).isprintable()  # else YAML's line breaks (NEL, LS, PS) would be written as they are
    # As a list of one: safe_dump ends a bare scalar with a line `...`, and folds long ones unless the width is endless.
    written = yaml.safe_dump([value], default_flow_style=True, width=float("inf"), allow_unicode=plain)
    return written.removeprefix("[").rstrip("\n").removesuffix("]")


def words(text: str) -> str:
    """Return a text as it may be written in a comment: one line, of characters that YAML takes."""
    return "".join(character if character.isprintable() else " " for character in text)


def comment(*sentences: str) -> str:
    """Return sentences as lines of comment, each from a new line on."""
    lines: list[str] = []
    for sentence in sentences:
        # People copy machine types and arguments out of comments, and these have hyphens: none is broken in two.
        lines += textwrap.wrap(words(sentence), WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"# {line}" for line in lines)


@functools.cache
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
