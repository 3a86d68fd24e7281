"""What accelerators are called: by their keys and types, and by the clouds and the drivers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling.catalog.suggest import hint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from accel_scaling.catalog.model import Chip


class Names:
    """The chips by every name of theirs.

    A type's name goes before a cloud's name for something else: EC2 calls a GB200 ``B200``, so B200 must not find it,
    and ``RTX PRO Server 6000`` must find the RTX-PRO-6000.
    """

    def __init__(self, chips: Iterable[Chip]) -> None:
        self._types: dict[str, list[Chip]] = {}
        self._aliases: dict[str, list[Chip]] = {}
        for chip in chips:
            for fold in {_fold(name) for name in types_of(chip)}:
                self._types.setdefault(fold, []).append(chip)
            for fold in {_fold(name) for name in aliases_of(chip)}:
                self._aliases.setdefault(fold, []).append(chip)

    def meant(self, name: str) -> list[Chip]:
        """Return every chip that a name may mean, none where nothing has it; case does not matter."""
        fold = _fold(name)
        return self._types.get(fold) or self._aliases.get(fold) or []


def meant_by(name: str, chips: Mapping[str, Chip]) -> str:
    """Return the tail of the error of a name that is no key: the keys of what has that name, or the nearest keys."""
    keys = [chip.name for chip in Names(chips.values()).meant(name)]
    if len(keys) > 1:
        return f"; the catalog has {' and '.join(keys)}: write the one that the machine has"
    return f"; write {keys[0]}" if keys else hint(name, chips)


def types_of(chip: Chip) -> list[str]:
    """Return a chip's own names: its key, the type that is detected, the variant."""
    return [name for name in (chip.name, chip.detected_type, chip.variant) if name]


def aliases_of(chip: Chip) -> list[str]:
    """Return names of the driver and of the clouds; a cloud names a partition like the whole, which must not match."""
    names = [*chip.driver_names, *(name.removeprefix("NVIDIA ") for name in chip.driver_names)]
    if chip.partition_of is None:
        names += [name for of_cloud in chip.api_names.values() for name in of_cloud]
    return names


def _fold(name: str) -> str:
    return name.strip().casefold().replace(" ", "-")
