"""Rules over the other tables: the form of a file, the order of its rows, and the arithmetic of TPU slices.

The arithmetic is what must hold between a TPU generation, its hosts, their machine types and its chips.
"""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING, TypeVar

from accel_scaling.catalog import columns, node_schema, schema
from accel_scaling.catalog.bandwidth_floors import parse_bandwidth_floors
from accel_scaling.catalog.capacity_types import parse_capacity_types
from accel_scaling.catalog.custom_machine_types import parse_custom_rules
from accel_scaling.catalog.driver_events import parse_driver_events
from accel_scaling.catalog.files import REFRESH_FOLDER, Problem, Source, cloud_of_file, shipped, table_of
from accel_scaling.catalog.guest_accelerators import api_names, parse_attach_rules
from accel_scaling.catalog.kubernetes import parse_other_resources, parse_resources, parse_selectors
from accel_scaling.catalog.launch_errors import is_code_of, parse_launch_errors
from accel_scaling.catalog.networks import parse_networks
from accel_scaling.catalog.node_images import parse_boot_disks, parse_families, parse_images
from accel_scaling.catalog.offerings import parse_places
from accel_scaling.catalog.table import cells_of
from accel_scaling.catalog.tpu_generations import (
    CUBE_EDGE,
    TpuGeneration,
    TpuHost,
    chips_in,
    edges,
    parse_generations,
    parse_hosts,
    tpu_cloud,
)
from accel_scaling.catalog.tpu_slices import topologies
from accel_scaling.catalog.unlisted import parse_dates, parse_unlisted
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
    schema.UNLISTED: lambda source, _: parse_unlisted(source),
    schema.DATES: lambda source, _: parse_dates(source),
    schema.LAUNCH_ERRORS: lambda source, _: parse_launch_errors(source),
    schema.GUEST_ACCELERATORS: parse_attach_rules,
    schema.CUSTOM_MACHINE_TYPES: parse_custom_rules,
    schema.TPU_GENERATIONS: parse_generations,
    schema.TPU_HOSTS: parse_hosts,
    node_schema.BOOT_DISKS: lambda source, _: parse_boot_disks(source),
    node_schema.CAPACITY_TYPES: lambda source, _: parse_capacity_types(source),
    node_schema.NETWORKS: lambda source, _: parse_networks(source),
    node_schema.NODE_FAMILIES: lambda source, _: parse_families(source),
    node_schema.NODE_IMAGES: parse_images,
    node_schema.DRIVER_EVENTS: parse_driver_events,
    node_schema.BANDWIDTH_FLOORS: parse_bandwidth_floors,
    node_schema.KUBERAY_RESOURCES: parse_resources,
    node_schema.KUBERAY_OTHER_RESOURCES: lambda source, _: parse_other_resources(source),
    node_schema.KUBERAY_SELECTORS: parse_selectors,
}

T = TypeVar("T")

_CORES = (1, 2)  # TensorCores of a chip: what the number in an accelerator type can count for each
_CORES_OF = {"v2": 2, "v3": 2, "v4": 2, "v5litepod": 1, "v5p": 2, "v6e": 1, "tpu7x": 2}  # as Ray counts them, too
_EDGES_OF_CUBES = 3


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
        columns.ACCELERATOR: chips,
        columns.API_NAME: api_names(chips.values(), cloud),
        columns.OF_CLOUD: known_clouds(),
        columns.FAMILY: {needs.family for needs in needs_of(sources)},
        columns.MACHINE_TYPE: {name for of, name in machine_types if of == cloud},
    }
    table = table_of(source.path)
    if table is schema.TPU_HOSTS:
        generations = beside(sources, schema.TPU_GENERATIONS, cloud)
        rows = parse_generations(generations)[0] if generations else ()
        names[columns.GENERATION] = {generation.name for generation in rows}
    return _PARSERS[table](source, names)


def has_rows(source: Source) -> bool:
    """Return whether a file holds machine types."""
    return table_of(source.path) in {schema.MACHINE_TYPES, schema.CORRECTIONS}


