"""The arithmetic of TPU slices: what must hold between a generation, its hosts, their machine types and its chips."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING, TypeVar

from accel_scaling.catalog.files import Problem, table_of
from accel_scaling.catalog.schema import TPU_GENERATIONS, TPU_HOSTS
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
from accel_scaling.catalog_lint.tables import beside

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from accel_scaling.catalog.files import Source
    from accel_scaling.catalog.model import Chip, MachineType

T = TypeVar("T")

_CORES = (1, 2)  # TensorCores of a chip: what the number in an accelerator type can count for each
_CORES_OF = {"v2": 2, "v3": 2, "v4": 2, "v5litepod": 1, "v5p": 2, "v6e": 1, "tpu7x": 2}  # as Ray counts them, too
_EDGES_OF_CUBES = 3


def tpu_mistakes(
    sources: Sequence[Source], chips: Mapping[str, Chip], machine_types: Mapping[tuple[str, str], MachineType]
) -> Iterator[tuple[Source, Problem]]:
    """Yield what does not add up in the files of TPU slices that are checked; what ships stands for the other one."""
    if not any(table_of(source.path) in {TPU_GENERATIONS, TPU_HOSTS} for source in sources):
        return
    rules, hosts = (beside(sources, table, tpu_cloud()) for table in (TPU_GENERATIONS, TPU_HOSTS))
    if rules is None or hosts is None:
        return
    of_generation: dict[str, list[TpuHost]] = {}
    for host in parse_hosts(hosts)[0]:
        of_generation.setdefault(host.generation, []).append(host)
    for generation in parse_generations(rules)[0]:
        here = of_generation.get(generation.name, [])
        for column, text in _wrong_generation(generation, here, chips):
            yield rules, Problem(_line(rules, generation=generation.name), text, column)
        wrong = [(host, *each) for host in here for each in _wrong_host(generation, host, machine_types)]
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
