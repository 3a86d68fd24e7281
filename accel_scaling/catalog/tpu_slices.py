"""TPU slices by rule: chips, hosts and names follow from the generation and the topology.

Google lists well over a thousand slices; ``gcp_tpu.csv`` has one row a generation and ``gcp_tpu_hosts.csv`` one
row for each size of host. What follows from them is checked against Google's own lists by the tests.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from accel_scaling.catalog.model import Chip, MachineType
from accel_scaling.catalog.suggest import hint
from accel_scaling.catalog.tpu_generations import (
    TpuGeneration,
    TpuHost,
    chips_in,
    flattest,
    generations,
    hosts,
    is_topology,
    most_compact,
    topologies_of_cubes,
    tpu_cloud,
)
from accel_scaling.errors import UnknownTpuError
from accel_scaling.message_text import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from accel_scaling.catalog.lookup import Catalog

_NAMED = 8  # topologies that an error names
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True)
class TpuSlice:
    """One TPU slice: what Cloud TPU creates and deletes as a whole, one or several hosts.

    Attributes:
        generation: ``v2``, ``v3``, ``v4``, ``v5litepod``, ``v5p``, ``v6e``, ``tpu7x`` or ``tpu7``.
        accelerator_type: Cloud TPU's own name, e.g. ``v4-16``; ``v7x-8`` stays as it was asked for. The number counts
            TensorCores, except that of v5litepod and v6e, which counts chips.
        topology: the chips' layout, e.g. ``2x2x2``.
        chips: chips in the whole slice.
        hosts: machines in the slice; each becomes one Ray node.
        chips_per_host: chips of one host, what its Ray node announces as ``TPU``.
        chip: the accelerator.
        machine: one host; its chip and count are the host's.
        pod_type: the name that Ray detects on each host: ``v4-16``, and ``v7x-8`` for ``tpu7x-8``. The resource
            ``TPU-<pod_type>-head`` and the label ``ray.io/tpu-pod-type`` are made of it.
        config_type: ``acceleratorConfig.type`` of the TPU API (``V5LITE_POD``); empty where the API has none,
            as for tpu7x: such a slice can only be asked for by its accelerator type.
        in_ray: whether Ray 2.60's own table has the topology. Where it does not, the slice starts, announces and
            reserves as any other; only ``ray.util.tpu``'s placement groups by topology refuse it.
    """

    generation: str
    accelerator_type: str
    topology: str
    chips: int
    hosts: int
    chips_per_host: int
    chip: Chip
    machine: MachineType
    pod_type: str
    config_type: str
    in_ray: bool


def slice_of_type(catalog: Catalog, accelerator_type: str) -> TpuSlice:
    """Return the slice of an accelerator type (``v4-16``), in its default topology.

    Raises:
        UnknownTpuError: Google has no such slice; the text names the nearest.
    """
    name, _, number = accelerator_type.rpartition("-")
    generation = generations().get(name) or _by_api_name(catalog, name)
    if generation and _NUMBER.fullmatch(number):
        # An odd number of TensorCores is half a chip too many: no slice has it.
        fitting = _of_chips(generation, int(number) / generation.suffix_per_chip)
        if fitting:
            found = _slice(catalog, generation, _default(generation, fitting))
            return found if name == generation.name else replace(found, accelerator_type=accelerator_type)
    raise UnknownTpuError(_no_such_type(catalog, accelerator_type, name, number))


def slice_of_topology(catalog: Catalog, config_type: str, topology: str) -> TpuSlice:
    """Return the slice of an ``acceleratorConfig``: a type (``V4``, ``V5LITE_POD``) and a topology (``2x2x2``).

    Raises:
        UnknownTpuError: there is no such type, or no such topology of it; the text names those that exist.
    """
    by_config = {each.config_type: each for each in generations().values() if each.config_type}
    generation = by_config.get(config_type)
    if generation is None or generation.config_refused:
        raise UnknownTpuError(_no_such_config_type(catalog, config_type, topology))
    if topology not in topologies(generation):
        raise UnknownTpuError(_no_such_topology(generation, topology))
    return _slice(catalog, generation, topology)


def slice_of_chip(catalog: Catalog, chip: str, topology: str) -> TpuSlice:
    """Return the slice of a chip (``TPU-V4``, a key of accelerators.yaml) in a topology (``2x2x2``).

    Raises:
        UnknownTpuError: the chip has no such topology; the text names those that exist.
    """
    generation = next((of_chip for of_chip in generations().values() if of_chip.chip == chip), None)
    if generation is None:
        raise UnknownTpuError(f"of {chip} no topologies are known")
    if topology not in topologies(generation):
        raise UnknownTpuError(_no_such_topology(generation, topology))
    return _slice(catalog, generation, topology)


def known_slices(catalog: Catalog) -> list[TpuSlice]:
    """Return every slice in every topology, by generation and size: some 1,700."""
    return [
        _slice(catalog, generation, topology)
        for generation in generations().values()
        for topology in topologies(generation)
    ]


def slices_with(catalog: Catalog, accelerator: str, min_chips: int = 1) -> list[TpuSlice]:
    """Return the slices of an accelerator, in their default topology, by generation and size.

    Args:
        catalog: where the accelerators come from.
        accelerator: any name that ``Catalog.chip`` takes.
        min_chips: chips that the whole slice has at least.

    Raises:
        UnknownAcceleratorError: nothing has that name.
    """
    names = {chip.name for chip in catalog.chips_named(accelerator)}
    return [
        _slice(catalog, generation, _default(generation, _of_chips(generation, count)))
        for generation in generations().values()
        if generation.chip in names
        for count in _sizes(generation)
        if count >= min_chips
    ]


@functools.cache
def topologies(generation: TpuGeneration) -> tuple[str, ...]:
    """Return every topology of a generation, the smallest first."""
    if not generation.cubes_to_chips:
        return generation.topologies
    cubes = topologies_of_cubes(generation.cubes_to_chips, any_order=generation.any_order)
    return (*generation.topologies, *cubes)


@functools.cache
def _by_chips(generation: TpuGeneration) -> dict[int, list[str]]:
    by_chips: dict[int, list[str]] = {}
    for topology in topologies(generation):
        by_chips.setdefault(chips_in(topology), []).append(topology)
    return by_chips


def _sizes(generation: TpuGeneration) -> Iterable[int]:
    return _by_chips(generation)


def _by_api_name(catalog: Catalog, name: str) -> TpuGeneration | None:
    """Return the generation that Cloud TPU's clients, and Ray, call so: ``v7x`` is ``tpu7x``; None for any other name.

    A name that only Ray has, or only Google's documents (``v5e``), is none that the API takes.
    """
    return next(
        (
            generation
            for generation in generations().values()
            if name == generation.ray_name and name in catalog.chips[generation.chip].api_names.get(tpu_cloud(), ())
        ),
        None,
    )


def _of_chips(generation: TpuGeneration, chips: float) -> list[str]:
    return _by_chips(generation).get(int(chips), []) if chips == int(chips) else []


def _default(generation: TpuGeneration, fitting: list[str]) -> str:
    """Return the topology that an accelerator type stands for where none is asked for."""
    listed = [topology for topology in fitting if topology in generation.default_topologies]
    if listed:
        return listed[0]
    if chips_in(fitting[0]) <= generation.compact_to_chips:
        return most_compact(fitting)
    return flattest(fitting)


def _type_name(generation: TpuGeneration, chips: int) -> str:
    return f"{generation.name}-{chips * generation.suffix_per_chip}"


def _slice(catalog: Catalog, generation: TpuGeneration, topology: str) -> TpuSlice:
    chips = chips_in(topology)
    host = _host(generation, chips)
    chip = catalog.chips[generation.chip]
    accelerator_type = _type_name(generation, chips)
    return TpuSlice(
        generation=generation.name,
        accelerator_type=accelerator_type,
        topology=topology,
        chips=chips,
        hosts=chips // host.chips,
        chips_per_host=host.chips,
        chip=chip,
        machine=_machine(catalog, host, chip, accelerator_type),
        pod_type=f"{generation.ray_name}-{chips * generation.suffix_per_chip}",
        config_type=generation.config_type,
        in_ray=generation.in_ray(topology),
    )


def _host(generation: TpuGeneration, chips: int) -> TpuHost:
    """Return the host of a slice: the one machine that has all its chips, else one of many."""
    of_generation = hosts()[generation.name]
    # One host and many may be different machines: of v3, ct3-hightpu-4t is for one,
    # ct3p-hightpu-4t for many.
    alone = next((host for host in of_generation if not host.one_of_many and host.chips == chips), None)
    return alone or next(host for host in of_generation if host.one_of_many)


def _machine(catalog: Catalog, host: TpuHost, chip: Chip, accelerator_type: str) -> MachineType:
    if host.machine_type:
        row = catalog.machine_type(tpu_cloud(), host.machine_type)
        return replace(row, chip=chip, count=host.chips)
    return MachineType(
        cloud=tpu_cloud(),
        name=accelerator_type,
        vcpus=host.vcpus,
        memory_mib=host.memory_mib,
        arch="x86_64",
        chip=chip,
        count=host.chips,
        layer=host.layer,
    )


def _no_such_type(catalog: Catalog, accelerator_type: str, name: str, number: str) -> str:
    """Return the error's sentence: the sizes beside it, the generation's right name, or what looks like it."""
    start = f"TPU accelerator type {shown(accelerator_type)} does not exist on Google Cloud"
    if accelerator_type in catalog.machine_types(tpu_cloud()):
        return f"{start}; it is a machine type, which is asked for by `machineType`"
    generation = generations().get(name) or _by_api_name(catalog, name)
    if generation and _NUMBER.fullmatch(number):
        sizes = sorted(_sizes(generation), key=lambda count: abs(count * generation.suffix_per_chip - int(number)))
        return f"{start}; nearest: {', '.join(_type_name(generation, count) for count in sorted(sizes[:3]))}"
    for other in generations().values():
        if name in (other.ray_name, *catalog.chips[other.chip].api_names.get(tpu_cloud(), ())) and name != other.name:
            return f"{start}; Cloud TPU writes {other.name}-{number or 'N'}"
    known = (_type_name(other, count) for other in generations().values() for count in _sizes(other))
    return start + hint(accelerator_type, known)


def _no_such_config_type(catalog: Catalog, config_type: str, topology: str) -> str:
    """Return the error's sentence: the API's spelling, the acceleratorType in its place, or the API's types."""
    start = f"acceleratorConfig.type {shown(config_type)}"
    meant = _by_any_name(catalog, config_type)
    if meant and meant.config_type and not meant.config_refused:
        return f"{start} is not in the TPU API; write {meant.config_type}"
    if meant:
        known = topology in topologies(meant)
        name = _type_name(meant, chips_in(topology if known else topologies(meant)[0]))
        why = meant.config_refused or "it is not in the TPU API"
        return f"{start} names no slice: {why}; write acceleratorType{':' if known else ', such as'} {name}"
    types = [each.config_type for each in generations().values() if each.config_type and not each.config_refused]
    return f"{start} is not in the TPU API{hint(config_type, types)}; it has {', '.join(types)}"


def _by_any_name(catalog: Catalog, name: str) -> TpuGeneration | None:
    """Return the generation that a user calls so, in any spelling; None where nobody does."""
    fold = name.casefold().replace("_", "").removeprefix("tpu-")
    for each in generations().values():
        names = (each.name, each.config_type, each.ray_name, *catalog.chips[each.chip].api_names.get(tpu_cloud(), ()))
        if fold in {other.casefold().replace("_", "") for other in names}:
            return each
    return None


def _no_such_topology(generation: TpuGeneration, topology: str) -> str:
    """Return the error's sentence: the topologies with as many chips, or the smallest ones and the largest."""
    name = generation.config_type or generation.name
    start = f"TPU topology {shown(topology)} of {name} does not exist on Google Cloud"
    same = _of_chips(generation, chips_in(topology)) if is_topology(topology) else []
    if same:
        count = chips_in(same[0])
        return f"{start}; with {count} chips there is {_some(same)}"
    return f"{start}; it has {_some(topologies(generation))}"


def _some(names: Iterable[str]) -> str:
    every = list(names)
    if len(every) <= _NAMED + 1:
        return ", ".join(every)
    return f"{', '.join(every[:_NAMED])} and {len(every) - _NAMED} more, up to {every[-1]}"
