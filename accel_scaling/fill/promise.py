"""The promise: what Ray is told about a node before any machine exists. Pure functions of (catalog row, node type)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from accel_scaling._ray.facts import (
    ACCELERATOR_TYPE_PREFIX,
    LABEL_ACCELERATOR_TYPE,
    LABEL_TPU_POD_TYPE,
    LABEL_TPU_TOPOLOGY,
    LABEL_TPU_WORKER_ID,
    OBJECT_STORE_PROPORTION,
    tpu_head_resource,
)

if TYPE_CHECKING:
    from accel_scaling.catalog.model import Chip, MachineType
    from accel_scaling.catalog.tpu_slices import TpuSlice

BYTES_PER_MIB = 1024 * 1024

LABEL_VARIANT = "accel-scaling.io/accelerator-variant"
LABEL_INSTANCE_TYPE = "accel-scaling.io/instance-type"


@dataclass(frozen=True)
class Promise:
    """The resources and labels that a node of one type will announce.

    Attributes:
        resources: Ray's resource names to whole numbers; ``memory`` is in bytes.
        labels: Ray node labels.
        notes: sentences for the user, e.g. where their own ``resources:`` contradict the catalog.
        not_held: why a node will not hold the promise, by the catalog; empty where it will.
        joins_with: accelerators of which a node has fewer than is promised, and joins anyway.
        false_labels: labels of the user's that name another accelerator, with the catalog's value; None for none.
    """

    resources: dict[str, int] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    not_held: str = ""
    joins_with: dict[str, int] = field(default_factory=dict)
    false_labels: dict[str, str | None] = field(default_factory=dict)


def without_machine(promised: Promise) -> Promise:
    """Return a promise that names no machine type: of a list, only the machine that came knows its own."""
    labels = {key: value for key, value in promised.labels.items() if key != LABEL_INSTANCE_TYPE}
    return replace(promised, labels=labels)


def accelerator_types(chip: Chip) -> tuple[str, ...]:
    """Return the types that a node with this chip announces: what Ray detects, then the exact variant.

    A partition announces its variant only: a task that asks for ``L4`` must not be given an eighth of one.
    """
    names = (None if chip.partition_of else chip.detected_type, chip.variant)
    # A dict keeps the order and drops the second where Ray's type and the variant are one word.
    return tuple(dict.fromkeys(name for name in names if name))


def promise_for(machine: MachineType, *, head: bool = False) -> Promise:
    """Return what a node of this machine type announces.

    Args:
        machine: a row of the catalog.
        head: the head node; Ray leaves its memory to detection on the node, and so do we.
    """
    resources = {"CPU": machine.vcpus}
    if not head:
        # As Ray computes it: the rest of the memory is for the object store.
        resources["memory"] = int(machine.memory_mib * BYTES_PER_MIB * (1 - OBJECT_STORE_PROPORTION))
    labels = {LABEL_INSTANCE_TYPE: machine.name}
    if machine.chip is not None:
        devices = promise_for_devices(machine.chip, machine.count * machine.chip.units_per_device)
        resources |= devices.resources
        labels |= devices.labels
    return Promise(resources, labels)


def promise_for_devices(chip: Chip, units: int) -> Promise:
    """Return what a node announces for its accelerators alone.

    Args:
        chip: the accelerator.
        units: how many units of its Ray resource the node has.
    """
    types = accelerator_types(chip)
    # The label takes one value: the type that Ray detects, where there is one.
    labels = {LABEL_ACCELERATOR_TYPE: types[0]} if types else {}
    if chip.variant:
        labels[LABEL_VARIANT] = chip.variant
    return Promise({chip.resource: units, **{ACCELERATOR_TYPE_PREFIX + name: 1 for name in types}}, labels)


def of_slice(promised: Promise, tpu_slice: TpuSlice) -> Promise:
    """Return the promise of one host of a slice.

    Every host of the slice is told the same, as Ray exports it. The host's number is promised as 0 so that
    ``ray.util.tpu``'s reservation, which asks for host 0, can be met by a slice that does not exist yet. On each
    host the start hook puts the real number in its place, and drops the head resource on all but host 0.

    Args:
        promised: the promise of the host as a machine.
        tpu_slice: the slice.
    """
    labels = {
        LABEL_INSTANCE_TYPE: tpu_slice.accelerator_type,
        LABEL_TPU_TOPOLOGY: tpu_slice.topology,
        LABEL_TPU_POD_TYPE: tpu_slice.pod_type,
        LABEL_TPU_WORKER_ID: "0",
    }
    resources = {**promised.resources, tpu_head_resource(tpu_slice.pod_type): 1}
    return Promise(resources, {**promised.labels, **labels}, promised.notes)
