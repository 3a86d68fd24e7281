"""The families that this version can probe. A new one is one module with a ``probe`` and one line here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from accel_scaling.detect import neuron, nvidia, tpu

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from accel_scaling.detect.model import Found
    from accel_scaling.detect.pci import PciDevice


@dataclass(frozen=True)
class Family:
    """A probe and what it can speak for.

    Attributes:
        name: the family's name in the catalog's chips.
        resource: the Ray resource of its units.
        probe: asks every witness; returns a ``Found`` with their evidence even where there is no device.
    """

    name: str
    resource: str
    probe: Callable[[Sequence[PciDevice], Path], Found]


FAMILIES: tuple[Family, ...] = (
    Family(nvidia.FAMILY, nvidia.RESOURCE, nvidia.probe),
    Family(neuron.FAMILY, neuron.RESOURCE, neuron.probe),
    Family(tpu.FAMILY, tpu.RESOURCE, tpu.probe),
)
