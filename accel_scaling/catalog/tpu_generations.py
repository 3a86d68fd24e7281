"""The rules of TPU slices as data: ``gcp_tpu.csv``, one row a generation, and ``gcp_tpu_hosts.csv``, its hosts."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from accel_scaling.catalog import tpu_topology as layout
from accel_scaling.catalog.files import Problem
from accel_scaling.catalog.table import Cells, RuleError, parse_rules, shipped_rules

if TYPE_CHECKING:
    from collections.abc import Collection

    from accel_scaling.catalog.files import Source

GENERATIONS_FILE = "gcp_tpu.csv"
HOSTS_FILE = "gcp_tpu_hosts.csv"
AT_MOST = "<="

GENERATION_COLUMNS = (
    "generation",
    "config_type",
    "ray_name",
    "chip",
    "suffix_per_chip",
    "topologies",
    "cubes_to_chips",
    "cube_order",
    "compact_to_chips",
    "default_topologies",
    "ray_topologies",
    "source",
)
HOST_COLUMNS = ("generation", "slice", "chips", "machine_type", "vcpus", "memory_mib", "source")


@dataclass(frozen=True)
class Generation:
    """One TPU generation; a row of ``gcp_tpu.csv``.

    Attributes:
        name: how its accelerator types begin, e.g. ``v5litepod``.
        config_type: ``acceleratorConfig.type`` of the TPU API; empty where the API has none.
        ray_name: how Ray's pod types begin.
        chip: its key in ``accelerators.yaml``.
        suffix_per_chip: what the number in an accelerator type counts for each chip: 2 TensorCores, or the chip.
        topologies: those that follow no rule, the smallest first.
        cubes_to_chips: besides them, everything made of 4x4x4 cubes up to so many chips; 0 for none.
        any_order: whether the edges of such a topology may stand in any order, not only in a rising one.
        compact_to_chips: up to so many chips, the default topology is the one nearest to a cube; above, the
            one that comes first by its edges.
        default_topologies: defaults that follow neither.
        ray_topologies: those that Ray's own table has; ``<=12x12x16`` stands for all that are made of cubes and
            have no longer edge.
    """

    name: str
    config_type: str
    ray_name: str
    chip: str
    suffix_per_chip: int
    topologies: tuple[str, ...]
    cubes_to_chips: int
    any_order: bool
    compact_to_chips: int
    default_topologies: tuple[str, ...]
    ray_topologies: tuple[str, ...]

    def in_ray(self, topology: str) -> bool:
        """Return whether Ray's own table has a topology."""
        for each in self.ray_topologies:
            box = layout.edges(each.removeprefix(AT_MOST)) if each.startswith(AT_MOST) else ()
            if topology == each or (box and layout.fits(layout.edges(topology), box)):
                return True
        return False


@dataclass(frozen=True)
class Host:
    """A machine that TPU chips are in; a row of ``gcp_tpu_hosts.csv``.

    Attributes:
        generation: the generation's name.
        one_of_many: whether slices of several hosts are made of it; else it is a slice of one host.
        chips: chips of this host.
        machine_type: the machine type with its size; empty where Compute Engine has none.
        vcpus: virtual CPUs, 0 where ``machine_type`` says it.
        memory_mib: memory in MiB, 0 where ``machine_type`` says it.
        layer: the file that says so.
    """

    generation: str
    one_of_many: bool
    chips: int
    machine_type: str
    vcpus: int
    memory_mib: int
    layer: str


@functools.cache
def generations() -> dict[str, Generation]:
    """Return the generations by name.

    Raises:
        CatalogFileError: the file has a wrong row.
    """
    source = shipped_rules(GENERATIONS_FILE)
    return {each.name: each for each in source.accept(parse_generations(source))}


@functools.cache
def hosts() -> dict[str, list[Host]]:
    """Return the hosts by generation.

    Raises:
        CatalogFileError: the file has a wrong row.
    """
    source = shipped_rules(HOSTS_FILE)
    found: dict[str, list[Host]] = {}
    for host in source.accept(parse_hosts(source)):
        found.setdefault(host.generation, []).append(host)
    return found


def parse_generations(source: Source, chips: Collection[str] | None = None) -> tuple[list[Generation], list[Problem]]:
    """Read the generations, and everything that is wrong with their file; the chips too, where they are given."""
    return parse_rules(
        source, GENERATION_COLUMNS, lambda cells: _generation(cells, chips), lambda generation: generation.name
    )


def parse_hosts(
    source: Source, generations: Collection[str] | None = None, machine_types: Collection[str] | None = None
) -> tuple[list[Host], list[Problem]]:
    """Read the hosts, and everything that is wrong with their file; the names in it too, where they are given."""
    found, problems = parse_rules(
        source,
        HOST_COLUMNS,
        lambda cells: _host(cells, source.label, generations, machine_types),
        lambda host: (host.generation, host.one_of_many, None if host.one_of_many else host.chips),
    )
    if not problems:
        lacking = sorted(set(generations or ()) - {host.generation for host in found if host.one_of_many})
        problems += [Problem(1, f"no row says what slices of many hosts are made of for {each}") for each in lacking]
    return found, problems


def _generation(cells: Cells, chips: Collection[str] | None) -> Generation:
    cells.text("source")
    cubes = cells.number("cubes_to_chips", empty=0)
    order = cells.one_of("cube_order", ("any", "rising")) if cubes else ""
    return Generation(
        name=cells.text("generation"),
        config_type=cells.by_column["config_type"],
        ray_name=cells.text("ray_name"),
        chip=cells.known("chip", chips),
        suffix_per_chip=cells.number("suffix_per_chip"),
        topologies=_topologies(cells, "topologies"),
        cubes_to_chips=cubes,
        any_order=order == "any",
        compact_to_chips=cells.number("compact_to_chips", empty=0),
        default_topologies=_topologies(cells, "default_topologies"),
        ray_topologies=_topologies(cells, "ray_topologies"),
    )


def _topologies(cells: Cells, column: str) -> tuple[str, ...]:
    for word in cells.words(column):
        if not layout.is_topology(word.removeprefix(AT_MOST) if column == "ray_topologies" else word):
            raise RuleError(f"{column} has {word}; expected edges, as 2x2x4")
    return cells.words(column)


def _host(cells: Cells, layer: str, generations: Collection[str] | None, machine_types: Collection[str] | None) -> Host:
    cells.text("source")
    machine_type = cells.by_column["machine_type"] and cells.known("machine_type", machine_types)
    sizes = [cells.number(column, empty=0 if machine_type else None) for column in ("vcpus", "memory_mib")]
    if machine_type and any(sizes):
        raise RuleError("vcpus and memory_mib are those of the machine_type; empty them, or empty machine_type")
    return Host(
        generation=cells.known("generation", generations),
        one_of_many=cells.one_of("slice", ("one", "many")) == "many",
        chips=cells.number("chips"),
        machine_type=machine_type,
        vcpus=sizes[0],
        memory_mib=sizes[1],
        layer=layer,
    )
