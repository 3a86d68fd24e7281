"""Which machine a starter file takes for an accelerator: the smallest that has so many, and what else there is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from accel_scaling.catalog import tpu_topology
from accel_scaling.catalog.guest_accelerators import api_names, attach, attach_rules
from accel_scaling.catalog.tpu_slices import slice_of_type, slices_with
from accel_scaling.cluster.default_image import default_image
from accel_scaling.cluster.node_needs import ImageKind
from accel_scaling.errors import StarterError, UnknownAcceleratorError, UnknownInstanceTypeError
from accel_scaling.init.tables import PASSED_OVER, rows_of
from accel_scaling.providers.aws.node_config import CLOUD as AWS
from accel_scaling.providers.gcp.node_config import CLOUD as GCP

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from accel_scaling.catalog.load import Catalog
    from accel_scaling.catalog.model import Chip, MachineType
    from accel_scaling.catalog.tpu_slices import Slice
    from accel_scaling.init.request import Asked

PLAIN = {AWS: "m5.", GCP: "n2-standard-"}  # machines without an accelerator, as the heads of the examples
N1 = "n1-standard-"  # what GPUs are attached to on Google Cloud
N1_VCPUS_PER_GPU = 4  # as a G2 has for an L4: a smaller N1 starves its GPU
ALTERNATIVES = 3  # that a comment names
COUNTS = 6  # that an error names


@dataclass(frozen=True)
class Choice:
    """What one node type of workers is.

    Attributes:
        asked: for what; None for a plain machine.
        machine: its machine type, with its accelerators; one host where it is a slice.
        guest: the API's name of what is attached to it; None where it comes with its accelerators.
        slice: the TPU slice; None for a machine.
        also: other machines that have the accelerator, the next best first.
    """

    asked: Asked | None
    machine: MachineType
    guest: str | None = None
    slice: Slice | None = None
    also: tuple[Choice, ...] = ()

    @property
    def name(self) -> str:
        """The cloud's name for it."""
        return self.slice.accelerator_type if self.slice else self.machine.name

    @property
    def count(self) -> int:
        """Devices of one machine, or chips of one slice."""
        return self.slice.chips if self.slice else self.machine.count

    @property
    def chip(self) -> Chip | None:
        """Its accelerator."""
        return self.slice.chip if self.slice else self.machine.chip


def choose(asked: Asked, cloud: str, catalog: Catalog, region: str | None = None) -> Choice:
    """Return the smallest machine, or TPU slice, of a cloud for what was asked.

    Args:
        asked: the accelerator, and how many of it.
        cloud: whose machines.
        catalog: where they are looked up.
        region: where they must be to be had, as far as the catalog knows; None for anywhere.

    Exactly as many devices go before more, then fewer vCPUs before more, then less memory.

    Raises:
        StarterError: the cloud has no such accelerator, not so many in one machine, or offers it no more.
        UnknownAcceleratorError, UnknownTpuError: nothing has that name; the text names the nearest.
    """
    if tpu_topology.is_type(asked.name):
        return _named_slice(asked, cloud, catalog)
    try:
        chips = catalog.chips_named(asked.name)
    except UnknownAcceleratorError:
        _refuse_machine_type(asked, cloud, catalog)
        raise
    every = _candidates(asked, chips, cloud, catalog)
    if not every:
        raise StarterError(_nowhere(asked, chips, cloud, catalog))
    count = asked.count or min(each.count for each in every)
    enough = sorted((each for each in every if each.count >= count), key=lambda each: _best_first(each, catalog))
    if not enough:
        raise StarterError(_too_many(asked, every, cloud))
    now = [each for each in enough if not _why_not(cloud, each)]
    if not now:
        raise StarterError(f"--accelerator {asked.text}: {_why_not(cloud, enough[0])}")
    if region is not None:
        # Where none is there, the first is refused with the regions that have it, by starter.places.
        now = [each for each in now if each.slice or catalog.where(each.machine).in_region(region) is not False] or now
    best = now[0]
    _refuse_other_system(best)
    return Choice(asked, best.machine, best.guest, best.slice, tuple(now[1 : ALTERNATIVES + 1]))


def plain(vcpus: int, cloud: str, catalog: Catalog) -> Choice:
    """Return the smallest machine without an accelerator that has so many vCPUs.

    Raises:
        StarterError: none has.
    """
    family = [
        machine
        for name, machine in catalog.machine_types(cloud).items()
        if name.startswith(PLAIN[cloud]) and machine.chip is None and "metal" not in name
    ]
    enough = [machine for machine in family if machine.vcpus >= vcpus]
    if not enough:
        most = max(machine.vcpus for machine in family)
        raise StarterError(f"--cpus {vcpus}: {PLAIN[cloud]}* has up to {most} vCPUs; ask for several smaller machines")
    return Choice(None, min(enough, key=lambda machine: (machine.vcpus, machine.memory_mib, machine.name)))


def _named_slice(asked: Asked, cloud: str, catalog: Catalog) -> Choice:
    found = slice_of_type(catalog, asked.name)
    if cloud != GCP:
        raise StarterError(f"--accelerator {asked.text}: TPUs are Google's; write `accel-scaling init gcp`")
    if asked.count is not None:
        raise StarterError(
            f"--accelerator {asked.text}: {asked.name} is a whole slice, with {found.chips} chips, and takes no count; "
            f"--max-workers says how many slices, {found.chip.name}:{asked.count} asks for one of so many chips"
        )
    choice = Choice(asked, found.machine, slice=found)
    _refuse_other_system(choice)
    return choice


