"""The accelerator types that nodes announce, and what a task asks for to get one: a Ray resource and a node label."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

from accel_scaling.errors import AskingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from accel_scaling.catalog.model import Chip


class Announced(NamedTuple):
    """What nodes say of one accelerator type.

    Attributes:
        resource: the Ray resource of its devices.
        label: the node label whose value is the type.
    """

    resource: str
    label: str


class Known:
    """The accelerator types that a machine's chips are announced as.

    Attributes:
        chips: the chips by name.
        types: what nodes with them announce, by the type's name.
    """

    def __init__(self, chips: Mapping[str, Chip]) -> None:
        from accel_scaling._ray.facts import LABEL_ACCELERATOR_TYPE
        from accel_scaling.fill.promise import LABEL_VARIANT, accelerator_types

        self.chips = chips
        self.types: dict[str, Announced] = {}
        for chip in chips.values():
            for position, name in enumerate(accelerator_types(chip)):
                label = LABEL_VARIANT if position else LABEL_ACCELERATOR_TYPE
                self.types.setdefault(name, Announced(chip.resource, label))

    def resource_of(self, types: Iterable[str]) -> str:
        """Return the Ray resource that all of these accelerator types are counted as.

        Raises:
            AskingError: a type that no node announces, with what may be meant; or types of several resources.
        """
        resources: dict[str, str] = {}
        for name in types:
            if name not in self.types:
                raise AskingError(self._unknown(name))
            resources.setdefault(self.types[name].resource, name)
        if len(resources) > 1:
            said = " and ".join(f"{name} as {resource}" for resource, name in resources.items())
            raise AskingError(
                f"accelerator_type names types that Ray counts as different resources: {said}; list types of one"
            )
        return next(iter(resources))

    def spelt(self, name: str) -> str:
        """Return a type as nodes announce it where only its case is another, and one type is meant; else as it is."""
        alike = self._alike(name)
        return alike.pop() if name not in self.types and len(alike) == 1 else name

    def _alike(self, name: str) -> set[str]:
        fold = name.strip().casefold()
        return {each for each in self.types if each.casefold() == fold}

    def _unknown(self, name: str) -> str:
        from accel_scaling.catalog.aliases import aliases_of, types_of
        from accel_scaling.catalog.suggest import hint

        fold = name.strip().casefold()
        meant = self._alike(name) or {
            type_
            for chip in self.chips.values()
            if fold in {word.casefold() for word in (*types_of(chip), *aliases_of(chip))}
            for type_ in (chip.variant or chip.detected_type,)
            if type_
        }
        if meant:
            return f"no node announces accelerator_type {name!r}; what you mean is {' or '.join(sorted(meant))}"
        return (
            f"no node announces accelerator_type {name!r}{hint(name, self.types)}; `accel-scaling catalog find` lists "
            "every type, and one of your own needs a catalog or a plug-in that knows it"
        )


@functools.cache
def known_here() -> Known:
    """Return the types that this machine knows: of what ships, of plug-ins, and of the user's own catalogs.

    Raises:
        CatalogFileError: one of the user's files is wrong.
    """
    from accel_scaling.families.catalog import chips_here

    return Known(chips_here())
