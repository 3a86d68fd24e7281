"""Which accelerators the pods of a group may meet: what selectors name, narrowed by what the catalog knows."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from accel_scaling.catalog.custom_machine_types import is_custom
from accel_scaling.catalog.guest_accelerators import takes_accelerators
from accel_scaling.catalog.kubernetes import Counts, Says
from accel_scaling.catalog.suggest import nearest
from accel_scaling.clouds import known_clouds
from accel_scaling.errors import AccelScalingError
from accel_scaling.kuberay.label_values import chips_of, mig_profile_in

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from accel_scaling.catalog.lookup import Catalog
    from accel_scaling.catalog.model import Chip, MachineType
    from accel_scaling.kuberay.devices import Devices
    from accel_scaling.kuberay.selectors import Term, Wanted

_LIKE = 0.8  # a slip of the finger: Azure's Standard_NC24ads_A100_v4 is like none
_NEAR = 0.1  # a cloud's figure for a device's memory and the driver's differ by less


@dataclass(frozen=True)
class Candidates:
    """What a group's devices may be.

    Attributes:
        chips: the accelerators that will do; empty where nothing says which, or nothing satisfies everything.
        named: whether a selector says which.
        machine_type: the one machine type that the selectors allow.
        trouble: why nothing satisfies the selectors; empty where something does.
        trouble_line: the line of what is not satisfied.
    """

    chips: tuple[Chip, ...] = ()
    named: bool = False
    machine_type: str | None = None
    trouble: str = ""
    trouble_line: int = 0


def candidates(terms: Sequence[Term], devices: Devices, catalog: Catalog) -> Candidates:
    """Return what the pods may meet, over all alternatives; those that nothing satisfies are left out.

    Args:
        terms: the alternatives of the group's selectors.
        devices: the devices that its pods ask for.
        catalog: what is known about machine types and accelerators.
    """
    each = [_of_term(term, devices, catalog) for term in terms]
    possible = [one for one in each if not one.trouble]
    if not possible:
        return each[0]
    if not all(one.named for one in possible):
        return Candidates(chips=_by_name(devices, catalog))
    types = {one.machine_type for one in possible}
    return Candidates(_unique(chip for one in possible for chip in one.chips), True, _only(types))  # noqa: FBT003


def agreed(chips: Sequence[Chip]) -> Chip | None:
    """Return one chip that stands for all: without the variant where that differs; None where the types differ."""
    if not chips or len({(chip.resource, chip.detected_type, chip.partition_of) for chip in chips}) > 1:
        return None
    if len({chip.variant for chip in chips}) == 1:
        return chips[0]
    return replace(chips[0], variant=None) if chips[0].detected_type else None


def machines_named(wanted: Wanted, catalog: Catalog) -> list[MachineType] | None:
    """Return the machine types that a label allows; None where the catalog does not know one of them."""
    if wanted.label.says is Says.SERIES:
        cloud, names = wanted.label.cloud, {value.lower() for value in wanted.values}
        return [each for name, each in catalog.machine_types(cloud).items() if _series(cloud, name) in names]
    found = [_machine(name, catalog) for name in wanted.values]
    return [each for each in found if each] if all(found) else None


def _of_term(term: Term, devices: Devices, catalog: Catalog) -> Candidates:
    by_chip, by_machine = term.of(Says.CHIP), term.of(Says.MACHINE, Says.SERIES)
    chips, trouble = _chips(by_chip, devices, catalog)
    if trouble:
        return trouble
    machines = _machines(by_machine, catalog)
    if machines is None and not by_chip:
        return _misspelt(by_machine, catalog)
    if machines is None:
        return Candidates(tuple(chips), True)  # noqa: FBT003 - a field with a name
    if by_machine:
        return _on_machines(machines, chips if by_chip else None, by_machine, devices)
    clouds = {wanted.label.cloud for wanted in by_chip}
    for name in clouds:
        if len(clouds) == 1 and name in known_clouds() and not known_clouds()[name].exact_accelerator_names:
            chips = _sold_as(chips, name, term, devices, catalog)
    return Candidates(tuple(_whole_first(chips)), True) if by_chip else Candidates()  # noqa: FBT003 - as above


def _chips(wanted: Sequence[Wanted], devices: Devices, catalog: Catalog) -> tuple[list[Chip], Candidates | None]:
    """Return the chips that every label allows, or what is wrong with them."""
    chips: list[Chip] | None = None
    for each in wanted:
        named = [chip for value in each.values for chip in chips_of(each.label.names, value, catalog)]
        if not named:
            trouble = f"{each} is no accelerator that the catalog knows"
            return [], Candidates(trouble=trouble, trouble_line=each.line)
        of_family = [chip for chip in named if chip.family == devices.kind.family]
        if not of_family:
            trouble = f"{each} selects {named[0].family}, and {devices.name} are devices of {devices.kind.family}"
            return [], Candidates(trouble=trouble, trouble_line=each.line)
        chips = of_family if chips is None else [chip for chip in chips if chip in of_family]
        if not chips:
            trouble = f"{each} contradicts {wanted[0]}: no accelerator is both"
            return [], Candidates(trouble=trouble, trouble_line=each.line)
    return chips or [], None


def _machines(wanted: Sequence[Wanted], catalog: Catalog) -> list[MachineType] | None:
    """Return the machine types that every label allows; None where one is not known."""
    found: list[MachineType] | None = []
    for number, each in enumerate(wanted):
        named = machines_named(each, catalog)
        if named is None or found is None:
            return None
        found = named if number == 0 else [machine for machine in found if machine in named]
    return found


def _misspelt(wanted: Sequence[Wanted], catalog: Catalog) -> Candidates:
    """Return the trouble with a machine type that nobody knows and that is like one; other clouds' are unlike."""
    every = [name for cloud in catalog.clouds for name in catalog.machine_types(cloud)]
    for each in wanted:
        for value in each.values if each.label.says is Says.MACHINE else ():
            near = nearest(value, every, cutoff=_LIKE) if _machine(value, catalog) is None else []
            if near:
                trouble = f"{each} is no machine type that the catalog knows; nearest: {', '.join(near)}"
                return Candidates(trouble=trouble, trouble_line=each.line)
    return Candidates()


