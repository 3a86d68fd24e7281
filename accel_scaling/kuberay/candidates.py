"""Finds the accelerators that the pods of a group may get: those of the selectors, narrowed by the catalog."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from accel_scaling.catalog.custom_machine_types import is_custom
from accel_scaling.catalog.guest_accelerators import takes_accelerators
from accel_scaling.catalog.kubernetes import Counts, Says, node_labels
from accel_scaling.catalog.suggest import nearest
from accel_scaling.clouds import known_clouds
from accel_scaling.errors import AccelScalingError
from accel_scaling.kuberay.machine_labels import contradiction, is_near
from accel_scaling.kuberay.selectors import chips_of, mig_profile_in

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from accel_scaling.catalog.kubernetes import NodeLabel
    from accel_scaling.catalog.lookup import Catalog
    from accel_scaling.catalog.model import Chip, MachineType
    from accel_scaling.kuberay.devices import Devices
    from accel_scaling.kuberay.selectors import LabelRequirement, Term

_LIKE = 0.8  # a typing error: Azure's Standard_NC24ads_A100_v4 is like no name here


@dataclass(frozen=True)
class Candidates:
    """The accelerators that a group's devices may be.

    Attributes:
        chips: the possible accelerators; empty where no selector names one, or none satisfies all selectors.
        named: whether a selector names them.
        machine_type: the one machine type that the selectors allow.
        trouble: why nothing satisfies the selectors; else empty.
        trouble_line: the line of the selector that is not satisfied.
        parts: machine types with a part of the device, which the same name selects.
        parts_of: the selector with that name.
        parts_out: the label, and its values, by which to rule these machine types out.
    """

    chips: tuple[Chip, ...] = ()
    named: bool = False
    machine_type: str | None = None
    trouble: str = ""
    trouble_line: int = 0
    parts: tuple[str, ...] = ()
    parts_of: str = ""
    parts_out: str = ""


def candidates(terms: Sequence[Term], devices: Devices, catalog: Catalog) -> Candidates:
    """Return the accelerators that the pods may get, over all alternatives that something satisfies.

    Args:
        terms: the alternatives of the group's selectors.
        devices: the devices that its pods ask for.
        catalog: the machine types and accelerators.
    """
    results = [_of_term(term, devices, catalog) for term in terms]
    possible = [result for result in results if not result.trouble]
    if not possible:
        # The trouble of one alternative is enough for a sentence: nothing satisfies any of them.
        return results[0]
    # An alternative without a selector admits nodes with any accelerator, whatever the others name.
    if not all(result.named for result in possible):
        return Candidates(chips=_by_name(devices, catalog))
    types = {result.machine_type for result in possible}
    parts = next((result for result in possible if result.parts), possible[0])
    chips = _unique(chip for result in possible for chip in result.chips)
    return replace(parts, chips=chips, named=True, machine_type=_only(types))


def agreed(chips: Sequence[Chip]) -> Chip | None:
    """Return one chip for all: without the variant where that differs; None where the types differ."""
    if not chips or len({(chip.resource, chip.detected_type, chip.partition_of) for chip in chips}) > 1:
        return None
    if len({chip.variant for chip in chips}) == 1:
        return chips[0]
    return replace(chips[0], variant=None) if chips[0].detected_type else None


def machines_named(requirement: LabelRequirement, catalog: Catalog) -> list[MachineType] | None:
    """Return the machine types that a label allows; None where the catalog lacks one of them."""
    if requirement.label.says is Says.SERIES:
        cloud, names = requirement.label.cloud, {value.lower() for value in requirement.values}
        return [machine for name, machine in catalog.machine_types(cloud).items() if _series(cloud, name) in names]
    machines = [_labelled(name, requirement.label, catalog) for name in requirement.values]
    return [machine for machine in machines if machine] if all(machines) else None


def _of_term(term: Term, devices: Devices, catalog: Catalog) -> Candidates:
    by_chip, by_machine = term.of(Says.CHIP), term.of(Says.MACHINE, Says.SERIES)
    chips, trouble = _chips(by_chip, devices, catalog)
    if trouble:
        return trouble
    machines = _machines(by_machine, catalog)
    if machines is None and not by_chip:
        return _misspelt(by_machine, catalog)
    # The catalog may lack the machine type of another cloud (Azure's): then the chip's own label decides.
    if machines is None:
        return Candidates(tuple(chips), True)  # noqa: FBT003 - a field with a name
    if by_machine:
        allowed = [machine for machine in machines if not _is_ruled_out(machine, term)]
        trouble = _contradicted(term, allowed or machines, by_machine[0])
        return trouble or _on_machines(allowed or machines, chips if by_chip else None, by_machine, devices)
    return _on_any_machine(chips, term, devices, catalog) if by_chip else Candidates()


def _on_any_machine(chips: Sequence[Chip], term: Term, devices: Devices, catalog: Catalog) -> Candidates:
    """Return the chips that labels of the accelerator name, on whichever of their cloud's machine types."""
    by_chip = term.of(Says.CHIP)
    clouds = {requirement.label.cloud for requirement in by_chip}
    cloud = known_clouds().get(_only(clouds) or "")
    if cloud is None:
        return Candidates(tuple(_whole_first(chips)), True)  # noqa: FBT003 - as above
    # EC2 has one name for the A100 of 40 GB and of 80 GB; only its machine types tell them apart.
    if not cloud.exact_accelerator_names:
        chips = _sold_as(chips, cloud.name, term, devices, catalog)
    parts = _with_parts(chips, cloud.name, term, devices, catalog)
    out = _way_to_rule_out(parts, by_chip[0], catalog) if parts else ""
    named = Candidates(tuple(_whole_first(chips)), True)  # noqa: FBT003 - as above
    return replace(named, parts=tuple(machine.name for machine in parts), parts_of=str(by_chip[0]), parts_out=out)


