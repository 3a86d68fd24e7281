"""Computes the promise of a group from its limits, its selectors and the catalog. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from accel_scaling._ray.facts import (
    ACCELERATOR_TYPE_PREFIX,
    LABEL_MARKET_TYPE,
    LABEL_REGION,
    LABEL_TPU_POD_TYPE,
    LABEL_TPU_TOPOLOGY,
    LABEL_TPU_WORKER_ID,
    LABEL_ZONE,
    tpu_head_resource,
)
from accel_scaling.catalog.kubernetes import Counts, Says
from accel_scaling.catalog.tpu_slices import slice_of_chip
from accel_scaling.errors import UnknownTpuError
from accel_scaling.fill.promise import LABEL_INSTANCE_TYPE, accelerator_types, promise_for_devices
from accel_scaling.kuberay.candidates import Candidates, agreed, candidates, machines_named, mig_profile
from accel_scaling.kuberay.manifest import devices_of, user_values
from accel_scaling.kuberay.other_devices import share_note, shared_by, uncounted, uncounted_notes
from accel_scaling.kuberay.selectors import chips_of, terms_of, tpu_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from accel_scaling.catalog.lookup import Catalog
    from accel_scaling.catalog.model import Chip
    from accel_scaling.catalog.tpu_slices import TpuSlice
    from accel_scaling.fill.promise import Promise
    from accel_scaling.kuberay.manifest import Devices, Group
    from accel_scaling.kuberay.selectors import Term


@dataclass(frozen=True)
class Proposal:
    """The promise of a group.

    Attributes:
        resources: Ray resources that Ray's autoscaler does not derive from the group.
        labels: Ray node labels.
        derived: Ray resources that it does derive.
        notes: sentences: why something is not promised, and what to add.
        trouble: why nothing is promised for its devices, where `check` finds the same; else empty.
    """

    resources: dict[str, int] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    derived: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    trouble: str = ""


def propose(group: Group, catalog: Catalog) -> Proposal:
    """Return the promise of a group.

    Args:
        group: a group of a manifest.
        catalog: the machine types and accelerators.
    """
    terms, devices = terms_of(group), devices_of(group)
    labels = _place(terms, catalog)
    if len(devices) != 1 or not devices[0].amount:
        uncounted_devices = uncounted_notes(group, _types_named(terms, catalog))
        notes = () if uncounted(group) and not devices else _without_devices(terms, devices)
        return Proposal(labels=labels, notes=(*notes, *uncounted_devices))
    (device,) = devices
    of_devices = _of_devices(group, terms, device, catalog)
    return replace(
        of_devices,
        labels={**of_devices.labels, **labels},
        notes=(*of_devices.notes, *(uncounted_notes(group) if uncounted(group) else ())),
    )


def _types_named(terms: Sequence[Term], catalog: Catalog) -> tuple[str, ...]:
    """Return the accelerator types of the one chip that the selectors name; none where they name none, or several."""
    chips = {
        chip.name: chip
        for term in terms
        for requirement in term.of(Says.CHIP)
        for value in requirement.values
        for chip in chips_of(requirement.label.names, value, catalog)
        if chip.partition_of is None
    }
    return accelerator_types(next(iter(chips.values()))) if len(chips) == 1 else ()


def slice_of(terms: Sequence[Term], chips: Sequence[Chip], catalog: Catalog) -> TpuSlice | None:
    """Return the TPU slice that the selectors name, None where they name none, or one that does not exist.

    Args:
        terms: the alternatives of the group's selectors.
        chips: the possible accelerators of its devices.
        catalog: the chip's catalog.
    """
    topologies = {term.only(Says.TOPOLOGY) for term in terms}
    topology = next(iter(topologies)) if len(topologies) == 1 else None
    if topology is None or len(chips) != 1:
        return None
    try:
        return slice_of_chip(catalog, chips[0].name, topology)
    except UnknownTpuError:
        return None


def _place(terms: Sequence[Term], catalog: Catalog) -> dict[str, str]:
    """Return the labels that all alternatives have in common: capacity type, region, zone and machine type."""
    labels = {
        LABEL_MARKET_TYPE: _same([market_of(term) for term in terms]),
        LABEL_REGION: _same([term.only(Says.REGION) for term in terms]),
        LABEL_ZONE: _same([term.only(Says.ZONE) for term in terms]),
        LABEL_INSTANCE_TYPE: _same([_machine_type(term, catalog) for term in terms]),
    }
    return {label: value for label, value in labels.items() if value}


def market_of(term: Term) -> str | None:
    """Return ``spot`` or ``on-demand`` where a term's labels name it; None where they do not, or contradict."""
    markets = {
        requirement.label.markets.get(value) for requirement in term.of(Says.MARKET) for value in requirement.values
    }
    return _same(list(markets))


def _machine_type(term: Term, catalog: Catalog) -> str | None:
    named = [machines_named(requirement, catalog) or [] for requirement in term.of(Says.MACHINE)]
    return named[0][0].name if len(named) == 1 and len(named[0]) == 1 else None


def _same(values: Sequence[str | None]) -> str | None:
    return values[0] if len(set(values)) == 1 else None


def _without_devices(terms: Sequence[Term], devices: Sequence[Devices]) -> tuple[str, ...]:
    if len(devices) > 1:
        names = " and ".join(item.name for item in devices)
        return (f"its limits have {names}; a Ray node has accelerators of one family, so nothing is promised for them",)
    chip = next((item for term in terms for item in term.of(Says.CHIP)), None)
    if chip is None or any(map(tpu_keys, terms)):  # `check` says that of TPUs
        return ()
    return (f"it selects nodes by {chip}, but its limits have no such device: its pods get none",)


