"""Computes the promise of a group from its limits, its selectors and the catalog. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from accel_scaling._ray.facts import (
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
from accel_scaling.kuberay import templates
from accel_scaling.kuberay.advice import also_parts, not_named
from accel_scaling.kuberay.by_hand import chips_by_hand, narrowed, types_by_hand
from accel_scaling.kuberay.candidates import Candidates, agreed, candidates, machines_named, mig_profiles
from accel_scaling.kuberay.devices import devices_of
from accel_scaling.kuberay.other_devices import share_note, shared_by, uncounted, uncounted_notes
from accel_scaling.kuberay.selectors import chips_of, open_selectors, terms_of, tpu_keys
from accel_scaling.yaml_text import nodes as yt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from accel_scaling.catalog.lookup import Catalog
    from accel_scaling.catalog.model import Chip
    from accel_scaling.catalog.tpu_slices import TpuSlice
    from accel_scaling.fill.promise import Promise
    from accel_scaling.kuberay.devices import Devices
    from accel_scaling.kuberay.group import Group
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
        left_open: what a template leaves open and something that is not promised depends on; a note has it, too.
    """

    resources: dict[str, int] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    derived: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    trouble: str = ""
    left_open: tuple[str, ...] = ()


def propose(group: Group, catalog: Catalog) -> Proposal:
    """Return the promise of a group.

    Args:
        group: a group of a manifest.
        catalog: the machine types and accelerators.
    """
    terms, devices = terms_of(group), devices_of(group)
    labels = _place(terms, catalog)
    proposal = _by_devices(group, terms, devices, labels, catalog)
    places = [item for term in terms for item in term.left_open if item.label.says in _OF_PLACE]
    left_open = tuple(dict.fromkeys((*proposal.left_open, *map(str, places))))
    notes = (*proposal.notes, templates.note(left_open)) if left_open else proposal.notes
    return replace(proposal, notes=notes, left_open=left_open)


def _by_devices(
    group: Group, terms: Sequence[Term], devices: Sequence[Devices], labels: dict[str, str], catalog: Catalog
) -> Proposal:
    if group.limits_are_open:
        return Proposal(labels=labels, left_open=(_open_limits(group), *open_selectors(group, terms)))
    if len(devices) != 1 or not devices[0].amount:
        uncounted_devices = uncounted_notes(group, _types_named(terms, catalog))
        notes = () if uncounted(group) and not devices else _without_devices(terms, devices)
        proposal = Proposal(labels=labels, notes=(*notes, *uncounted_devices))
        return _by_hand_alone(group, proposal, catalog) if uncounted(group) else proposal
    (device,) = devices
    of_devices = _of_devices(group, terms, device, catalog)
    return replace(
        of_devices,
        labels={**of_devices.labels, **labels},
        notes=(*of_devices.notes, *(uncounted_notes(group) if uncounted(group) else ())),
    )


def _by_hand_alone(group: Group, proposal: Proposal, catalog: Catalog) -> Proposal:
    """Add the types and labels of the accelerator that the user names for devices that are not counted here."""
    chip = agreed(chips_by_hand(group, None, catalog))
    if chip is None:
        return proposal
    promised = promise_for_devices(chip, 1)
    types = {name: amount for name, amount in promised.resources.items() if name != chip.resource}
    return replace(proposal, resources=types, labels={**promised.labels, **proposal.labels})


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


def _open_limits(group: Group) -> str:
    resources = yt.at(group.container, "resources")
    limits = yt.at(resources, "limits")
    return f"limits: {templates.shown(limits)}" if limits is not None else f"resources: {templates.shown(resources)}"


def _without_devices(terms: Sequence[Term], devices: Sequence[Devices]) -> tuple[str, ...]:
    if len(devices) > 1:
        names = " and ".join(item.name for item in devices)
        return (f"its limits have {names}; a Ray node has accelerators of one family, so nothing is promised for them",)
    chip = next((item for term in terms for item in term.of(Says.CHIP)), None)
    if chip is None or any(map(tpu_keys, terms)):  # `check` says that of TPUs
        return ()
    return (f"it selects nodes by {chip}, but its limits have no such device: its pods get none",)


def _of_devices(group: Group, terms: Sequence[Term], devices: Devices, catalog: Catalog) -> Proposal:
    result = candidates(terms, devices, catalog)
    if result.trouble:
        return Proposal(trouble=result.trouble)
    # What is left open may make parts of them, or shared ones.
    if any(item.label.says in (Says.MIG, Says.SHARING) for term in terms for item in term.left_open):
        count = {} if devices.is_open else {devices.resource.resource: devices.amount}
        return replace(_split(devices, count, {}), left_open=tuple(open_selectors(group, terms)))
    profiles: set[str | None] = {None}
    if devices.resource.family == "nvidia":
        profiles = mig_profiles(terms, devices)
    # The type of a whole GPU would be wrong for a partition: a task for it may need all of its memory.
    if profiles != {None}:
        return _partitions(group, devices, profiles)
    by_hand = chips_by_hand(group, devices, catalog)
    family_chips = [chip for chip in catalog.chips.values() if chip.family == devices.resource.family]
    named = result.chips or tuple(by_hand)
    considered = narrowed(named, by_hand) if agreed(named) else named or tuple(family_chips)
    chip, units = agreed(considered), _units(devices, considered)
    if chip is None or units is None:
        return _count_alone(group, terms, devices, result, units=units, catalog=catalog)
    reason = shared_by(group, terms)
    whole = promise_for_devices(chip, units)
    if reason and not types_by_hand(group):
        return _shared(devices, chip, units, reason)
    proposal = _whole(group, terms, devices, result, promised=whole, catalog=catalog)
    return _without_count(proposal, devices) if devices.is_open else proposal