def _with_parts(chips: Sequence[Chip], cloud: str, term: Term, devices: Devices, catalog: Catalog) -> list[MachineType]:
    """Return the machine types whose device is a part of one, where the same name stands for whole ones, too."""
    partitions = {chip.name for chip in chips if chip.partition_of}
    if not partitions or all(chip.partition_of for chip in chips):
        return []
    machines = catalog.machine_types(cloud).values()
    fitting = [machine for machine in machines if machine.chip and machine.chip.name in partitions]
    return [machine for machine in fitting if _has(machine, devices) and not _is_ruled_out(machine, term)]


def _way_to_rule_out(parts: Sequence[MachineType], requirement: LabelRequirement, catalog: Catalog) -> str:
    """Return a label with the values by which parts are ruled out: their series where they have whole ones nowhere."""
    cloud, domain = requirement.label.cloud, requirement.label.key.partition("/")[0]
    series = list(dict.fromkeys(_series(cloud, machine.name) for machine in parts))
    whole = {_series(cloud, machine.name) for machine in catalog.machine_types(cloud).values() if _is_whole(machine)}
    labels = [label for label in node_labels().values() if label.says is Says.SERIES and label.key.startswith(domain)]
    if labels and not whole & set(series):
        return f"{' and '.join(series)} with a NotIn of {labels[0].key}"
    return "them with a NotIn of node.kubernetes.io/instance-type"


def _is_whole(machine: MachineType) -> bool:
    return machine.chip is not None and machine.chip.partition_of is None


def _is_ruled_out(machine: MachineType, term: Term) -> bool:
    """Return whether a NotIn of the term excludes a machine type, by its name or by its series."""
    for requirement in term.excluded:
        label, values = requirement.label, requirement.values
        if label.says is Says.MACHINE and machine.name in {value.removeprefix(label.before) for value in values}:
            return True
        if label.says is Says.SERIES and machine.cloud == label.cloud and _series(label.cloud, machine.name) in values:
            return True
    return False


