"""Rules for accelerators, beyond the form of one entry; used as those of machines.py."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.catalog.suggest import hint
from accel_scaling.catalog_lint.machines import Checked, Wrong
from accel_scaling.families.built_in import nvidia
from accel_scaling.families.registry import built_in
from accel_scaling.message_text import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from accel_scaling.catalog.model import Chip

TO_FILL_IN = "<"  # begins what a refresh leaves to a person


def nothing_is_left_to_fill_in(checked: Checked) -> Iterator[Wrong]:
    """No mark "<...>" of `catalog refresh` is left: the cloud's API does not know it, so a person must write it."""
    for chip in _own(checked):
        values = [("driver_names", name) for name in chip.driver_names]
        for field, value in (*values, ("because", chip.because), ("source", chip.source)):
            if value and value.startswith(TO_FILL_IN):
                yield Wrong(chip, field, f"{chip.name}: {field} is still {value}; expected what it describes")


def a_family_is_known(checked: Checked) -> Iterator[Wrong]:
    """The family is one that has a probe; that of a plug-in has a resource of its own."""
    taken = {chip.resource for chip in checked.chips.values() if chip.family in checked.chip_families}
    for chip in _own(checked):
        if chip.family not in checked.chip_families:
            known = sorted(checked.chip_families)
            text = f"family is {chip.family}; expected {', '.join(known)}, or a plug-in's{hint(chip.family, known)}"
            yield Wrong(chip, "family", f"{chip.name}: {text}", may_be=chip.resource not in taken)


def the_type_is_what_ray_detects(checked: Checked) -> Iterator[Wrong]:
    """The promise is the type that Ray makes of the driver's name on the node: by Ray's own rule, if installed."""
    named = {family.name for family in built_in() if family.type_of_name}
    rules = _rules() if any(chip.family in named for chip in _own(checked)) else {}  # it may import ray
    for chip in _own(checked):
        rule = rules.get(chip.family)
        for name in chip.driver_names if rule else ():
            detected = rule(name) if rule else None
            if chip.partition_of is None and chip.detected_type != detected and not name.startswith(TO_FILL_IN):
                text = f"detected_type is {chip.detected_type}; expected {detected}, which Ray makes of {shown(name)}"
                yield Wrong(chip, "detected_type", f"{chip.name}: {text}")
            elif chip.partition_of is not None and chip.variant == detected:
                text = (
                    f"variant is {chip.variant}, which Ray makes of {shown(name)}; expected a name of the slice alone"
                )
                yield Wrong(chip, "variant", f"{chip.name}: {text}")


def a_family_has_one_resource(checked: Checked) -> Iterator[Wrong]:
    """One driver announces one Ray resource: all accelerators of a family have the same."""
    shipped = {chip.family: chip for chip in checked.chips.values() if chip.name not in checked.own}
    for chip in _own(checked):
        other = shipped.setdefault(chip.family, chip)  # of a family that does not ship, the file's first one decides
        if other.resource != chip.resource:
            text = f"resource is {chip.resource}; expected {other.resource}, as of {other.name} of the same family"
            yield Wrong(chip, "resource", f"{chip.name}: {text}")


def a_tpu_chip_is_one_unit(checked: Checked) -> Iterator[Wrong]:
    """Ray's resource TPU counts chips, not their cores; the topology of a slice does, too."""
    for chip in _own(checked):
        if chip.family == "tpu" and chip.units_per_device != 1:
            text = f"units_per_device is {chip.units_per_device}; expected 1, as Ray counts the chips of a TPU"
            yield Wrong(chip, "units_per_device", f"{chip.name}: {text}")


def a_slice_has_less_memory_than_its_whole(checked: Checked) -> Iterator[Wrong]:
    """A slice is a part of a device."""
    for chip in _own(checked):
        whole = checked.chips.get(chip.partition_of or "")
        if whole and chip.memory_mib and whole.memory_mib and chip.memory_mib >= whole.memory_mib:
            text = f"memory_mib is {chip.memory_mib}; expected less than {whole.memory_mib}, that of {whole.name}"
            yield Wrong(chip, "memory_mib", f"{chip.name}: {text}")