def _refuse_machine_type(asked: Asked, cloud: str, catalog: Catalog) -> None:
    """Refuse the name of a machine type; return where it is none.

    Raises:
        StarterError: says what the machine has, and how that is asked for.
        UnknownAcceleratorError: the catalog does not know what it has.
    """
    for of in sorted(catalog.clouds, key=lambda each: each != cloud):
        try:
            machine = catalog.machine_type(of, asked.name.lower())  # as every cloud writes them
        except UnknownInstanceTypeError:
            continue
        has, option = "without an accelerator", f"--cpus {machine.vcpus}"
        if machine.chip:
            has = f"with {machine.count} x {machine.chip.name}"
            option = f"--accelerator {machine.chip.name}" + (f":{machine.count}" if machine.count > 1 else "")
        command = option if of == cloud else f"`accel-scaling init {of} {option}`"
        raise StarterError(f"--accelerator {asked.text}: that is a machine type of {of}, {has}; write {command}")


def _candidates(asked: Asked, chips: Sequence[Chip], cloud: str, catalog: Catalog) -> list[Choice]:
    if cloud == GCP and any(chip.family == "tpu" for chip in chips):
        slices = [Choice(asked, each.machine, slice=each) for each in slices_with(catalog, asked.name)]
        if slices:
            return slices
    wanted = {chip.name for chip in chips}
    bundled = [
        Choice(asked, machine)
        for machine in catalog.machine_types(cloud).values()
        if machine.chip and machine.chip.name in wanted
    ]
    return [*bundled, *(_attached(asked, wanted, catalog) if cloud == GCP else ())]


def _attached(asked: Asked, wanted: set[str], catalog: Catalog) -> list[Choice]:
    """Return N1 machines with GPUs attached: of each count the smallest machine that does not starve them."""
    names = {name for name, chip in api_names(catalog.chips.values(), GCP).items() if chip.name in wanted}
    sizes = sorted(
        (machine for name, machine in catalog.machine_types(GCP).items() if name.startswith(N1)),
        key=lambda machine: machine.vcpus,
    )
    found = []
    for name in sorted(each for each in names if not each.endswith("-vws")):
        for rule in attach_rules(GCP).get(name, []):
            fitting = [each for each in sizes if rule.allows(each) and each.vcpus >= N1_VCPUS_PER_GPU * rule.count]
            if fitting and not rule.only_in:
                found.append(Choice(asked, attach(catalog, fitting[0], name, rule.count), name))
    return found


def _smallest_first(choice: Choice) -> tuple[int, int, int, int, str]:
    hosts = choice.slice.hosts if choice.slice else 1
    return (choice.count, hosts, choice.machine.vcpus, choice.machine.memory_mib, choice.name)


def _best_first(choice: Choice, catalog: Catalog) -> tuple[object, ...]:
    """Return by what choices are sorted: the smallest first; of machines alike, the one that more regions have."""
    *size, name = _smallest_first(choice)
    return (*size, 0 if choice.slice else -len(catalog.where(choice.machine).regions), name)


def _why_not(cloud: str, choice: Choice) -> str | None:
    """Return why the cloud does not offer it any more; None where it does."""
    for row in rows_of(PASSED_OVER):
        if row["cloud"] == cloud and (choice.name.startswith(row["name"]) or choice.guest == row["name"]):
            return str(row["because"])
    return None


def _refuse_other_system(choice: Choice) -> None:
    """Refuse what does not go with the head that the file has.

    Raises:
        StarterError: Cloud TPU does not create such slices, or their hosts have another Ubuntu, and so Python.
    """
    if choice.slice is None:
        return
    if not choice.slice.config_type or default_image(choice.machine, of_slice=True) is None:
        machine = default_image(choice.machine)
        other = f" ({machine.note})" if machine and machine.note and machine.kind is not ImageKind.NONE else ""
        raise StarterError(
            f"{choice.name}: the Cloud TPU API does not create this generation; write its node type yourself, as "
            f"machineType: {choice.machine.name}{other}"
        )


def _nowhere(asked: Asked, chips: Sequence[Chip], cloud: str, catalog: Catalog) -> str:
    elsewhere = [
        f"{other} has it: {_some(_candidates(asked, chips, other, catalog))}"
        for other in catalog.clouds
        if other != cloud and _candidates(asked, chips, other, catalog)
    ]
    return f"--accelerator {asked.text}: no machine type of {cloud} has it" + "".join(f"; {each}" for each in elsewhere)


def _too_many(asked: Asked, every: Iterable[Choice], cloud: str) -> str:
    """Return the sentence with the largest counts that there are, each with a machine that has it."""
    by_count = {each.count: each for each in sorted(every, key=_smallest_first, reverse=True)}
    largest = sorted(by_count)[-COUNTS:]
    counts = ", ".join(f"{count} ({by_count[count].name})" for count in largest)
    return (
        f"--accelerator {asked.text}: no machine of {cloud} has so many; it comes in {counts}; ask for several "
        "machines (--max-workers)"
    )


def _some(found: Iterable[Choice]) -> str:
    names = [each.name for each in sorted(found, key=_smallest_first)]
    return ", ".join(names[:ALTERNATIVES]) + (" and more" if len(names) > ALTERNATIVES else "")