def _contradicted(term: Term, machines: Sequence[MachineType], named: LabelRequirement) -> Candidates | None:
    found = contradiction(term, machines)
    if found is None:
        return None
    trouble = f"{found.requirement} contradicts {named}, which has {found.has}; no node has both"
    return Candidates(trouble=trouble, trouble_line=found.requirement.line)


def _chips(
    requirements: Sequence[LabelRequirement], devices: Devices, catalog: Catalog
) -> tuple[list[Chip], Candidates | None]:
    """Return the chips that all labels allow, or the trouble with them."""
    chips: list[Chip] | None = None
    for requirement in requirements:
        named = [chip for value in requirement.values for chip in chips_of(requirement.label.names, value, catalog)]
        if not named:
            trouble = f"{requirement} is not an accelerator of the catalog"
            return [], Candidates(trouble=trouble, trouble_line=requirement.line)
        of_family = [chip for chip in named if chip.family == devices.resource.family]
        if not of_family:
            family = devices.resource.family
            trouble = f"{requirement} selects {named[0].family}, and {devices.name} are devices of {family}"
            return [], Candidates(trouble=trouble, trouble_line=requirement.line)
        chips = of_family if chips is None else [chip for chip in chips if chip in of_family]
        if not chips:
            trouble = f"{requirement} contradicts {requirements[0]}: no accelerator is both"
            return [], Candidates(trouble=trouble, trouble_line=requirement.line)
    return chips or [], None


def _machines(requirements: Sequence[LabelRequirement], catalog: Catalog) -> list[MachineType] | None:
    """Return the machine types that all labels allow; None where the catalog lacks one."""
    machines: list[MachineType] | None = []
    for number, requirement in enumerate(requirements):
        named = machines_named(requirement, catalog)
        if named is None or machines is None:
            return None
        machines = named if number == 0 else [machine for machine in machines if machine in named]
    return machines


def _misspelt(requirements: Sequence[LabelRequirement], catalog: Catalog) -> Candidates:
    """Return the trouble with an unknown machine type that resembles one of the catalog; other clouds' names do not."""
    every = [name for cloud in catalog.clouds for name in catalog.machine_types(cloud)]
    for requirement in requirements:
        for value in requirement.values if requirement.label.says is Says.MACHINE else ():
            known = _labelled(value, requirement.label, catalog)
            # With the service's prefix, which the label's value must have: HyperPod has no node named p5.48xlarge.
            prefix = requirement.label.before if value.startswith(requirement.label.before) else ""
            near = [] if known else nearest(value.removeprefix(prefix), every, cutoff=_LIKE)
            if near:
                names = ", ".join(prefix + name for name in near)
                trouble = f"{requirement} is not a machine type of the catalog; nearest: {names}"
                return Candidates(trouble=trouble, trouble_line=requirement.line)
    return Candidates()


def _on_machines(
    machines: Sequence[MachineType],
    chips: Collection[Chip] | None,
    requirements: Sequence[LabelRequirement],
    devices: Devices,
) -> Candidates:
    """Return the chips of the machine types that have enough devices."""
    fitting_chips: list[Chip] = []
    names = set()
    for machine in machines:
        # N1 machines have no chip in their row: the GPUs are attached, and only the other selector names them.
        if takes_accelerators(machine) and chips is not None:
            fitting_chips += chips
            names.add(machine.name)
        elif _has(machine, devices) and (chips is None or machine.chip in chips):
            fitting_chips += [machine.chip] if machine.chip else []
            names.add(machine.name)
    if fitting_chips:
        return Candidates(_unique(fitting_chips), True, _only(names))  # noqa: FBT003 - a field with a name
    # Such a machine may have the devices: nothing is wrong, but nothing is named either.
    if any(map(takes_accelerators, machines)):
        return Candidates()
    most = max((machine.count for machine in machines if _family(machine) == devices.resource.family), default=0)
    what = f"{requirements[0]} has {most or 'no'} {devices.resource.family} device{'s' if most > 1 else ''}"
    if most and chips is not None:
        what = f"{requirements[0]} has another accelerator than the other selector names"
    trouble = f"{what}, and the limits ask for {devices.name}: {devices.text}; no node has both"
    return Candidates(trouble=trouble, trouble_line=requirements[0].line)


