"""How the chips of a TPU slice are laid out: which topologies a generation has, and which one is the default."""

from __future__ import annotations

import functools
import math
import re
from itertools import product

CUBE_EDGE = 4  # a slice of more than half a cube is made of whole cubes of 4x4x4 chips
LONGEST_EDGE = 256  # chips; no slice that Google lists has a longer one

_TOPOLOGY = re.compile(r"[1-9][0-9]{0,3}x[1-9][0-9]{0,3}(x[1-9][0-9]{0,3})?")
_TYPE = re.compile(r"(v|tpu)[0-9]+[a-z]*-[0-9]+")  # what Ray takes for the name of a slice (tpu.py)


def is_type(name: str) -> bool:
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
def of_cubes(most_chips: int, *, any_order: bool) -> tuple[str, ...]:
    """Return every topology that is made of whole cubes, the smallest first.

    Args:
        most_chips: chips of the largest slice.
        any_order: whether an edge may be shorter than the one before it (``8x4x4``).
    """
    edge = range(CUBE_EDGE, LONGEST_EDGE + 1, CUBE_EDGE)
    layouts = [
        (x, y, z)
        for x, y in product(edge, edge)
        if x * y * CUBE_EDGE <= most_chips and (any_order or x <= y)
        for z in edge
        if x * y * z <= most_chips and (any_order or y <= z)
    ]
    layouts.sort(key=lambda edges_of: (math.prod(edges_of), edges_of))
    return tuple(f"{x}x{y}x{z}" for x, y, z in layouts)


def fits(inner: tuple[int, ...], box: tuple[int, ...]) -> bool:
    """Return whether a layout made of whole cubes lies within a box, edge by edge."""
    return len(inner) == len(box) and all(
        edge % CUBE_EDGE == 0 and edge <= most for edge, most in zip(inner, box, strict=True)
    )


def compact(topologies: list[str]) -> str:
    """Return the topology that is nearest to a cube: the one with the shortest edges in sum."""
    return min(topologies, key=lambda topology: (sum(edges(topology)), edges(topology)))


def flattest(topologies: list[str]) -> str:
    """Return the topology that comes first by its edges, ``4x4x36`` before ``4x12x12``."""
    return min(topologies, key=edges)
