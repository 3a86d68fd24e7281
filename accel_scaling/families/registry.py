"""The families that this version can probe. A new one is a plug-in, or one module with a ``probe`` and a line here."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from accel_scaling.families import (
    amd,
    apple,
    ascend,
    furiosa,
    gaudi,
    intel,
    metax,
    mobilint,
    neuron,
    nvidia,
    other_cards,
    plugin_probe,
    rbln,
    tenstorrent,
    tpu,
)
from accel_scaling.families.plugins import loaded

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


_OF_RAY = (nvidia, neuron, tpu, amd, intel, gaudi, ascend, rbln, metax, furiosa, mobilint, tenstorrent, apple)

FAMILIES: tuple[Family, ...] = (
    *(Family(module.FAMILY, module.RESOURCE, module.probe) for module in _OF_RAY),
    Family(other_cards.FPGA, "FPGA", other_cards.probe_fpga),
    Family(other_cards.MEDIA, "MEDIA", other_cards.probe_media),
    Family(other_cards.QAIC, "QAIC", other_cards.probe_qaic),
)


def all_families() -> tuple[Family, ...]:
    """Return the families that can be probed in this Python: those that ship, and plug-ins'."""
    plugged_in = (plug_in.family for plug_in in loaded().plug_ins.values())
    return (
        *FAMILIES,
        *(Family(one.name, one.resource, functools.partial(plugin_probe.probe, one)) for one in plugged_in),
    )
