"""The accelerator that the user names in the group itself: by a resource of its type, or by Ray's label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling._ray.facts import ACCELERATOR_TYPE_PREFIX, LABEL_ACCELERATOR_TYPE
from accel_scaling.fill.promise import LABEL_VARIANT, accelerator_types
from accel_scaling.kuberay.devices import whole
from accel_scaling.kuberay.user_values import user_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from accel_scaling.catalog.lookup import Catalog
    from accel_scaling.catalog.model import Chip
    from accel_scaling.kuberay.devices import Devices
    from accel_scaling.kuberay.group import Group


def types_by_hand(group: Group) -> list[str]:
    """Return the accelerator types that the user writes into a group."""
    user = user_values(group)
    of_resources = [
        name.removeprefix(ACCELERATOR_TYPE_PREFIX)
        for name, text in user.all_resources.items()
        if name.startswith(ACCELERATOR_TYPE_PREFIX) and whole(text) != 0
    ]
    of_labels = [user.all_labels[name] for name in (LABEL_ACCELERATOR_TYPE, LABEL_VARIANT) if name in user.all_labels]
    return list(dict.fromkeys([*of_resources, *of_labels]))


def chips_by_hand(group: Group, devices: Devices | None, catalog: Catalog) -> list[Chip]:
    """Return the accelerators that have every type of the user's; empty where none has.

    Args:
        group: the group.
        devices: its devices, of whose family they are; None for any family.
        catalog: the accelerators.
    """
    types = types_by_hand(group)
    chips = [chip for chip in catalog.chips.values() if devices is None or chip.family == devices.resource.family]
    return [chip for chip in chips if types and set(types) <= set(accelerator_types(chip))]


def families_of(type_name: str, catalog: Catalog) -> set[str]:
    """Return the families that have an accelerator of this type."""
    return {chip.family for chip in catalog.chips.values() if type_name in accelerator_types(chip)}


def narrowed(chips: Sequence[Chip], by_hand: Sequence[Chip]) -> tuple[Chip, ...]:
    """Return the chips that the user names among those of the selectors; all of them where none is named."""
    names = {chip.name for chip in by_hand}
    return tuple(chip for chip in chips if chip.name in names) or tuple(chips)
