"""Sentences that say how to name the accelerator of a group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling.catalog.kubernetes import Says, node_labels
from accel_scaling.fill.promise import accelerator_types
from accel_scaling.kuberay.candidates import machines_named
from accel_scaling.kuberay.selectors import LabelRequirement, chips_of

if TYPE_CHECKING:
    from accel_scaling.catalog.lookup import Catalog
    from accel_scaling.kuberay.candidates import Candidates
    from accel_scaling.kuberay.devices import Devices


def not_named(result: Candidates, devices: Devices, catalog: Catalog, *, complete: bool) -> str:
    """Return the note on devices of which nothing tells the one accelerator.

    Args:
        result: the accelerators that they may be.
        devices: the devices.
        catalog: the accelerators, for an example.
        complete: whether nothing at all is promised for them.
    """
    what = "not filled" if complete else "no accelerator_type is promised"
    if result.named:
        names = " or ".join(chip.name for chip in result.chips)
        return f"{what}: its pods may get {names}, but a group promises one type; make a group for each"
    resource = devices.resource
    derived = f", and Ray's autoscaler counts it as {resource.resource} alone" if resource.ray_derives else ""
    selectors = f", or add a nodeSelector that its nodes have, such as {', or '.join(resource.select_by)}"
    # Without the number, so groups with other numbers have the same note, which is then printed once.
    return (
        f"{what}: {devices.name} does not name the accelerator{derived}; name it in the group, such as resources: "
        f'{{"accelerator_type:{_example(devices, catalog)}": "1"}} (before KubeRay 1.5 or Ray 2.51: rayStartParams)'
        + (selectors if resource.select_by else "")
    )


def _example(devices: Devices, catalog: Catalog) -> str:
    """Return the type that the first proposed selector names; of a family without one, its first chip's."""
    if not devices.resource.select_by:
        chips = [chip for chip in catalog.chips.values() if chip.family == devices.resource.family]
        return next((accelerator_types(chip)[-1] for chip in chips if accelerator_types(chip)), "NAME")
    key, _, value = devices.resource.select_by[0].partition(": ")
    label = node_labels()[key]
    named = LabelRequirement(label, (value,), 0, in_selector=True)
    if label.says is Says.MACHINE:
        chips = [machine.chip for machine in machines_named(named, catalog) or () if machine.chip]
    else:
        chips = chips_of(label.names, value, catalog)
    # The variant, where there is one: `aws-neuron-core` alone does not tell how many cores a device has.
    return next((accelerator_types(chip)[-1] for chip in chips if accelerator_types(chip)), "NAME")


def also_parts(result: Candidates) -> str:
    """Return the note on machine types with a part of the device, which the same name selects."""
    names = ", ".join(result.parts)
    return (
        f"{result.parts_of} selects {names} too, whose GPU is a part of one; to select whole ones only, exclude "
        f"{result.parts_out}, or select the machine types as well"
    )
