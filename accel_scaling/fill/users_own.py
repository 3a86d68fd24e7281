"""What a user wrote of a node type's resources and labels, on top of the catalog's promise, and what follows from it.

The user's own wins. Where it is more than the machine has, the boot check refuses each such node, and a plan that took
it at its word would be wrong: so a contradiction is told with its end, and the promise says what a node will not hold.
Fewer CPUs or less memory, and no accelerators at all, are no contradiction: that is how tasks are kept off a node.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from accel_scaling._ray.facts import ACCELERATOR_TYPE_PREFIX, LABEL_ACCELERATOR_TYPE, tpu_head_pod_type
from accel_scaling.cluster.capacity_text import CAPACITY_LABELS
from accel_scaling.families.registry import family_of
from accel_scaling.fill.promise import BYTES_PER_MIB, LABEL_VARIANT, Promise, accelerator_types

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from accel_scaling.catalog.model import Chip
    from accel_scaling.cluster.cluster import NodeMachine

# Words of the boot check (boot/verdicts.py, which is above this folder).
NO_DEVICE, FEWER, OTHER_TYPE = "NoDevice", "FewerThanPromised", "OtherType"

_MEMORY = ("memory", "object_store_memory")


@dataclass(frozen=True)
class BootCheck:
    """What becomes of a node that does not hold its promise.

    Attributes:
        runs: the boot check runs there; it does not with Ray's own providers.
        joins_with_fewer: a node with fewer devices joins with those: ``provider.confirmation``.
        always_joins: a node joins with its whole promise, whatever it has.
    """

    runs: bool = True
    joins_with_fewer: bool = False
    always_joins: bool = False


@dataclass(frozen=True)
class _Contradiction:
    """One thing that the user says and the machine is not.

    Attributes:
        said: what both say.
        verdict: the boot check's word; empty where it asks for nothing of the kind.
        end: what follows where there is no such word; empty for nothing to say.
        resource: the Ray resource that it is about, where there is a word.
        has: how much of it the machine has.
    """

    said: str
    verdict: str = ""
    end: str = ""
    resource: str = ""
    has: int = 0


def with_users_own(
    promised: Promise,
    node: str,
    machine: NodeMachine,
    own: tuple[Mapping[str, int], Mapping[str, str]],
    *,
    chips: Mapping[str, Chip],
    check: BootCheck,
) -> Promise:
    """Return the promise with what the user wrote on top, a note for each contradiction, and what follows from it.

    Args:
        promised: the catalog's promise.
        node: names the node type and its machine type in the notes.
        machine: what the node type names.
        own: the user's ``resources:`` and ``labels:`` of the node type.
        chips: the catalog's accelerators by name.
        check: what becomes of a node that does not hold its promise.
    """
    resources, labels = own
    found = [*_of_resources(promised.resources, machine, resources, chips), *_of_types(promised, resources, chips)]
    notes = [f"{node}: {one.said}; yours is used{_end(one, check)}" for one in found]
    of_labels, false = _of_labels(promised, machine, labels)
    joining = check.runs and check.joins_with_fewer and {one.verdict for one in found if one.verdict} == {FEWER}
    broken = [one for one in found if one.verdict]
    return replace(
        promised,
        resources={**promised.resources, **resources},
        labels={**promised.labels, **labels},
        notes=(*promised.notes, *notes, *(f"{node}: {note}" for note in of_labels)),
        not_held="" if joining or check.always_joins else "; ".join(f"{one.said}{_end(one, check)}" for one in broken),
        joins_with={one.resource: one.has for one in broken if joining},
        false_labels=false,
    )


def _of_resources(
    promised: Mapping[str, int], machine: NodeMachine, resources: Mapping[str, int], chips: Mapping[str, Chip]
) -> Iterator[_Contradiction]:
    accelerators = {chip.resource for chip in chips.values()} - {"CPU", *_MEMORY}
    for name, value in resources.items():
        has = promised.get(name, 0)
        said = f"your resources say {name}: {value}, the catalog says {has}{_each_host(name, machine, accelerators)}"
        if name in accelerators:
            if value > has > 0:
                yield _Contradiction(said, FEWER, resource=name, has=has)
            elif value > has:
                none = f"your resources say {name}: {value}, the catalog knows no such accelerator there"
                yield _Contradiction(none, NO_DEVICE, resource=name)
            elif 0 < value < has:
                yield _Contradiction(said)
        elif name == "CPU" and value > has:
            yield _Contradiction(said, end=", unchecked: Ray runs that many tasks on fewer CPUs")
        elif name in _MEMORY and value > machine.machine.memory_mib * BYTES_PER_MIB:
            yield _Contradiction(
                f"your resources say {name}: {value}, the catalog says {machine.machine.memory_mib} MiB in total",
                end=", unchecked: tasks may run out of memory",
            )
        elif name.startswith(ACCELERATOR_TYPE_PREFIX) and name in promised and value not in (0, has):
            yield _Contradiction(said)


def _each_host(name: str, machine: NodeMachine, accelerators: Collection[str]) -> str:
    hosts = machine.slice.hosts if machine.slice and name in accelerators else 1
    return f" for each of its {hosts} hosts" if hosts > 1 else ""


def _of_types(promised: Promise, resources: Mapping[str, int], chips: Mapping[str, Chip]) -> Iterator[_Contradiction]:
    """Yield the types, and the types of slices, that the machine is not."""
    known = {name for name in promised.resources if name.startswith(ACCELERATOR_TYPE_PREFIX)}
    for name in sorted(resources):
        if resources[name] <= 0 or name in promised.resources:
            continue
        if name.startswith(ACCELERATOR_TYPE_PREFIX):
            here = ", ".join(sorted(known)) or "no accelerator"
            counted = _counted_as(name.removeprefix(ACCELERATOR_TYPE_PREFIX), promised, chips)
            verdict = OTHER_TYPE if promised.resources.get(counted) else NO_DEVICE
            yield _Contradiction(
                f"your resources promise {name}, the catalog knows {here} there", verdict, resource=counted
            )
        elif tpu_head_pod_type(name):
            slices = [one for one in promised.resources if tpu_head_pod_type(one)]
            said = f"your resources promise {name}, the catalog knows {', '.join(slices) or 'no TPU slice'} there"
            # The boot check asks a host of which slice it is, and any other machine for nothing of the kind.
            end = ", unchecked: a task that reserves such a slice gets this node"
            yield _Contradiction(said, OTHER_TYPE if slices else "", end=end, resource="TPU")


def _counted_as(accelerator_type: str, promised: Promise, chips: Mapping[str, Chip]) -> str:
    """Return the Ray resource of a type, as the boot check sees it."""
    of_chips = (chip.resource for chip in chips.values() if accelerator_type in accelerator_types(chip))
    here = (name for name in promised.resources if name in {chip.resource for chip in chips.values()})
    return next(of_chips, next(here, "GPU"))


def _of_labels(
    promised: Promise, machine: NodeMachine, labels: Mapping[str, str]
) -> tuple[list[str], dict[str, str | None]]:
    """Return the notes about labels, and those of accelerators that are not true, with what is."""
    types = accelerator_types(machine.machine.chip) if machine.machine.chip else ()
    notes, false = [], dict[str, str | None]()
    for name, value in labels.items():
        has, of_accelerators = promised.labels.get(name), name in (LABEL_ACCELERATOR_TYPE, LABEL_VARIANT)
        # Of those that say how machines are bought, `label_notes` says more.
        if has == value or name in CAPACITY_LABELS or (has is None and not (of_accelerators and not types)):
            continue
        end = ""
        if of_accelerators and value not in types:
            false[name] = has
            end = f", and a task that asks for {value} by this label gets {has or 'no accelerator'}"
        made = f"its node_config makes it {has}" if has is not None else "the catalog knows no accelerator there"
        notes.append(f"your labels say {name}: {value}, and {made}; yours is used{end}")
    return notes, false


def _end(one: _Contradiction, check: BootCheck) -> str:
    """Return what follows from a contradiction, as the end of its note."""
    if not one.verdict:
        return one.end
    if not check.runs or check.always_joins or not _is_probed(one.resource):
        return ", and Ray starts tasks for devices that are not there"
    if one.verdict == FEWER and check.joins_with_fewer:
        return f", and a node joins with the {one.has} that it has"
    return f", and a node without it will be refused on boot ({one.verdict})"


def _is_probed(resource: str) -> bool:
    """Return whether the boot check can look for a resource; one that a user's catalog has made up, it confirms."""
    return family_of(resource) is not None
