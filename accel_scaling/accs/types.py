"""The accelerator types that nodes announce, with the Ray resource and the node label by which a task asks for one."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

from accel_scaling.errors import AskingError
from accel_scaling.message_text import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from accel_scaling.catalog.model import Chip


class Announcement(NamedTuple):
    """The announcement of nodes for one accelerator type.

    Attributes:
        resource: the Ray resource of its devices.
        label: the node label whose value is the type.
    """

    resource: str
    label: str


class AcceleratorTypes:
    """The accelerator types of a catalog's chips.

    Attributes:
        chips: the chips by name.
        types: the announcements of nodes with them, by the type's name.
    """

    def __init__(self, chips: Mapping[str, Chip]) -> None:
        from accel_scaling._ray.facts import LABEL_ACCELERATOR_TYPE
        from accel_scaling.fill.promise import LABEL_VARIANT, accelerator_types

        self.chips = chips
        self.types: dict[str, Announcement] = {}
        for chip in chips.values():
            for position, name in enumerate(accelerator_types(chip)):
                # The first name is what Ray's own label has; a second one, the exact variant, has ours.
                label = LABEL_VARIANT if position else LABEL_ACCELERATOR_TYPE
                self.types.setdefault(name, Announcement(chip.resource, label))

    def resource_of(self, types: Iterable[str]) -> str:
        """Return the Ray resource that counts all of these accelerator types.

        Raises:
            AskingError: a type that no node announces, with the nearest names; or types of several resources.
        """
        resources: dict[str, str] = {}
        for name in types:
            if name not in self.types:
                raise AskingError(self._unknown(name))
            resources.setdefault(self.types[name].resource, name)
        if len(resources) > 1:
            counted_as = " and ".join(f"{name} as {resource}" for resource, name in resources.items())
            raise AskingError(
                f"accelerator_type names types that Ray counts as different resources: {counted_as}; list types of one"
            )
        return next(iter(resources))

    def resources(self) -> frozenset[str]:
        """Return the Ray resources by which accelerators are counted."""
        return frozenset(chip.resource for chip in self.chips.values())

    def spelt(self, name: str) -> str:
        """Return a type as nodes announce it, where only its upper and lower case differ; else unchanged."""
        alike = self._alike(name)
        return alike.pop() if name not in self.types and len(alike) == 1 else name

    def _alike(self, name: str) -> set[str]:
        fold = name.strip().casefold()
        return {other for other in self.types if other.casefold() == fold}

    def _unknown(self, name: str) -> str:
        from accel_scaling.catalog.product_names import Names
        from accel_scaling.catalog.suggest import hint

        named = (chip.variant or chip.detected_type for chip in Names(self.chips.values()).meant(name))
        meant = self._alike(name) or {type_ for type_ in named if type_}
        if meant:
            return f"no node announces accelerator_type {shown(name)}; did you mean {' or '.join(sorted(meant))}?"
        return (
            f"no node announces accelerator_type {shown(name)}{hint(name, self.types)}; `accel-scaling "
            "catalog find` lists "
            "all types; a type of your own needs a catalog or a plug-in that defines it"
        )


@functools.cache
def local_types() -> AcceleratorTypes:
    """Return the types of this machine's catalog: shipped, from plug-ins, and from the user's own files.

    Raises:
        CatalogFileError: one of the user's files is wrong.
    """
    from accel_scaling.families.catalog import chips_here

    return AcceleratorTypes(chips_here())
