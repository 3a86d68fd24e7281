"""Accelerators that are attached to a Compute Engine machine (``guestAccelerators``): which fit which.

Only N1 machines take them; the rules are ``gcp_attach.csv``. A machine type that comes with its own accelerators
may spell them out, in the right count.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from accel_scaling.catalog.files import shipped
from accel_scaling.catalog.product_names import own_names
from accel_scaling.catalog.schema import GUEST_ACCELERATORS
from accel_scaling.catalog.suggest import hint
from accel_scaling.catalog.table import CellError, Known, RowValues, read_table
from accel_scaling.errors import AttachError, UnknownAcceleratorError
from accel_scaling.message_text import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from accel_scaling.catalog.files import Problem, Source
    from accel_scaling.catalog.lookup import Catalog
    from accel_scaling.catalog.model import Chip, MachineType

_TAKE_ACCELERATORS = ("n1-", "custom-")  # custom-4-8192 is the old way to write n1-custom-4-8192
_MIB_PER_GIB = 1024

_NUMBERS = ("count", "min_vcpus", "max_vcpus", "min_memory_mib", "max_memory_mib")


@dataclass(frozen=True)
class AttachRule:
    """The numbers of one accelerator that fit certain N1 machines; a row of ``gcp_attach.csv``.

    Attributes:
        accelerator: the API's name.
        count: devices.
        min_vcpus: vCPUs that the machine has at least.
        max_vcpus: vCPUs that it has at most.
        min_memory_mib: memory that it has at least, in MiB.
        max_memory_mib: memory that it has at most, in MiB.
        only_in: the zones that the row is for; empty for all.
        not_in: zones that the row is not for.
    """

    accelerator: str
    count: int
    min_vcpus: int
    max_vcpus: int
    min_memory_mib: int
    max_memory_mib: int
    only_in: tuple[str, ...] = ()
    not_in: tuple[str, ...] = ()

    def holds_in(self, zone: str) -> bool:
        """Return whether this is a rule of a zone."""
        return zone not in self.not_in and (not self.only_in or zone in self.only_in)

    def allows(self, machine: MachineType) -> bool:
        """Return whether a machine is of a size that takes so many."""
        return (
            self.min_vcpus <= machine.vcpus <= self.max_vcpus
            and self.min_memory_mib <= machine.memory_mib <= self.max_memory_mib
        )


def attach(catalog: Catalog, machine: MachineType, accelerator: str, count: int) -> MachineType:
    """Return the machine type with what is attached to it.

    Args:
        catalog: where the accelerator's chip comes from.
        machine: a machine type of Compute Engine.
        accelerator: the API's name, e.g. ``nvidia-tesla-t4``; ``nvidia-tesla-t4-vws`` is the same GPU.
        count: devices.

    Raises:
        UnknownAcceleratorError: the API has no such accelerator; the text names the nearest.
        AttachError: Compute Engine makes this combination in no zone; the text says what is possible.
    """
    named = api_names(catalog.chips.values(), machine.cloud)
    if accelerator not in named:
        raise UnknownAcceleratorError(
            f"accelerator type {shown(accelerator)} does not exist on Compute Engine{_near(accelerator, named)}"
        )
    # Before the rules: those are for N1, and Compute Engine lets other machines spell out what they come with.
    if machine.chip is not None:
        return _with_its_own(machine, machine.chip, accelerator, count)
    rules = attach_rules(machine.cloud).get(accelerator)
    if not rules:
        machine_types = _comes_with(catalog, machine.cloud, named[accelerator])
        raise AttachError(f"{accelerator} cannot be attached to {machine.name}: {machine_types}")
    if not takes_accelerators(machine):
        raise AttachError(
            f"{accelerator} cannot be attached to {machine.name}: it can be attached to N1 machines only, e.g. "
            f"n1-standard-4"
        )
    if not any(rule.count == count and rule.allows(machine) for rule in rules):
        raise AttachError(_wrong_size(machine, accelerator, count, rules))
    return replace(machine, chip=named[accelerator], count=count)


def takes_accelerators(machine: MachineType) -> bool:
    """Return whether accelerators can be attached to a machine type: it comes without, and is an N1."""
    named = machine.chip is None and machine.name.startswith(_TAKE_ACCELERATORS)
    return named and bool(attach_rules(machine.cloud))


def check_zones(machine: MachineType, accelerator: str, count: int, zones: Iterable[str]) -> None:
    """Refuse what is attached to a machine where one of the zones does not make it.

    Args:
        machine: with what is attached to it.
        accelerator: the API's name.
        count: devices.
        zones: where machines are to be launched.

    Raises:
        AttachError: names the first zone that does not, and what goes there.
    """
    # Empty for machines that come with accelerators of their own: their zones are in the offerings.
    rules = [rule for rule in attach_rules(machine.cloud).get(accelerator, ()) if rule.count == count]
    for zone in zones:
        here = [rule for rule in rules if rule.holds_in(zone)]
        if rules and not here:
            raise AttachError(f"{count} x {accelerator} are not offered in zone {zone}; choose another zone")
        if rules and not any(rule.allows(machine) for rule in here):
            what = f"{count} x {accelerator} cannot be attached to {_sized(machine)} in zone {zone}"
            raise AttachError(f"{what}: {_goes_with(here[0])} there")


@functools.cache
def attach_rules(cloud: str) -> dict[str, list[AttachRule]]:
    """Return a cloud's rules by accelerator; none where it attaches no accelerators to machines.

    Raises:
        CatalogFileError: the file has a wrong row.
    """
    source = shipped(GUEST_ACCELERATORS, cloud)
    rules: dict[str, list[AttachRule]] = {}
    for rule in source.accept(parse_attach_rules(source)) if source else ():
        rules.setdefault(rule.accelerator, []).append(rule)
    return rules


def parse_attach_rules(source: Source, known: Known | None = None) -> tuple[list[AttachRule], list[Problem]]:
    """Read the rules, and everything that is wrong with their file; the accelerators too, where they are given."""
    return read_table(source, GUEST_ACCELERATORS, _rule, known)


def api_names(chips: Iterable[Chip], cloud: str) -> dict[str, Chip]:
    """Return the chip behind each name of a cloud's API; a name of a whole and its slices means the whole."""
    # False sorts before True: the wholes come last, and replace slices of the same name.
    whole_last = sorted(chips, key=lambda chip: chip.partition_of is None)
    return {name: chip for chip in whole_last for name in chip.api_names.get(cloud, ())}


