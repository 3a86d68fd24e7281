"""Names of accelerators: the catalog's own, the clouds' and the drivers', and the types that Ray makes of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from accel_scaling.catalog.suggest import hint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from accel_scaling.catalog.model import Chip

# Ray 2.60's rule, ray/_private/accelerators/nvidia_gpu.py (NVIDIA_GPU_NAME_PATTERN): the leading all-capitals words
# up to the first one with a digit. A copy, because this package must not import Ray to look at a machine; a
# contract test drives Ray's real function and holds both equal.
_MODEL = re.compile(r"\w+\s+((?:[A-Z]+\s+)*[A-Z0-9]*\d[A-Z0-9]*)")
_MAKER = re.compile(r"^NVIDIA\s+")

# A vGPU profile: framebuffer in GB and a licence letter, e.g. "L4-3Q", "A100-4-20C" (NVIDIA vGPU user guide).
_VGPU = re.compile(r"-\d+[ABCQV]$")

# Words that people, and some of Google's and NVIDIA's own lists, write before the name of a chip.
_MAKERS = ("tpu", "nvidia", "tesla", "amd", "intel", "google", "cloud")


class Names:
    """The chips by each of their names.

    A type's name comes before a cloud's name for something else: EC2 calls a GB200 ``B200``, so B200 must not find it,
    and ``RTX PRO Server 6000`` must find the RTX-PRO-6000.
    """

    def __init__(self, chips: Iterable[Chip]) -> None:
        self._types: dict[str, list[Chip]] = {}
        self._aliases: dict[str, list[Chip]] = {}
        for chip in chips:
            for fold in {_fold(name) for name in own_names(chip)}:
                self._types.setdefault(fold, []).append(chip)
            for fold in {_fold(name) for name in aliases_of(chip)}:
                self._aliases.setdefault(fold, []).append(chip)

    def meant(self, name: str) -> list[Chip]:
        """Return every chip that a name may mean, none where nothing has it; case does not matter.

        A maker's word may precede it: a ``TPU-V5E`` has the names TPU-V5LITEPOD and v5e.
        """
        fold = _fold(name)
        if found := self._types.get(fold) or self._aliases.get(fold):
            return found
        maker, _, rest = fold.partition("-")
        return self.meant(rest) if rest and maker in _MAKERS else []


def meant_by(name: str, chips: Mapping[str, Chip]) -> str:
    """Return the tail of the error of a name that is no key: the keys of what has that name, or the nearest keys."""
    keys = [chip.name for chip in Names(chips.values()).meant(name)]
    if len(keys) > 1:
        return f"; the catalog has {' and '.join(keys)}: write the name of the one in the machine"
    return f"; write {keys[0]}" if keys else hint(name, chips)


def own_names(chip: Chip) -> list[str]:
    """Return a chip's own names: its key, the type that is detected, the variant."""
    return [name for name in (chip.name, chip.detected_type, chip.variant) if name]


def aliases_of(chip: Chip) -> list[str]:
    """Return names of the driver and of the clouds; a cloud names a partition like the whole, which must not match."""
    names = [*chip.driver_names, *(name.removeprefix("NVIDIA ") for name in chip.driver_names)]
    if chip.partition_of is None:
        names += [name for of_cloud in chip.api_names.values() for name in of_cloud]
    return names


def _fold(name: str) -> str:
    return name.strip().casefold().replace(" ", "-").replace("_", "-")


def ray_nvidia_type(driver_name: str) -> str | None:
    """Return the ``accelerator_type`` that Ray 2.60 announces for an NVIDIA product name."""
    match = _MODEL.match(driver_name)
    model = match.group(1).replace(" ", "-") if match else ""
    # One letter is no model. As Ray: names in mixed case (GeForce RTX 5090) become a type as a whole.
    if len(model) > 1:
        return model
    return _MAKER.sub("", driver_name).strip().replace(" ", "-") or None


def partition_name(driver_name: str) -> str | None:
    """Return the name of a slice of a GPU (``NVIDIA L4-3Q`` is ``L4-3Q``), None for a whole one."""
    if not _VGPU.search(driver_name.strip()):
        return None
    return re.sub(r"^(NVIDIA|GRID|Tesla)\s+", "", driver_name.strip()).replace(" ", "-")


def chips_named(driver_name: str, chips: Iterable[Chip]) -> list[Chip]:
    """Return the chips with this product name; drivers older than 450 write it without ``NVIDIA ``."""
    folded = _folded(driver_name)
    return [chip for chip in chips if folded in map(_folded, chip.driver_names)]


def chips_on_bus(pci_id: str, chips: Iterable[Chip]) -> list[Chip]:
    """Return the whole chips with this PCI id; a slice shows its whole chip's."""
    return [chip for chip in chips if pci_id in chip.pci_ids and chip.partition_of is None]


def exact_name(chips: Iterable[Chip]) -> str | None:
    """Return the exact product that these candidates agree on, None where they differ or have none."""
    variants = {chip.variant or chip.detected_type for chip in chips}
    return variants.pop() if len(variants) == 1 else None


def types_of(chips: Iterable[Chip]) -> tuple[str, ...]:
    """Return every accelerator type that a promise may name for these chips; a slice has its own name only."""
    names = (name for chip in chips for name in ((None if chip.partition_of else chip.detected_type), chip.variant))
    return tuple(dict.fromkeys(name for name in names if name))


def _folded(driver_name: str) -> str:
    return " ".join(_MAKER.sub("", driver_name.strip()).casefold().split())