def a_drivers_name_means_one_chip(checked: Checked) -> Iterator[Wrong]:
    """By the driver's name a node tells which accelerator it has: no two may share one."""
    for chip, other, name in _shared(checked, lambda chip: chip.driver_names):
        text = f"driver_names has {shown(name)}, which {other.name} has too; expected a name of one accelerator"
        yield Wrong(chip, "driver_names", f"{chip.name}: {text}")


def a_pci_id_means_one_chip_or_says_why_not(checked: Checked) -> Iterator[Wrong]:
    """By the id on the bus a node tells what it has without a driver: sharing one is declared, or a slice's."""
    for chip, other, pci_id in _shared(checked, lambda chip: chip.pci_ids):
        sliced = {chip.partition_of or chip.name} == {other.partition_of or other.name}
        # A reason counts that has the device's half of the id, or speaks of the PCI id.
        words = (pci_id.partition(":")[2], "PCI id")
        declared = any(word in (sharer.because or "") for sharer in (chip, other) for word in words)
        if not sliced and not declared:
            text = f"pci_ids has {pci_id}, which {other.name} has too; expected a `because` that says so"
            yield Wrong(chip, "pci_ids", f"{chip.name}: {text}")


def an_apis_name_can_be_told_apart(checked: Checked) -> Iterator[Wrong]:
    """Accelerators with one name in a cloud's API (A100) differ in their memory, by which a refresh tells them."""
    clouds = {cloud for chip in checked.chips.values() for cloud in chip.api_names}
    for cloud in sorted(clouds):
        for chip, other, name in _shared(checked, lambda chip: chip.api_names.get(cloud, ())):  # noqa: B023 - used here
            same = chip.memory_mib is None or chip.memory_mib == other.memory_mib
            if same and chip.partition_of == other.partition_of:
                text = (
                    f"api_names has {shown(name)} of {cloud}, as {other.name}; expected a memory_mib that tells them "
                    "apart"
                )
                yield Wrong(chip, "api_names", f"{chip.name}: {text}")


def what_is_surprising_says_why(checked: Checked) -> Iterator[Wrong]:
    """A reason names its source; of what ships, a slice, and a chip without a type of Ray's, has a reason."""
    shipped = shipped_catalog().chips
    for chip in _own(checked):
        if chip.because and not chip.source:
            yield Wrong(chip, "source", f"{chip.name}: because is there without source; expected who says so")
        if chip.name in shipped and not chip.because and (chip.partition_of or not chip.detected_type):
            yield Wrong(chip, "because", f"{chip.name}: because is missing; expected why Ray has no type for it")


CHIP_RULES: tuple[Callable[[Checked], Iterator[Wrong]], ...] = (
    nothing_is_left_to_fill_in,
    a_family_is_known,
    the_type_is_what_ray_detects,
    a_family_has_one_resource,
    a_tpu_chip_is_one_unit,
    a_slice_has_less_memory_than_its_whole,
    a_drivers_name_means_one_chip,
    a_pci_id_means_one_chip_or_says_why_not,
    an_apis_name_can_be_told_apart,
    what_is_surprising_says_why,
)


def _rules() -> Mapping[str, Callable[[str], str | None]]:
    """Return what Ray makes of a driver's name, by family; for NVIDIA Ray's own function where Ray is installed."""
    rules = {family.name: family.type_of_name for family in built_in() if family.type_of_name}
    if importlib.util.find_spec("ray"):
        from accel_scaling import _ray

        rules[nvidia.FAMILY.name] = _ray.nvidia_type_reader()
    return rules


def _own(checked: Checked) -> Iterator[Chip]:
    return (checked.chips[name] for name in checked.own)


def _shared(checked: Checked, values: Callable[[Chip], Iterable[str]]) -> Iterator[tuple[Chip, Chip, str]]:
    """Yield each chip of ours with another chip that has a value of it, and the value; each pair once."""
    having: dict[str, list[Chip]] = {}
    for chip in checked.chips.values():
        for value in values(chip):
            having.setdefault(value, []).append(chip)
    own = set(checked.own)
    for value, chips in having.items():
        # The mistake is reported for a checked accelerator, not of the one that was there before.
        first = next((chip for chip in chips if chip.name not in own), chips[0])
        for chip in chips:
            if chip.name in own and chip.name != first.name:
                yield chip, first, value
