"""The arithmetic of TPU slices: what must hold between a generation, its hosts, their machine types and its chips."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling.catalog import topology as layout
from accel_scaling.catalog.files import Problem
from accel_scaling.catalog.rules import CLOUD, shipped_rules
from accel_scaling.catalog.tpu import topologies
from accel_scaling.catalog.tpu_rules import (
    GENERATIONS_FILE,
    HOSTS_FILE,
    Generation,
    Host,
    parse_generations,
    parse_hosts,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from accel_scaling.catalog.files import Source
    from accel_scaling.catalog.model import Chip, MachineType

TPU_FILES = (GENERATIONS_FILE, HOSTS_FILE)
_CORES = (1, 2)  # TensorCores of a chip: what the number in an accelerator type can count for each


def tpu_mistakes(
    sources: Sequence[Source], chips: Mapping[str, Chip], machine_types: Mapping[tuple[str, str], MachineType]
) -> Iterator[tuple[Source, Problem]]:
    """Yield what does not add up in the files of TPU slices that are checked; what ships stands for the other one."""
    given = {source.path.name: source for source in sources}
    rules, hosts = (given.get(name) or shipped_rules(name) for name in TPU_FILES)
    of_generation: dict[str, list[Host]] = {}
    for host in parse_hosts(hosts)[0]:
        of_generation.setdefault(host.generation, []).append(host)
    for generation in parse_generations(rules)[0]:
        here = of_generation.get(generation.name, [])
        for column, text in _wrong_generation(generation, here, chips):
            yield rules, Problem(_line(rules, (generation.name,)), text, column)
        for host in here:
            for column, text in _wrong_host(generation, host, machine_types):
                slices = "many" if host.one_of_many else "one"
                yield hosts, Problem(_line(hosts, (host.generation, slices, str(host.chips))), text, column)


def _wrong_generation(
    generation: Generation, hosts: Sequence[Host], chips: Mapping[str, Chip]
) -> Iterator[tuple[str, str]]:
    name = generation.name
    every = topologies(generation)
    if generation.suffix_per_chip not in _CORES:
        yield "suffix_per_chip", f"suffix_per_chip of {name} is {generation.suffix_per_chip}; expected 1 or 2"
    if chips[generation.chip].family != "tpu":
        yield "chip", f"chip of {name} is {generation.chip}, no TPU; expected a chip of the family tpu"
    for topology in generation.default_topologies:
        if topology not in every:
            text = f"has {topology}, which is no topology of {name}; expected one of them"
            yield "default_topologies", f"default_topologies {text}"
    alone = {host.chips for host in hosts if not host.one_of_many}
    many = next((host.chips for host in hosts if host.one_of_many), 1)
    for topology in every:
        count = layout.chips_in(topology)
        if count not in alone and count % many:
            text = (
                f"has {topology}, {count} chips, which no host of {name} alone has and hosts of {many} do not add up to"
            )
            yield "topologies", f"topologies {text}"


def _wrong_host(
    generation: Generation, host: Host, machine_types: Mapping[tuple[str, str], MachineType]
) -> Iterator[tuple[str, str]]:
    row = machine_types.get((CLOUD, host.machine_type))
    if row is None or row.chip is None:
        return
    if row.count != host.chips:
        yield "chips", f"chips is {host.chips}; expected {row.count}, the count of {row.name}"
    if row.chip.name != generation.chip:
        yield "machine_type", f"machine_type {row.name} has {row.chip.name}; expected one with {generation.chip}"


def _line(source: Source, cells: tuple[str, ...]) -> int:
    start = ",".join(cells) + ","
    return next((line for line, text in enumerate(source.text.splitlines(), 1) if text.startswith(start)), 1)