def _partitions(group: Group, devices: Devices, profiles: set[str | None]) -> Proposal:
    """Return the promise of MIG partitions; no profile where there may be several, or whole GPUs as well."""
    if len(profiles) == 1:
        (profile,) = profiles
        proposal = _split(devices, {"GPU": devices.amount}, {f"mig-{profile}": devices.amount})
        return _without_count(proposal, devices) if devices.is_open else proposal
    names = " or ".join(sorted(f"mig-{profile}" if profile else "whole GPUs" for profile in profiles))
    note = f"its pods may get {names}, but a group promises one kind, so no type is promised; make a group for each"
    return replace(_split(devices, {"GPU": devices.amount}, {}), notes=() if types_by_hand(group) else (note,))


def _count_alone(
    group: Group,
    terms: Sequence[Term],
    devices: Devices,
    result: Candidates,
    *,
    units: int | None,
    catalog: Catalog,
) -> Proposal:
    """Return the promise of devices whose type is not known."""
    promised = {devices.resource.resource: units} if units and not devices.is_open else {}
    count = _split(devices, promised, {})
    left_open = open_selectors(group, terms)
    left_open += [f"{devices.name}: {devices.text}"] if devices.is_open and not devices.resource.ray_derives else []
    if left_open:
        return replace(count, left_open=tuple(left_open))
    # `check` says which of the two selectors is missing; a type of the user's needs no advice on how to give one.
    if (any(map(tpu_keys, terms)) and not result.named) or (units and types_by_hand(group) and not result.named):
        return count
    return replace(count, notes=(not_named(result, devices, catalog, complete=not count.resources),))


def _without_count(proposal: Proposal, devices: Devices) -> Proposal:
    """Leave out what depends on a number of devices that a template leaves open."""
    drop = {devices.resource.resource} | {name for name in proposal.resources if name.startswith("mig-")}
    resources = {name: amount for name, amount in proposal.resources.items() if name not in drop}
    lost = (f"{devices.name}: {devices.text}",) if drop & proposal.resources.keys() else ()
    return replace(proposal, resources=resources, derived={}, left_open=(*proposal.left_open, *lost))


def _shared(devices: Devices, chip: Chip, units: int, reason: str) -> Proposal:
    """Return the count without a type: a task for the type of a whole device may need all of its memory."""
    count = _split(devices, {} if devices.is_open else {devices.resource.resource: units}, {})
    return replace(count, notes=(share_note(reason, accelerator_types(chip)),))


def _whole(
    group: Group, terms: Sequence[Term], devices: Devices, result: Candidates, *, promised: Promise, catalog: Catalog
) -> Proposal:
    """Return the promise for whole devices of one type; for TPUs, of their slice."""
    resource = devices.resource.resource
    types = {name: amount for name, amount in promised.resources.items() if name != resource}
    whole = _split(devices, {resource: promised.resources[resource]}, types)
    notes = (also_parts(result),) if result.parts else ()
    base = Proposal(whole.resources, promised.labels, whole.derived, notes)
    if devices.resource.family != "tpu":
        return base
    if any(item.label.says is Says.TOPOLOGY for term in terms for item in term.left_open):
        return replace(base, left_open=tuple(open_selectors(group, terms)))
    tpu = slice_of(terms, result.chips, catalog)
    # With another number of chips the selectors name another slice than the pods get; `check` reports it.
    if tpu is None or tpu.chips % devices.amount:
        return base
    # What a template leaves open is such that the chips are those of the slice.
    hosts = group.hosts or (None if devices.is_open else tpu.chips // devices.amount)
    if devices.is_open or (hosts and devices.amount * hosts == tpu.chips):
        return _of_slice(base, tpu, terms, hosts=hosts)
    return base


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


def _of_slice(base: Proposal, tpu: TpuSlice, terms: Sequence[Term], *, hosts: int | None) -> Proposal:
    """Add the labels of a TPU slice; the host's number and the head resource only where it has one host."""
    labels = {**base.labels, LABEL_TPU_TOPOLOGY: tpu.topology, LABEL_TPU_POD_TYPE: tpu.pod_type}
    if hosts is None:
        return replace(base, labels=labels, left_open=(*base.left_open, "numOfHosts"))
    if hosts > 1:
        return replace(base, labels=labels)
    labels[LABEL_TPU_WORKER_ID] = "0"
    head = {tpu_head_resource(tpu.pod_type): 1}
    # Ray derives the head resource from the nodeSelector alone; for an affinity it must be written.
    if all(requirement.in_selector for term in terms for requirement in term.of(*_TPU)):
        return replace(base, labels=labels, derived={**base.derived, **head})
    return replace(base, labels=labels, resources={**base.resources, **head})


_OF_PLACE = (Says.MARKET, Says.REGION, Says.ZONE)
_TPU = (Says.CHIP, Says.TOPOLOGY)  # what Ray reads in the nodeSelector, and only there
