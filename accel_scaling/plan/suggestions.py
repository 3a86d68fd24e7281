"""Suggests the smallest machine type of the same cloud that would take a demand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling._ray.facts import tpu_head_resource
from accel_scaling.catalog.guest_accelerators import attach_rules
from accel_scaling.catalog.tpu_slices import slices_with
from accel_scaling.clouds import known_clouds
from accel_scaling.fill.promise import accelerator_types, promise_for
from accel_scaling.plan.nearest_miss import amount_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from accel_scaling.catalog.load import Catalog
    from accel_scaling.catalog.model import MachineType
    from accel_scaling.plan.nearest_miss import Requirement

# Google attaches GPUs to N1 machines only; of these the standard ones are suggested.
_TAKES_GPUS = "n1-standard-"


def who_takes(requirement: Requirement, cloud: str, catalog: Catalog, like: Iterable[str]) -> str:
    """Return the machine type that would take a demand, as a clause; or why there is none.

    Args:
        requirement: the demand.
        cloud: the cloud of the cluster file.
        catalog: its machine types.
        like: machine types of the file; among machine types of equal size their families are preferred.
    """
    tpu = known_clouds()[cloud].has_tpus and requirement.resource == "TPU"
    machine = _slice(requirement, catalog) if tpu else None
    machine = machine or _machine(requirement, cloud, catalog, {name.partition(".")[0] for name in like})
    machine = machine or _attached(requirement, cloud, catalog)
    if machine:
        return f"{machine} would take it"
    return _nowhere(requirement, cloud, catalog)


def _nowhere(requirement: Requirement, cloud: str, catalog: Catalog) -> str:
    """Return why no machine type of a cloud takes it: no such accelerator, too few, or too little of something else."""
    if not requirement.resource:
        return f"no machine type of {cloud} would take it"
    machines = list(_with_types(requirement, cloud, catalog))
    if not machines:
        other_clouds = [
            other for other in catalog.clouds if other != cloud and any(_with_types(requirement, other, catalog))
        ]
        what = " or ".join(requirement.types) or requirement.resource
        return f"no machine type of {cloud} has {what}" + "".join(f"; {other} has" for other in other_clouds)
    enough = [
        machine
        for machine in machines
        if promise_for(machine).resources.get(requirement.resource, 0) >= requirement.amounts[requirement.resource]
    ]
    if not enough:
        most_devices = max(machine.count for machine in machines)
        return f"no machine type of {cloud} has that many; the most is {most_devices} devices"
    for name, value in requirement.amounts.items():
        most = max(promise_for(machine).resources.get(name, 0) for machine in enough)
        if most < value:
            amount, has = amount_text(name, value), amount_text(name, most)
            return f"no machine type of {cloud} with that many has {amount}; the most is {has}"
    return f"no machine type of {cloud} has all of this together"


def _machine(requirement: Requirement, cloud: str, catalog: Catalog, families: set[str]) -> str | None:
    fitting = [machine for machine in _with_types(requirement, cloud, catalog) if _takes(requirement, machine)]
    if not fitting:
        return None
    return min(
        fitting,
        key=lambda machine: (
            machine.count,
            # Arm, which needs an image of its own, and bare metal only where nothing else has as few devices.
            machine.arch != "x86_64" or "metal" in machine.name,
            machine.name.partition(".")[0] not in families,
            machine.vcpus,
            machine.memory_mib,
            machine.name,
        ),
    ).name


def _with_types(requirement: Requirement, cloud: str, catalog: Catalog) -> Iterable[MachineType]:
    """Return the machine types with one of the requested accelerators; without one, those without accelerators."""
    for machine in catalog.machine_types(cloud).values():
        types = accelerator_types(machine.chip) if machine.chip else ()
        if requirement.types and not set(requirement.types) & set(types):
            continue
        if bool(machine.chip) != bool(requirement.types or requirement.resource):
            continue
        if machine.chip is None or not requirement.resource or machine.chip.resource == requirement.resource:
            yield machine


def _takes(requirement: Requirement, machine: MachineType) -> bool:
    has = promise_for(machine).resources
    return all(has.get(name, 0) >= value for name, value in requirement.amounts.items())


def _attached(requirement: Requirement, cloud: str, catalog: Catalog) -> str | None:
    """Return an N1 machine type with GPUs attached."""
    for name, rules in attach_rules(cloud).items():
        chips = [chip for chip in catalog.chips.values() if name in chip.api_names.get(cloud, ())]
        if requirement.resource not in {chip.resource for chip in chips} or not any(
            set(accelerator_types(chip)) & set(requirement.types or accelerator_types(chip)) for chip in chips
        ):
            continue
        machines = [
            machine for machine in catalog.machine_types(cloud).values() if machine.name.startswith(_TAKES_GPUS)
        ]
        for rule in sorted(rules, key=lambda rule: rule.count):
            if rule.count < requirement.amounts.get(requirement.resource, 0):
                continue
            fitting = [
                machine
                for machine in machines
                if rule.allows(machine) and machine.vcpus >= requirement.amounts.get("CPU", 0)
            ]
            if fitting:
                smallest = min(fitting, key=lambda machine: machine.vcpus)
                return f"{smallest.name} with {rule.count} x {name} attached"
    return None


def _slice(requirement: Requirement, catalog: Catalog) -> str | None:
    """Return the smallest TPU slice with a host that takes the demand."""
    for chip in catalog.chips.values():
        if chip.resource != "TPU" or not set(accelerator_types(chip)) & set(
            requirement.types or accelerator_types(chip)
        ):
            continue
        for tpu_slice in slices_with(catalog, chip.name):
            # Host 0 has the head resource, by which a demand asks for a whole slice.
            promised = {**promise_for(tpu_slice.machine).resources, tpu_head_resource(tpu_slice.pod_type): 1}
            if all(promised.get(name, 0) >= value for name, value in requirement.amounts.items()):
                return tpu_slice.accelerator_type
    return None
