"""The machine that a new cluster file takes for an accelerator: the smallest that has so many, and alternatives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling.catalog.tpu_generations import is_tpu_type
from accel_scaling.catalog.tpu_slices import slice_of_type, slices_with
from accel_scaling.clouds import known_clouds
from accel_scaling.cluster.node_needs import ImageKind, default_image
from accel_scaling.errors import InitError, UnknownAcceleratorError, UnknownInstanceTypeError
from accel_scaling.init.model import Choice
from accel_scaling.message_text import listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from accel_scaling.catalog.load import Catalog
    from accel_scaling.catalog.model import Chip
    from accel_scaling.clouds import Cloud
    from accel_scaling.init.model import AcceleratorRequest
    from accel_scaling.init.template import ClusterTemplate

ALTERNATIVES = 3  # that a comment names
COUNTS = 6  # that an error names


def choose(
    request: AcceleratorRequest, template: ClusterTemplate, catalog: Catalog, region: str | None = None
) -> Choice:
    """Return the smallest machine, or TPU slice, of a cloud for what was requested.

    Exactly as many devices go before more, then fewer vCPUs before more, then less memory.

    Args:
        request: the accelerator, and how many of it.
        template: of the files of the cloud whose machines are taken.
        catalog: where they are looked up.
        region: where they must be offered, as far as the catalog knows; None for anywhere.

    Raises:
        InitError: the cloud has no such accelerator, not so many in one machine, or offers it no more.
        UnknownAcceleratorError, UnknownTpuError: nothing has that name; the text names the nearest.
    """
    cloud = template.cloud
    if is_tpu_type(request.name):
        return _named_slice(request, cloud, catalog)
    try:
        chips = catalog.chips_named(request.name)
    except UnknownAcceleratorError:
        # Where a machine type was given, the nearest accelerator's name would not help.
        _refuse_machine_type(request, cloud.name, catalog)
        raise
    candidates = _candidates(request, chips, cloud, catalog)
    if not candidates:
        raise InitError(_nowhere(request, chips, cloud, catalog))
    count = request.count or min(choice.count for choice in candidates)
    enough = sorted(
        (choice for choice in candidates if choice.count >= count), key=lambda choice: _best_first(choice, catalog)
    )
    if not enough:
        raise InitError(_too_many(request, candidates, cloud.name))
    offered = [choice for choice in enough if not _why_not(template, choice)]
    if not offered:
        raise InitError(f"--accelerator {request.text}: {_why_not(template, enough[0])}")
    if region is not None:
        # Where none is there, the first is refused with the regions that have it, by regions.with_all.
        there = [
            choice for choice in offered if choice.slice or catalog.where(choice.machine).in_region(region) is not False
        ]
        offered = there or offered
    best = offered[0]
    _refuse_other_system(best)
    fewer = [
        (choice, _why_not(template, choice) or _elsewhere(choice, catalog))
        for choice in enough
        if choice.count < best.count
    ]
    others = tuple(offered[1 : ALTERNATIVES + 1])
    return Choice(request, best.machine, best.guest, best.slice, others, tuple(fewer))


def plain(vcpus: int, template: ClusterTemplate, catalog: Catalog) -> Choice:
    """Return the smallest machine without an accelerator that has so many vCPUs.

    Raises:
        InitError: none has.
    """
    family = [
        machine
        for name, machine in catalog.machine_types(template.cloud.name).items()
        if name.startswith(template.plain_family) and machine.chip is None and "metal" not in name
    ]
    enough = [machine for machine in family if machine.vcpus >= vcpus]
    if not enough:
        most = max(machine.vcpus for machine in family)
        raise InitError(
            f"--cpus {vcpus}: {template.plain_family}* has up to {most} vCPUs; ask for several smaller machines"
        )
    return Choice(None, min(enough, key=lambda machine: (machine.vcpus, machine.memory_mib, machine.name)))


def _named_slice(request: AcceleratorRequest, cloud: Cloud, catalog: Catalog) -> Choice:
    whole = slice_of_type(catalog, request.name)
    if not cloud.has_tpus:
        have = next(other.name for other in known_clouds().values() if other.has_tpus)
        raise InitError(f"--accelerator {request.text}: only Google Cloud has TPUs; write `accel-scaling init {have}`")
    if request.count is not None:
        raise InitError(
            f"--accelerator {request.text}: {request.name} is a whole slice, with {whole.chips} chips, and takes no "
            f"count; --max-workers says how many slices, {whole.chip.name}:{request.count} asks for one slice with "
            f"that many chips"
        )
    choice = Choice(request, whole.machine, slice=whole)
    _refuse_other_system(choice)
    return choice


def _refuse_machine_type(request: AcceleratorRequest, cloud: str, catalog: Catalog) -> None:
    """Refuse the name of a machine type; return where it is none.

    Raises:
        InitError: says what the machine has, and how that is asked for.
        UnknownAcceleratorError: the catalog does not know what it has.
    """
    # The cloud that was asked for first: some names might be another cloud's too.
    for cloud_name in sorted(catalog.clouds, key=lambda name: name != cloud):
        try:
            machine = catalog.machine_type(cloud_name, request.name.lower())  # as every cloud writes them
        except UnknownInstanceTypeError:
            continue
        has, option = "without an accelerator", f"--cpus {machine.vcpus}"
        if machine.chip:
            has = f"with {machine.count} x {machine.chip.name}"
            option = f"--accelerator {machine.chip.name}" + (f":{machine.count}" if machine.count > 1 else "")
        command = option if cloud_name == cloud else f"`accel-scaling init {cloud_name} {option}`"
        raise InitError(f"--accelerator {request.text}: that is a machine type of {cloud_name}, {has}; write {command}")
    _refuse_series(request, cloud, catalog)


def _refuse_series(request: AcceleratorRequest, cloud: str, catalog: Catalog) -> None:
    """Refuse the name of a series of machine types; return where it is none.

    Raises:
        InitError: says which accelerators it has, and how one is asked for.
    """
    for cloud_name in sorted(catalog.clouds, key=lambda name: name != cloud):
        machines = catalog.family(cloud_name, request.name)
        chips = list(dict.fromkeys(machine.chip.name for machine in machines if machine.chip))
        if not machines:
            continue
        option = f"--accelerator {chips[0]}" if chips else f"--cpus {machines[0].vcpus}"
        command = option if cloud_name == cloud else f"`accel-scaling init {cloud_name} {option}`"
        has = f"with {listed(chips, 'or')}" if chips else "without an accelerator"
        raise InitError(
            f"--accelerator {request.text}: that is a series of machine types of {cloud_name}, {has}; write {command}; "
            f"`accel-scaling catalog show {request.name}` lists them"
        )


def _candidates(request: AcceleratorRequest, chips: Sequence[Chip], cloud: Cloud, catalog: Catalog) -> list[Choice]:
    if cloud.has_tpus and any(chip.family == "tpu" for chip in chips):
        slices = [
            Choice(request, tpu_slice.machine, slice=tpu_slice) for tpu_slice in slices_with(catalog, request.name)
        ]
        if slices:
            return slices
    names = {chip.name for chip in chips}
    bundled = [
        Choice(request, machine)
        for machine in catalog.machine_types(cloud.name).values()
        if machine.chip and machine.chip.name in names
    ]
    return [*bundled, *template_of(cloud).attached(request, names, catalog)]


def _smallest_first(choice: Choice) -> tuple[int, int, int, int, str]:
    hosts = choice.slice.hosts if choice.slice else 1
    return (choice.count, hosts, choice.machine.vcpus, choice.machine.memory_mib, choice.name)


def _best_first(choice: Choice, catalog: Catalog) -> tuple[object, ...]:
    """Return by what choices are sorted: the smallest first; of machines alike, the one that more regions have."""
    *size, name = _smallest_first(choice)
    return (*size, 0 if choice.slice else -len(catalog.where(choice.machine).regions), name)


def _why_not(template: ClusterTemplate, choice: Choice) -> str | None:
    """Return why the cloud does not offer it any more; None where it does."""
    for row in template.not_offered():
        if choice.name.startswith(row["name"]) or choice.guest == row["name"]:
            return str(row["because"])
    return None


def _elsewhere(choice: Choice, catalog: Catalog) -> str:
    """Return where a machine is offered, which is not in the region that was asked for."""
    regions = sorted(catalog.where(choice.machine).regions)
    more = " and more" if len(regions) > ALTERNATIVES else ""
    return f"it is in other regions: {', '.join(regions[:ALTERNATIVES])}{more}" if regions else "no region has it"


def template_of(cloud: Cloud) -> ClusterTemplate:
    """Return the template of a cloud's files."""
    template: ClusterTemplate = cloud.part("init_template").TEMPLATE
    return template


