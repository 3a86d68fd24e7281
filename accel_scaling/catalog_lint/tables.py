"""The form of any catalog file: its cells, with the names that they may refer to, and the order of its rows."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from accel_scaling.catalog import schema
from accel_scaling.catalog.custom_machine_types import parse_custom_rules
from accel_scaling.catalog.files import REFRESH_FOLDER, Problem, Source, cloud_of_file, shipped, table_of
from accel_scaling.catalog.guest_accelerators import api_names, parse_attach_rules
from accel_scaling.catalog.kubernetes import parse_resources, parse_selectors
from accel_scaling.catalog.launch_errors import parse_launch_errors
from accel_scaling.catalog.node_images import parse_boot_disks, parse_families, parse_images
from accel_scaling.catalog.offerings import parse_places
from accel_scaling.catalog.table import cells_of
from accel_scaling.catalog.tpu_generations import parse_generations, parse_hosts
from accel_scaling.clouds import SHIPPED_FOLDER, known_clouds

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from accel_scaling.catalog.columns import Table
    from accel_scaling.catalog.model import Chip, MachineType
    from accel_scaling.catalog.node_images import Needs
    from accel_scaling.catalog.table import Known

    Parsed = tuple[Sequence[object], list[Problem]]

# Every table but those of machine types and of accelerators, which more is asked of.
_PARSERS: Mapping[Table, Callable[[Source, Known], Parsed]] = {
    schema.OFFERINGS: lambda source, _: parse_places(source),
    schema.LAUNCH_ERRORS: lambda source, _: parse_launch_errors(source),
    schema.GUEST_ACCELERATORS: parse_attach_rules,
    schema.CUSTOM_MACHINE_TYPES: parse_custom_rules,
    schema.TPU_GENERATIONS: parse_generations,
    schema.TPU_HOSTS: parse_hosts,
    schema.BOOT_DISKS: lambda source, _: parse_boot_disks(source),
    schema.NODE_FAMILIES: lambda source, _: parse_families(source),
    schema.NODE_IMAGES: parse_images,
    schema.KUBERAY_RESOURCES: parse_resources,
    schema.KUBERAY_SELECTORS: parse_selectors,
}


def parse(
    source: Source,
    sources: Sequence[Source],
    chips: Mapping[str, Chip],
    machine_types: Mapping[tuple[str, str], MachineType],
) -> Parsed:
    """Read a file that has neither machine types nor accelerators, and everything that is wrong with it.

    Args:
        source: the file.
        sources: the files that are checked with it: names may be theirs.
        chips: every accelerator that a row may name.
        machine_types: every machine type that a row may name.
    """
    cloud = cloud_of_file(source.path.name)
    names: dict[str, Collection[str]] = {
        schema.ACCELERATOR: chips,
        schema.API_NAME: api_names(chips.values(), cloud),
        schema.OF_CLOUD: known_clouds(),
        schema.FAMILY: {needs.family for needs in needs_of(sources)},
        schema.MACHINE_TYPE: {name for of, name in machine_types if of == cloud},
    }
    table = table_of(source.path)
    if table is schema.TPU_HOSTS:
        generations = beside(sources, schema.TPU_GENERATIONS, cloud)
        rows = parse_generations(generations)[0] if generations else ()
        names[schema.GENERATION] = {generation.name for generation in rows}
    return _PARSERS[table](source, names)


def has_rows(source: Source) -> bool:
    """Return whether a file holds machine types."""
    return table_of(source.path) in {schema.MACHINE_TYPES, schema.CORRECTIONS}


def needs_of(sources: Sequence[Source]) -> list[Needs]:
    """Return the families of the file that is checked, else of the one that ships."""
    source = beside(sources, schema.NODE_FAMILIES)
    return parse_families(source)[0] if source else []


def beside(sources: Sequence[Source], table: Table, cloud: str = "") -> Source | None:
    """Return the file of a table that is among those that are checked, else the one that ships."""
    name = table.file_of(cloud)
    return next((source for source in sources if source.path.name == name), None) or shipped(table, cloud)


def unsorted(source: Source) -> Iterator[Problem]:
    """Yield the rows of a shipped or refreshed file that are out of order: sorted, a change is one line."""
    table = table_of(source.path)
    clouds = known_clouds().values()
    folder = source.path.resolve().parent
    ours = folder.name in {SHIPPED_FOLDER.name, REFRESH_FOLDER} or folder in {cloud.data.resolve() for cloud in clouds}
    if not table.order or not ours or source.path.name not in {table.file_of(cloud.name) for cloud in clouds}:
        return
    keys = ((line, tuple(row.get(column, "") for column in table.order)) for line, row in cells_of(source))
    for (_, before), (line, key) in itertools.pairwise(keys):
        if key < before:
            text = f"{' '.join(key)} comes after {' '.join(before)}; expected rows sorted by {', '.join(table.order)}"
            yield Problem(line, text, table.order[0])
