"""The sentence about a list of machine types where a node type takes one: what they differ in. No network.

A node type is one promise, by which Ray schedules before a machine exists. Machines of two types that hold the same
promise differ in what is no part of it (EFA interfaces, local disks), which launches and the boot check go by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accel_scaling.errors import ClusterConfigError
from accel_scaling.message_text import listed

if TYPE_CHECKING:
    from collections.abc import Callable

    from accel_scaling.catalog.model import MachineType

_MIB_PER_GIB = 1024
_TWO = "write a node type for each, and `priority` (since Ray 2.56) in the first to be launched"


def check_one_machine(key: str, given: Any, machine_of: Callable[[str], MachineType]) -> None:
    """Refuse a list of several machine types; anything else that is no text is refused by the cloud's own reader.

    Args:
        key: its place in the cluster file.
        given: what it holds.
        machine_of: the machine of a name.

    Raises:
        ClusterConfigError: it is such a list; it names what its machines differ in.
        AccelScalingError: the catalog does not have one of them.
    """
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        return
    names = list(dict.fromkeys(name.strip() for name in given if name.strip()))
    if len(names) < 2:
        return
    machines = {name: machine_of(name) for name in names}
    differences = [
        listed([f"{name} has {text(machine)}" for name, machine in machines.items()])
        for text in (_accelerators, _vcpus, _memory, _arch)
        if len({text(machine) for machine in machines.values()}) > 1
    ]
    if differences:
        why = f"a node type makes one promise, and these differ: {'; '.join(differences)}"
    else:
        why = "a node type has one machine type, also where several hold the same promise, as these do"
    raise ClusterConfigError(f"{key} is a list of machine types; {why}; {_TWO}")


def _accelerators(machine: MachineType) -> str:
    return f"{machine.count} x {machine.chip.name}" if machine.chip else "no accelerator"


def _vcpus(machine: MachineType) -> str:
    return f"{machine.vcpus} vCPUs"


def _memory(machine: MachineType) -> str:
    return f"{machine.memory_mib / _MIB_PER_GIB:g} GiB"


def _arch(machine: MachineType) -> str:
    return machine.arch