def _refuse_other_system(choice: Choice) -> None:
    """Refuse what does not fit the head that the file has.

    Raises:
        InitError: Cloud TPU does not create such slices, or their hosts have another Ubuntu, and so Python.
    """
    if choice.slice is None:
        return
    if not choice.slice.config_type or default_image(choice.machine, of_slice=True) is None:
        machine = default_image(choice.machine)
        other = f" ({machine.note})" if machine and machine.note and machine.kind is not ImageKind.NONE else ""
        raise InitError(
            f"{choice.name}: the Cloud TPU API does not create this generation; write its node type yourself, as "
            f"machineType: {choice.machine.name}{other}"
        )


def _nowhere(request: AcceleratorRequest, chips: Sequence[Chip], cloud: Cloud, catalog: Catalog) -> str:
    others = {other.name: other for other in known_clouds().values() if other != cloud}
    elsewhere = {name: _candidates(request, chips, other, catalog) for name, other in others.items()}
    hints = "".join(f"; {name} has it: {_some(choices)}" for name, choices in elsewhere.items() if choices)
    return f"--accelerator {request.text}: no machine type of {cloud.name} has it{hints}"


def _too_many(request: AcceleratorRequest, candidates: Iterable[Choice], cloud: str) -> str:
    """Return the sentence with the largest counts that there are, each with a machine that has it."""
    by_count = {choice.count: choice for choice in sorted(candidates, key=_smallest_first, reverse=True)}
    largest = sorted(by_count)[-COUNTS:]
    counts = ", ".join(f"{count} ({by_count[count].name})" for count in largest)
    return (
        f"--accelerator {request.text}: no machine of {cloud} has that many; the counts are {counts}; ask for several "
        "machines (--max-workers)"
    )


def _some(choices: Iterable[Choice]) -> str:
    names = [choice.name for choice in sorted(choices, key=_smallest_first)]
    return ", ".join(names[:ALTERNATIVES]) + (" and more" if len(names) > ALTERNATIVES else "")