def _sold_as(chips: Sequence[Chip], cloud: str, term: Term, devices: Devices, catalog: Catalog) -> list[Chip]:
    """Narrow a cloud's name (EC2's A100) by its machine types: enough devices, the selected count and memory."""
    count, memory, names = term.only(Says.COUNT), term.only(Says.MEMORY_MIB), {chip.name for chip in chips}
    sold = [
        machine
        for machine in catalog.machine_types(cloud).values()
        if machine.chip
        and machine.chip.name in names
        and _has(machine, devices)
        and not _is_ruled_out(machine, term)
        and (count is None or str(machine.count) == count)
    ]
    sold_chips = _unique(machine.chip for machine in sold if machine.chip)
    if memory and memory.isdecimal():
        near = [chip for chip in sold_chips if chip.memory_mib and is_near(chip.memory_mib, int(memory))]
        sold_chips = tuple(near) or sold_chips
    return list(sold_chips) or list(chips)


def _has(machine: MachineType, devices: Devices) -> bool:
    if machine.chip is None or machine.chip.family != devices.resource.family:
        return False
    per_device = machine.chip.units_per_device if devices.resource.counts is Counts.UNITS else 1
    # Of slices a device has several: their number says nothing about how many devices the machine needs.
    return devices.resource.counts is Counts.SLICES or machine.count * per_device >= devices.amount


def _family(machine: MachineType) -> str | None:
    return machine.chip.family if machine.chip else None


def _by_name(devices: Devices, catalog: Catalog) -> tuple[Chip, ...]:
    return tuple(catalog.chips[name] for name in devices.resource.chips if name in catalog.chips)


def _machine(name: str, catalog: Catalog) -> MachineType | None:
    for cloud in catalog.clouds:
        machine = catalog.machine_types(cloud).get(name)
        if machine:
            return machine
    for of in known_clouds().values():
        if of.has_custom_machine_types and is_custom(name):
            with contextlib.suppress(AccelScalingError):
                return catalog.machine_type(of.name, name)
    return None


def _labelled(value: str, label: NodeLabel, catalog: Catalog) -> MachineType | None:
    """Return the machine type of a label's value, with or without what a service puts before the cloud's name."""
    return _machine(value, catalog) or _machine(value.removeprefix(label.before), catalog)


def _series(cloud: str, name: str) -> str:
    return name.partition(known_clouds()[cloud].series_separator)[0]


def _whole_first(chips: Sequence[Chip]) -> list[Chip]:
    """Drop partitions where a name also means the whole chip: clouds use the same name for both."""
    return [chip for chip in chips if chip.partition_of is None] or list(chips)


def _unique(chips: Iterable[Chip]) -> tuple[Chip, ...]:
    return tuple({chip.name: chip for chip in chips}.values())


def _only(names: Collection[str | None]) -> str | None:
    return next(iter(names)) if len(names) == 1 else None


def mig_profiles(terms: Sequence[Term], devices: Devices) -> set[str | None]:
    """Return the MIG profiles that a group's devices may have; None among them where they may be whole GPUs."""
    if devices.mig_profile:
        return {devices.mig_profile}
    return {profile for term in terms for profile in _profiles(term)}


def _profiles(term: Term) -> set[str | None]:
    by_label = {value for requirement in term.of(Says.MIG) for value in requirement.values}
    products = [value for requirement in term.of(Says.CHIP) for value in requirement.values]
    return {*by_label} or {mig_profile_in(value) for value in products} or {None}
