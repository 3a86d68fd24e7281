"""TPU generations as data, their hosts, and the layouts of their chips.

``gcp_tpu.csv`` has one row a generation, ``gcp_tpu_hosts.csv`` its hosts; a topology (``2x2x4``) is the layout of a
slice's chips.
"""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from accel_scaling.catalog.columns import GENERATION, TOPOLOGY
from accel_scaling.catalog.files import Problem, Source, shipped
from accel_scaling.catalog.schema import TPU_GENERATIONS, TPU_HOSTS
from accel_scaling.catalog.table import CellError, Known, RowValues, read_table
from accel_scaling.clouds import known_clouds

if TYPE_CHECKING:
    from collections.abc import Collection

AT_MOST = "<="

CUBE_EDGE = 4  # a slice of more than half a cube is made of whole cubes of 4x4x4 chips
LONGEST_EDGE = 256  # chips; no slice that Google lists has a longer one

_TOPOLOGY = re.compile(TOPOLOGY)
_TYPE = re.compile(r"(v|tpu)[0-9]+[a-z]*-[0-9]+")  # what Ray takes for the name of a slice (tpu.py)


@dataclass(frozen=True)
class TpuGeneration:
    """One TPU generation; a row of ``gcp_tpu.csv``.

    Attributes:
        name: how its accelerator types begin, e.g. ``v5litepod``.
        config_type: ``acceleratorConfig.type`` of the TPU API; empty where the API has none.
        config_refused: why no slice is asked for by that type anyway; empty where slices are.
        ray_name: how Ray's pod types begin.
        chip: its key in ``accelerators.yaml``.
        suffix_per_chip: what the number in an accelerator type counts for each chip: 2 TensorCores, or the chip.
        topologies: those that follow no rule, the smallest first.
        cubes_to_chips: besides them, everything made of 4x4x4 cubes up to so many chips; 0 for none.
        any_order: whether the edges of such a topology may be in any order, not only in a rising one.
        compact_to_chips: up to so many chips, the default topology is the one nearest to a cube; above, the
            one that comes first by its edges.
        default_topologies: defaults that follow neither.
        ray_topologies: those that Ray's own table has; ``<=12x12x16`` stands for all that are made of cubes and
            have no longer edge.
    """

    name: str
    config_type: str
    config_refused: str
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
        for listed in self.ray_topologies:
            box = edges(listed.removeprefix(AT_MOST)) if listed.startswith(AT_MOST) else ()
            if topology == listed or (box and fits_in(edges(topology), box)):
                return True
        return False


@dataclass(frozen=True)
class TpuHost:
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


def tpu_cloud() -> str:
    """Return the name of the cloud that sells TPU slices."""
    return next(cloud.name for cloud in known_clouds().values() if cloud.has_tpus)


@functools.cache
def generations() -> dict[str, TpuGeneration]:
    """Return the generations by name.

    Raises:
        CatalogFileError: the file has a wrong row.
    """
    source = shipped(TPU_GENERATIONS, tpu_cloud())
    rows = source.accept(parse_generations(source)) if source else ()
    return {generation.name: generation for generation in rows}


@functools.cache
def hosts() -> dict[str, list[TpuHost]]:
    """Return the hosts by generation.

    Raises:
        CatalogFileError: the file has a wrong row.
    """
    source = shipped(TPU_HOSTS, tpu_cloud())
    by_generation: dict[str, list[TpuHost]] = {}
    for host in source.accept(parse_hosts(source)) if source else ():
        by_generation.setdefault(host.generation, []).append(host)
    return by_generation


def parse_generations(source: Source, known: Known | None = None) -> tuple[list[TpuGeneration], list[Problem]]:
    """Read the generations, and everything that is wrong with their file; the chips too, where they are given."""
    return read_table(source, TPU_GENERATIONS, _generation, known)


def parse_hosts(source: Source, known: Known | None = None) -> tuple[list[TpuHost], list[Problem]]:
    """Read the hosts, and everything that is wrong with their file; the names in it too, where they are given."""
    rows, problems = read_table(
        source,
        TPU_HOSTS,
        functools.partial(_host, layer=source.label),
        known,
        # Slices of many hosts are made of one kind of host; of one host, there is one for each number of chips.
        key=lambda row: (row["generation"], row["slice"], None if row["slice"] else row["chips"]),
    )
    # Not while a row is wrong: it may be the one that seems to be missing.
    if not problems:
        names: Collection[str] = (known or {}).get(GENERATION, ())
        lacking = sorted(set(names) - {host.generation for host in rows if host.one_of_many})
        problems += [
            Problem(1, f"no row says what slices of many hosts are made of for {name}", "generation")
            for name in lacking
        ]
    return rows, problems


