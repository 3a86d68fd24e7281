"""What labels say of a machine type, beside its name, and whether it is so: number, memory, maker, architecture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from accel_scaling.catalog.guest_accelerators import takes_accelerators
from accel_scaling.catalog.kubernetes import Says

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from accel_scaling.catalog.model import MachineType
    from accel_scaling.kuberay.selectors import LabelRequirement, Term

_NEAR = 0.1  # a cloud's figure for a device's memory and the driver's differ by less
_ARCHITECTURES = {"x86_64": "amd64", "i386": "386"}  # Kubernetes' words for them
# As Karpenter writes them, in lower case, after EC2's API.
_MAKERS = {"nvidia": {"nvidia"}, "amd": {"amd"}, "gaudi": {"habana"}, "neuron": {"aws", "amazon"}}

# What a machine type has, for the sentence about a label that says something else of it.
_OF_MACHINE: Mapping[Says, Callable[[MachineType], str]] = {
    Says.COUNT: lambda machine: f"{machine.count or 'no'} accelerator{'' if machine.count == 1 else 's'}",
    Says.MEMORY_MIB: lambda machine: f"{machine.chip.memory_mib if machine.chip else 'no'} MiB in each",
    Says.MAKER: lambda machine: f"{machine.chip.name if machine.chip else 'no accelerator'}",
    Says.ARCH: lambda machine: _ARCHITECTURES.get(machine.arch, machine.arch),
}


@dataclass(frozen=True)
class Contradiction:
    """A label that says what machine types do not have.

    Attributes:
        requirement: the label.
        has: what the first of the machine types has instead.
    """

    requirement: LabelRequirement
    has: str


def contradiction(term: Term, machines: Sequence[MachineType]) -> Contradiction | None:
    """Return the first label that is true of none of the machine types; None where there is none.

    Args:
        term: the labels.
        machines: the machine types that another label names.
    """
    # GPUs are attached to an N1 machine: its row says neither how many, nor whose.
    own = [machine for machine in machines if not takes_accelerators(machine)]
    for requirement in term.of(*_OF_MACHINE):
        if own and len(own) == len(machines) and not any(_fits(machine, requirement) for machine in own):
            return Contradiction(requirement, _OF_MACHINE[requirement.label.says](own[0]))
    return None


def is_near(memory_mib: int, value: int) -> bool:
    """Return whether a device's memory may be what a label says."""
    return abs(memory_mib - value) <= _NEAR * value


def _fits(machine: MachineType, requirement: LabelRequirement) -> bool:
    says, values = requirement.label.says, requirement.values
    if says is Says.ARCH:
        return _ARCHITECTURES.get(machine.arch, machine.arch) in values
    if says is Says.COUNT:
        return str(machine.count) in values
    if machine.chip is None:
        return False
    if says is Says.MAKER:
        makers = _MAKERS.get(machine.chip.family)
        return makers is None or bool(makers & {value.lower() for value in values})
    memory = machine.chip.memory_mib
    return memory is None or any(not value.isdecimal() or is_near(memory, int(value)) for value in values)
