"""What a node type names at its cloud: one machine, or a TPU slice of several like machines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from accel_scaling.catalog.model import MachineType
    from accel_scaling.catalog.tpu_slices import Slice


@dataclass(frozen=True)
class Machine:
    """What one node of a node type is.

    Attributes:
        machine: the machine type, its accelerators included; one host where it is a slice.
        slice: the TPU slice that one node is; None for everything else.
        notes: sentences for the user about what the config alone cannot say.
    """

    machine: MachineType
    slice: Slice | None = None
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The cloud's name for it: the machine type, or the accelerator type of a slice."""
        return self.slice.accelerator_type if self.slice else self.machine.name