def _generation(row: RowValues, _: int) -> TpuGeneration:
    if row["cubes_to_chips"] and row["cube_order"] is None:
        raise CellError("cube_order", f"cube_order is empty; expected {TPU_GENERATIONS.column('cube_order').expected}")
    return TpuGeneration(
        name=row["generation"],
        config_type=row["config_type"],
        config_refused=row["config_refused"],
        ray_name=row["ray_name"],
        chip=row["chip"],
        suffix_per_chip=row["suffix_per_chip"],
        topologies=row["topologies"],
        cubes_to_chips=row["cubes_to_chips"],
        any_order=bool(row["cube_order"]),
        compact_to_chips=row["compact_to_chips"],
        default_topologies=row["default_topologies"],
        ray_topologies=row["ray_topologies"],
    )


def _host(row: RowValues, _: int, *, layer: str) -> TpuHost:
    sizes = ("vcpus", "memory_mib")
    for column in sizes:
        if row["machine_type"] and row[column]:
            text = f"{column} is {row[column]}, beside a machine_type, which says it; empty one of the two"
            raise CellError(column, text)
        if not row["machine_type"] and not row[column]:
            expected = TPU_HOSTS.column(column).expected
            raise CellError(column, f"{column} is empty; expected {expected}, or a machine_type")
    return TpuHost(
        generation=row["generation"],
        one_of_many=row["slice"],
        chips=row["chips"],
        machine_type=row["machine_type"],
        vcpus=row["vcpus"],
        memory_mib=row["memory_mib"],
        layer=layer,
    )


def is_tpu_type(name: str) -> bool:
    """Return whether a name is written as an accelerator type of Cloud TPU, right or wrong."""
    return _TYPE.fullmatch(name) is not None


def is_topology(text: str) -> bool:
    """Return whether a text is written as a topology, ``2x4`` or ``2x2x4``."""
    return _TOPOLOGY.fullmatch(text) is not None


@functools.cache
def edges(topology: str) -> tuple[int, ...]:
    """Return the edges of a topology: (2, 2, 4) of ``2x2x4``."""
    return tuple(int(edge) for edge in topology.split("x"))


def chips_in(topology: str) -> int:
    """Return how many chips a topology has."""
    return math.prod(edges(topology))


@functools.cache
def topologies_of_cubes(most_chips: int, *, any_order: bool) -> tuple[str, ...]:
    """Return every topology that is made of whole cubes, the smallest first.

    Args:
        most_chips: chips of the largest slice.
        any_order: whether an edge may be shorter than the one before it (``8x4x4``).
    """
    edge = range(CUBE_EDGE, LONGEST_EDGE + 1, CUBE_EDGE)
    layouts = [
        (x, y, z)
        for x, y in product(edge, edge)
        # z is one cube at least: without this, 64 x 64 x 64 layouts would be tried.
        if x * y * CUBE_EDGE <= most_chips and (any_order or x <= y)
        for z in edge
        if x * y * z <= most_chips and (any_order or y <= z)
    ]
    layouts.sort(key=lambda edges_of: (math.prod(edges_of), edges_of))
    return tuple(f"{x}x{y}x{z}" for x, y, z in layouts)


def fits_in(inner: tuple[int, ...], box: tuple[int, ...]) -> bool:
    """Return whether a layout made of whole cubes lies within a box, edge by edge."""
    return len(inner) == len(box) and all(
        edge % CUBE_EDGE == 0 and edge <= most for edge, most in zip(inner, box, strict=True)
    )


def most_compact(topologies: list[str]) -> str:
    """Return the topology that is nearest to a cube: the one with the shortest edges in sum."""
    return min(topologies, key=lambda topology: (sum(edges(topology)), edges(topology)))


def flattest(topologies: list[str]) -> str:
    """Return the topology that comes first by its edges, ``4x4x36`` before ``4x12x12``."""
    return min(topologies, key=edges)