def needs_of(sources: Sequence[Source]) -> list[Needs]:
    """Return the families of the file that is checked, else of the one that ships."""
    source = beside(sources, node_schema.NODE_FAMILIES)
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
    # A user's own file may have its rows in any order.
    ours = folder.name in {SHIPPED_FOLDER.name, REFRESH_FOLDER} or folder in {cloud.data.resolve() for cloud in clouds}
    if not table.order or not ours or source.path.name not in {table.file_of(cloud.name) for cloud in clouds}:
        return
    keys = ((line, tuple(row.get(column, "") for column in table.order)) for line, row in cells_of(source))
    for (_, before), (line, key) in itertools.pairwise(keys):
        if key < before:
            text = f"{' '.join(key)} comes after {' '.join(before)}; expected rows sorted by {', '.join(table.order)}"
            yield Problem(line, text, table.order[0])


def hidden(source: Source) -> Iterator[Problem]:
    """Yield the rows of launch errors that never count, as an earlier one fits whatever they fit."""
    if table_of(source.path) is not schema.LAUNCH_ERRORS:
        return
    before: list[tuple[int, str, str]] = []
    for line, row in cells_of(source):
        code, part = row.get("code", ""), row.get("message", "").lower()
        for at, earlier, words in before:
            if words in part and is_code_of(earlier, code):
                text = f"is hidden by line {at}, {earlier}, which fits it too; put it before that line"
                yield Problem(line, f"code {code} {text}", "code")
                break
        before.append((line, code, part))


def tpu_mistakes(
    sources: Sequence[Source], chips: Mapping[str, Chip], machine_types: Mapping[tuple[str, str], MachineType]
) -> Iterator[tuple[Source, Problem]]:
    """Yield what does not add up in the files of TPU slices that are checked; what ships stands for the other one."""
    if not any(table_of(source.path) in {schema.TPU_GENERATIONS, schema.TPU_HOSTS} for source in sources):
        return
    rules, hosts = (beside(sources, table, tpu_cloud()) for table in (schema.TPU_GENERATIONS, schema.TPU_HOSTS))
    if rules is None or hosts is None:
        return
    # Mistakes in the form of either file are reported where it is read.
    of_generation: dict[str, list[TpuHost]] = {}
    for host in parse_hosts(hosts)[0]:
        of_generation.setdefault(host.generation, []).append(host)
    for generation in parse_generations(rules)[0]:
        here = of_generation.get(generation.name, [])
        for column, text in _wrong_generation(generation, here, chips):
            yield rules, Problem(_line(rules, generation=generation.name), text, column)
        wrong = [(host, *problem) for host in here for problem in _wrong_host(generation, host, machine_types)]
        for host, column, text in (*wrong, *_wrong_hosts(generation, here)):
            slices = "many" if host.one_of_many else "one"
            at = _line(hosts, generation=host.generation, slice=slices, chips=str(host.chips))
            yield hosts, Problem(at, text, column)


def _wrong_generation(
    generation: TpuGeneration, hosts: Sequence[TpuHost], chips: Mapping[str, Chip]
) -> Iterator[tuple[str, str]]:
    yield from _wrong_number(generation, chips[generation.chip])
    yield from _wrong_layouts(generation)
    yield from _wrong_cubes(generation)
    every = topologies(generation)
    alone = {host.chips for host in hosts if not host.one_of_many}
    # Without such a host, any number of chips adds up: the row that is missing is reported by parse_hosts().
    many = next((host.chips for host in hosts if host.one_of_many), 1)
    for topology in every:
        count = chips_in(topology)
        if count not in alone and count % many:
            text = f"has {topology}, {count} chips, which no host of {generation.name} alone has"
            yield "topologies", f"topologies {text} and hosts of {many} do not add up to"