def _on_machines(
    machines: Sequence[MachineType], chips: Collection[Chip] | None, wanted: Sequence[Wanted], devices: Devices
) -> Candidates:
    """Return the chips of the machine types that have enough devices."""
    here: list[Chip] = []
    fitting = set()
    for machine in machines:
        if takes_accelerators(machine) and chips is not None:
            here += chips
            fitting.add(machine.name)
        elif _has(machine, devices) and (chips is None or machine.chip in chips):
            here += [machine.chip] if machine.chip else []
            fitting.add(machine.name)
    if here:
        return Candidates(_unique(here), True, _only(fitting))  # noqa: FBT003 - a field with a name
    if any(map(takes_accelerators, machines)):
        return Candidates()
    most = max((machine.count for machine in machines if _family(machine) == devices.kind.family), default=0)
    what = f"{wanted[0]} has {most or 'no'} {devices.kind.family} device{'s' if most > 1 else ''}"
    if most and chips is not None:
        what = f"{wanted[0]} has another accelerator than the one selected beside it"
    trouble = f"{what}, and the limits ask for {devices.name}: {devices.text}; no node has both"
    return Candidates(trouble=trouble, trouble_line=wanted[0].line)


def _sold_as(chips: Sequence[Chip], cloud: str, term: Term, devices: Devices, catalog: Catalog) -> list[Chip]:
    """Narrow a cloud's name (EC2's A100) by what is sold under it: enough devices, their number, their memory."""
    count, memory, names = term.only(Says.COUNT), term.only(Says.MEMORY_MIB), {chip.name for chip in chips}
    sold = [
        machine
        for machine in catalog.machine_types(cloud).values()
        if machine.chip
        and machine.chip.name in names
        and _has(machine, devices)
        and (count is None or str(machine.count) == count)
    ]
    found = _unique(machine.chip for machine in sold if machine.chip)
    if memory and memory.isdecimal():
        near = [chip for chip in found if chip.memory_mib and abs(chip.memory_mib - int(memory)) <= _NEAR * int(memory)]
        found = tuple(near) or found
    return list(found) or list(chips)


def _has(machine: MachineType, devices: Devices) -> bool:
    if machine.chip is None or machine.chip.family != devices.kind.family:
        return False
    per_device = machine.chip.units_per_device if devices.kind.counts is Counts.UNITS else 1
    return devices.kind.counts is Counts.SLICES or machine.count * per_device >= devices.amount


def _family(machine: MachineType) -> str | None:
    return machine.chip.family if machine.chip else None


def _by_name(devices: Devices, catalog: Catalog) -> tuple[Chip, ...]:
    return tuple(catalog.chips[name] for name in devices.kind.chips if name in catalog.chips)


def _machine(name: str, catalog: Catalog) -> MachineType | None:
    for cloud in catalog.clouds:
        found = catalog.machine_types(cloud).get(name)
        if found:
            return found
    for of in known_clouds().values():
        if of.has_custom_machine_types and is_custom(name):
            with contextlib.suppress(AccelScalingError):
                return catalog.machine_type(of.name, name)
    return None


def _series(cloud: str, name: str) -> str:
    return name.partition(known_clouds()[cloud].series_separator)[0]


def _whole_first(chips: Sequence[Chip]) -> list[Chip]:
    """Leave slices out where a name stands for the whole chip too: clouds call both the same."""
    return [chip for chip in chips if chip.partition_of is None] or list(chips)


def _unique(chips: Iterable[Chip]) -> tuple[Chip, ...]:
    return tuple({chip.name: chip for chip in chips}.values())


def _only(names: Collection[str | None]) -> str | None:
    return next(iter(names)) if len(names) == 1 else None


def mig_profile(terms: Sequence[Term], devices: Devices) -> str | None:
    """Return the MIG profile of a group's slices: by their name in the limits, or by a selector."""
    if devices.mig_profile or not terms:
        return devices.mig_profile
    found = {_profile(term) for term in terms}
    return _only(found)


def _profile(term: Term) -> str | None:
    named = [mig_profile_in(value) for each in term.of(Says.CHIP) for value in each.values]
    return term.only(Says.MIG) or next((each for each in named if each), None)
