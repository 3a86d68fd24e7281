"""The smallest machine of the same cloud that would take a demand: what a user could add to the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling._ray.facts import tpu_head_resource
from accel_scaling.catalog.guest_accelerators import attach_rules
from accel_scaling.catalog.tpu_slices import slices_with
from accel_scaling.clouds import known_clouds
from accel_scaling.fill.promise import accelerator_types, promise_for
from accel_scaling.plan.nearest_miss import said_amount

if TYPE_CHECKING:
    from collections.abc import Iterable

    from accel_scaling.catalog.load import Catalog
    from accel_scaling.catalog.model import MachineType
    from accel_scaling.plan.nearest_miss import Wanted

_TAKES_GPUS = "n1-standard-"


def would(want: Wanted, cloud: str, catalog: Catalog, like: Iterable[str]) -> str:
    """Return who would take a demand, as a clause.

    Args:
        want: the demand.
        cloud: where to look.
        catalog: what there is.
        like: machine types of the file, whose families are preferred among machines of a size.
    """
    found = _slice(want, catalog) if known_clouds()[cloud].has_tpus and want.resource == "TPU" else None
    found = found or _machine(want, cloud, catalog, {name.partition(".")[0] for name in like})
    found = found or _attached(want, cloud, catalog)
    if found:
        return f"{found} would"
    return _nowhere(want, cloud, catalog)


def _nowhere(want: Wanted, cloud: str, catalog: Catalog) -> str:
    """Return why no machine type of a cloud would: it has no such accelerator, not so many, or not so much beside."""
    if not want.resource:
        return f"no machine type of {cloud} would"
    here = list(_with_types(want, cloud, catalog))
    if not here:
        others = [each for each in catalog.clouds if each != cloud and any(_with_types(want, each, catalog))]
        what = " or ".join(want.types) or want.resource
        return f"no machine type of {cloud} has {what}" + "".join(f"; {each} has" for each in others)
    enough = [one for one in here if promise_for(one).resources.get(want.resource, 0) >= want.amounts[want.resource]]
    if not enough:
        return f"no machine type of {cloud} has so much; {max(one.count for one in here)} devices are the most"
    for name, value in want.amounts.items():
        most = max(promise_for(one).resources.get(name, 0) for one in enough)
        if most < value:
            asked, has = said_amount(name, value), said_amount(name, most)
            return f"no machine type of {cloud} with so many has {asked}; {has} is the most"
    return f"no machine type of {cloud} has all of it"


def _machine(want: Wanted, cloud: str, catalog: Catalog, families: set[str]) -> str | None:
    fitting = [one for one in _with_types(want, cloud, catalog) if _takes(want, one)]
    if not fitting:
        return None
    return min(
        fitting,
        key=lambda one: (
            one.count,
            one.arch != "x86_64" or "metal" in one.name,
            one.name.partition(".")[0] not in families,
            one.vcpus,
            one.memory_mib,
            one.name,
        ),
    ).name


def _with_types(want: Wanted, cloud: str, catalog: Catalog) -> Iterable[MachineType]:
    """Return the machines with one of the accelerators asked for; plain ones where none is."""
    for machine in catalog.machine_types(cloud).values():
        types = accelerator_types(machine.chip) if machine.chip else ()
        if want.types and not set(want.types) & set(types):
            continue
        if bool(machine.chip) != bool(want.types or want.resource):
            continue
        if machine.chip is None or not want.resource or machine.chip.resource == want.resource:
            yield machine


def _takes(want: Wanted, machine: MachineType) -> bool:
    has = promise_for(machine).resources
    return all(has.get(name, 0) >= value for name, value in want.amounts.items())


def _attached(want: Wanted, cloud: str, catalog: Catalog) -> str | None:
    """Return an N1 machine with GPUs attached."""
    for name, rules in attach_rules(cloud).items():
        chips = [chip for chip in catalog.chips.values() if name in chip.api_names.get(cloud, ())]
        if want.resource not in {chip.resource for chip in chips} or not any(
            set(accelerator_types(chip)) & set(want.types or accelerator_types(chip)) for chip in chips
        ):
            continue
        machines = [one for one in catalog.machine_types(cloud).values() if one.name.startswith(_TAKES_GPUS)]
        for rule in sorted(rules, key=lambda one: one.count):
            if rule.count < want.amounts.get(want.resource, 0):
                continue
            fitting = [one for one in machines if rule.allows(one) and one.vcpus >= want.amounts.get("CPU", 0)]
            if fitting:
                smallest = min(fitting, key=lambda one: one.vcpus)
                return f"{smallest.name} with {rule.count} x {name} attached"
    return None


def _slice(want: Wanted, catalog: Catalog) -> str | None:
    """Return the smallest TPU slice, one of whose hosts takes it."""
    for chip in catalog.chips.values():
        if chip.resource != "TPU" or not set(accelerator_types(chip)) & set(want.types or accelerator_types(chip)):
            continue
        for one in slices_with(catalog, chip.name):
            promised = {**promise_for(one.machine).resources, tpu_head_resource(one.pod_type): 1}
            if all(promised.get(name, 0) >= value for name, value in want.amounts.items()):
                return one.accelerator_type
    return None