def _wrong_number(generation: TpuGeneration, chip: Chip) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the number in an accelerator type, and with the chip that it counts."""
    name, counted = generation.name, generation.suffix_per_chip
    known = _CORES_OF.get(name)
    if counted not in ((known,) if known else _CORES):
        yield "suffix_per_chip", f"suffix_per_chip of {name} is {counted}; expected {known or '1 or 2'}"
    if chip.family != "tpu":
        yield "chip", f"chip of {name} is {chip.name}, no TPU; expected a chip of the family tpu"
    elif chip.detected_type not in {None, f"TPU-{generation.ray_name.upper()}"}:
        text = f"is {chip.name}, which Ray detects as {chip.detected_type}; expected TPU-{generation.ray_name.upper()}"
        yield "chip", f"chip of {name} {text}, which Ray makes of its ray_name"


def _wrong_layouts(generation: TpuGeneration) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the topologies by themselves, and with those that stand for a number of chips."""
    name, listed = generation.name, generation.topologies
    for before, topology in itertools.pairwise(listed):
        if chips_in(topology) < chips_in(before):
            yield "topologies", f"topologies has {topology} after {before}; expected the smallest first"
        if len(edges(topology)) != len(edges(before)):
            yield "topologies", f"topologies has {topology} after {before}; expected as many edges in all of {name}"
    for topology in _twice(topologies(generation)):
        yield "topologies", f"topologies has {topology} twice; keep one"
    defaults = generation.default_topologies
    for topology in defaults:
        if topology not in topologies(generation):
            text = f"has {topology}, which is no topology of {name}; expected one of them"
            yield "default_topologies", f"default_topologies {text}"
    for count in _twice([chips_in(topology) for topology in defaults]):
        both = " and ".join(topology for topology in defaults if chips_in(topology) == count)
        yield "default_topologies", f"default_topologies has {both}, each {count} chips; expected one for a number"


def _wrong_cubes(generation: TpuGeneration) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the rule of slices that are made of cubes."""
    most, compact = generation.cubes_to_chips, generation.compact_to_chips
    cube = CUBE_EDGE**3
    if most % cube:
        yield "cubes_to_chips", f"cubes_to_chips is {most}; expected a multiple of {cube}, the chips of a cube"
    if most and any(len(edges(topology)) != _EDGES_OF_CUBES for topology in generation.topologies):
        yield "cubes_to_chips", f"cubes_to_chips is {most}; expected topologies of three edges beside cubes"
    largest = max(map(chips_in, topologies(generation)), default=0)
    if compact > largest:
        yield "compact_to_chips", f"compact_to_chips is {compact}; expected at most {largest}, the largest slice"


def _twice(values: Sequence[T]) -> list[T]:
    return [value for value, times in Counter(values).items() if times > 1]


def _wrong_hosts(generation: TpuGeneration, hosts: Sequence[TpuHost]) -> Iterator[tuple[TpuHost, str, str]]:
    """Yield the hosts that no slice is made of."""
    counts = {chips_in(topology) for topology in topologies(generation)}
    alone = {host.chips for host in hosts if not host.one_of_many}
    for host in hosts:
        if not host.one_of_many and host.chips not in counts:
            text = f"expected a number that a topology of {generation.name} has, for a slice of one host"
            yield host, "chips", f"chips is {host.chips}; {text}"
        if host.one_of_many and alone and host.chips not in alone:
            some = " or ".join(map(str, sorted(alone)))
            text = f"expected {some}, as a host of {generation.name} alone has"
            yield host, "chips", f"chips is {host.chips}; {text}"


def _wrong_host(
    generation: TpuGeneration, host: TpuHost, machine_types: Mapping[tuple[str, str], MachineType]
) -> Iterator[tuple[str, str]]:
    row = machine_types.get((tpu_cloud(), host.machine_type))
    if row is None or row.chip is None:
        return
    if row.count != host.chips:
        yield "chips", f"chips is {host.chips}; expected {row.count}, the count of {row.name}"
    if row.chip.name != generation.chip:
        yield "machine_type", f"machine_type {row.name} has {row.chip.name}; expected one with {generation.chip}"


def _line(source: Source, **cells: str) -> int:
    return next((line for line, row in cells_of(source) if cells.items() <= row.items()), 1)
