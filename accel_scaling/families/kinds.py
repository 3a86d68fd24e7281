"""The products of a machine whose devices are not all alike: each device is compared with the promise by itself.

Ray gives a node one type, that of its first device, and gives out the others as such.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from accel_scaling.catalog import product_names
from accel_scaling.detect.model import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from accel_scaling.catalog.model import Chip
    from accel_scaling.detect.model import Detection
    from accel_scaling.detect.pci import PciDevice


@dataclass(frozen=True)
class Product:
    """What one device is: the exact product, or the driver's name; and the types that a promise may name for it."""

    name: str
    answers_to: tuple[str, ...]


def kinds_of(products: Iterable[Product]) -> tuple[Kind, ...]:
    """Return the different products with their counts, in the order of the devices; empty where all are alike."""
    places: dict[Product, list[int]] = {}
    for place, product in enumerate(products):
        places.setdefault(product, []).append(place)
    if len(places) < 2:
        return ()
    return tuple(Kind(each.name, len(of), each.answers_to, tuple(of)) for each, of in places.items())


def kinds_on_bus(
    on_bus: Sequence[PciDevice], chips: Sequence[Chip], chips_of: Callable[[PciDevice], Sequence[Chip]] | None = None
) -> tuple[Kind, ...]:
    """Return the products that the PCI bus shows; empty where all devices may be of one product.

    Args:
        on_bus: the devices of one family.
        chips: those of the family.
        chips_of: the chips that a device may be; by default those with its PCI id.
    """
    candidates = {
        device: tuple(chips_of(device) if chips_of else product_names.chips_on_bus(device.id, chips))
        for device in on_bus
    }
    # A device of which the catalog does not know the id says nothing.
    known = {device: set(names) for device, of in candidates.items() if (names := [chip.name for chip in of])}
    if not known or set.intersection(*known.values()):
        return ()
    return kinds_of(
        Product(product_names.exact_name(of) or device.id, product_names.types_of(of)) if of else Product(device.id, ())
        for device, of in candidates.items()
    )


def with_kinds(detection: Detection, kinds: tuple[Kind, ...]) -> Detection:
    """Return a detection with its products: several have no one name, and answer to what is common to all of them."""
    if not kinds:
        return detection
    first, *others = kinds
    common = tuple(name for name in first.answers_to if all(name in kind.answers_to for kind in others))
    return replace(detection, kinds=kinds, variant=None, answers_to=common)