def _rule(row: RowValues, _: int) -> AttachRule:
    for what in ("vcpus", "memory_mib"):
        least, most = row[f"min_{what}"], row[f"max_{what}"]
        if least > most:
            raise CellError(f"min_{what}", f"min_{what} is {least}, above max_{what}, which is {most}")
    if row["only_in"] and row["not_in"]:
        text = "only_in and not_in are both filled; a row that is for some zones needs no exceptions"
        raise CellError("not_in", text)
    numbers = {column: row[column] for column in _NUMBERS}
    return AttachRule(accelerator=row["accelerator"], **numbers, only_in=row["only_in"], not_in=row["not_in"])


def _near(accelerator: str, named: dict[str, Chip]) -> str:
    """Return the names that may have been meant: those of the chip, where it is one of the catalog's own names."""
    names = [name for name, chip in named.items() if accelerator.casefold() in map(str.casefold, own_names(chip))]
    return f"; the API calls it {' or '.join(sorted(names))}" if names else hint(accelerator, named)


def _with_its_own(machine: MachineType, chip: Chip, accelerator: str, count: int) -> MachineType:
    names = chip.api_names.get(machine.cloud, ())
    if accelerator in names and count == machine.count:
        return machine
    name = next(iter(names), chip.name)
    raise AttachError(
        f"machine type {machine.name} comes with {machine.count} x {name} and takes no other accelerator, here "
        f"{count} x {accelerator}; leave guestAccelerators out"
    )


def _comes_with(catalog: Catalog, cloud: str, chip: Chip) -> str:
    """Return which machine types an accelerator comes with."""
    types = sorted({m.name for m in catalog.machine_types(cloud).values() if m.chip and m.chip.name == chip.name})
    return f"it comes with machine types of its own ({', '.join(types[:3])})" if types else "no machine type has it"


def _wrong_size(machine: MachineType, accelerator: str, count: int, rules: list[AttachRule]) -> str:
    has = _sized(machine)
    rule = next((rule for rule in rules if rule.count == count), None)
    if rule is None:
        counts = ", ".join(dict.fromkeys(str(rule.count) for rule in rules))
        return f"{count} x {accelerator} cannot be attached to {has}: it comes in counts of {counts}"
    fitting = dict.fromkeys(str(other.count) for other in rules if other.allows(machine))
    here = f"; this machine takes {', '.join(fitting)}" if fitting else "; this machine takes none"
    return f"{count} x {accelerator} cannot be attached to {has}: {_goes_with(rule)}{here}"


def _sized(machine: MachineType) -> str:
    return f"{machine.name} ({machine.vcpus} vCPUs, {_gib(machine.memory_mib)} GiB)"


def _goes_with(rule: AttachRule) -> str:
    return (
        f"this count needs {rule.min_vcpus} to {rule.max_vcpus} vCPUs and {_gib(rule.min_memory_mib)} to "
        f"{_gib(rule.max_memory_mib)} GiB"
    )


def _gib(mib: int) -> str:
    return f"{mib / _MIB_PER_GIB:.2f}".rstrip("0").rstrip(".")