def _of_devices(group: Group, terms: Sequence[Term], devices: Devices, catalog: Catalog) -> Proposal:
    device_resource = devices.resource
    result = candidates(terms, devices, catalog)
    if result.trouble:
        return Proposal(trouble=result.trouble)
    profile = mig_profile(terms, devices) if device_resource.family == "nvidia" else None
    # The type of a whole GPU would be wrong for a partition: a task for it may need all of its memory.
    if profile:
        return _split(devices, {"GPU": devices.amount}, {f"mig-{profile}": devices.amount})
    family_chips = [chip for chip in catalog.chips.values() if chip.family == device_resource.family]
    considered = result.chips or tuple(family_chips)
    chip, units = agreed(considered), _units(devices, considered)
    if chip is None or units is None:
        promised_count = _split(devices, {device_resource.resource: units} if units else {}, {})
        if any(map(tpu_keys, terms)) and not result.named:  # `check` says which of the two selectors is missing
            return Proposal(promised_count.resources, {}, promised_count.derived)
        return Proposal(
            promised_count.resources,
            {},
            promised_count.derived,
            (_unknown(result, devices, complete=not promised_count.resources),),
        )
    if reason := shared_by(group, terms):
        return _shared(group, devices, chip, units, reason)
    return _whole(group, terms, devices, result, promised=promise_for_devices(chip, units), catalog=catalog)


def _shared(group: Group, devices: Devices, chip: Chip, units: int, reason: str) -> Proposal:
    """Return the count without a type: a task for the type of a whole device may need all of its memory."""
    own = any(name.startswith(ACCELERATOR_TYPE_PREFIX) for name in user_values(group).all_resources)
    notes = () if own else (share_note(reason, accelerator_types(chip)),)
    return replace(_split(devices, {devices.resource.resource: units}, {}), notes=notes)


def _whole(
    group: Group, terms: Sequence[Term], devices: Devices, result: Candidates, *, promised: Promise, catalog: Catalog
) -> Proposal:
    """Return the promise for whole devices of one type; for TPUs, of their slice."""
    resource = devices.resource.resource
    types = {name: amount for name, amount in promised.resources.items() if name != resource}
    whole = _split(devices, {resource: promised.resources[resource]}, types)
    notes = (_also_parts(result),) if result.parts else ()
    base = Proposal(whole.resources, promised.labels, whole.derived, notes)
    if devices.resource.family != "tpu":
        return base
    tpu = slice_of(terms, result.chips, catalog)
    # With another number of chips the selectors name another slice than the pods get; `check` reports it.
    fits = tpu is not None and devices.amount * group.hosts == tpu.chips
    return _of_slice(base, tpu, terms, hosts=group.hosts) if tpu and fits else base


def _split(devices: Devices, resources: dict[str, int], types: dict[str, int]) -> Proposal:
    """Return the device resource as derived where Ray derives it, together with the types."""
    if devices.resource.ray_derives:
        return Proposal(types, derived=resources)
    return Proposal({**resources, **types})


def _units(devices: Devices, chips: Sequence[Chip]) -> int | None:
    """Return the units of the Ray resource that the pod gets, None where that depends on the chip."""
    if devices.resource.counts is not Counts.DEVICES:
        return devices.amount
    per_device = {chip.units_per_device for chip in chips}
    return devices.amount * per_device.pop() if len(per_device) == 1 else None


def _unknown(result: Candidates, devices: Devices, *, complete: bool) -> str:
    what = "not filled" if complete else "no accelerator_type is promised"
    if result.named:
        names = " or ".join(chip.name for chip in result.chips)
        return f"{what}: its pods may get {names}, but a group promises one type; make a group for each"
    return (
        f"{what}: {devices.name}: {devices.text} does not name the accelerator; add a nodeSelector, such as "
        f"{', or '.join(devices.resource.select_by)}"
    )


def _also_parts(result: Candidates) -> str:
    names = ", ".join(result.parts)
    families = " and ".join(dict.fromkeys(name.partition(".")[0] for name in result.parts))
    return (
        f"{result.parts_of} selects {names} too, whose GPU is a part of one; to have whole ones alone, rule {families} "
        "out with a NotIn of karpenter.k8s.aws/instance-family, or select by instance-gpu-memory as well"
    )


def _of_slice(base: Proposal, tpu: TpuSlice, terms: Sequence[Term], *, hosts: int) -> Proposal:
    """Add the labels of a TPU slice; the host's number and the head resource only where it has one host."""
    labels = {**base.labels, LABEL_TPU_TOPOLOGY: tpu.topology, LABEL_TPU_POD_TYPE: tpu.pod_type}
    if hosts > 1:
        return replace(base, labels=labels)
    labels[LABEL_TPU_WORKER_ID] = "0"
    head = {tpu_head_resource(tpu.pod_type): 1}
    # Ray derives the head resource from the nodeSelector alone; for an affinity it must be written.
    if all(requirement.in_selector for term in terms for requirement in term.of(*_TPU)):
        return replace(base, labels=labels, derived={**base.derived, **head})
    return replace(base, labels=labels, resources={**base.resources, **head})


_TPU = (Says.CHIP, Says.TOPOLOGY)  # what Ray reads in the nodeSelector, and only there
