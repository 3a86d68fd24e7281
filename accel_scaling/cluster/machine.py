"""The machine of a node type: a machine type, or a TPU slice of several like hosts; and how it is bought."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from accel_scaling.catalog.model import MachineType
    from accel_scaling.catalog.tpu_slices import TpuSlice


class CapacityType(str, Enum):
    """How a machine is bought; the words are Ray's values of the label `ray.io/market-type`."""

    ON_DEMAND = "on-demand"
    SPOT = "spot"


@dataclass(frozen=True)
class NodeMachine:
    """What one node of a node type is, as its node_config names it.

    Attributes:
        machine: the machine type, its accelerators included; one host where it is a slice.
        slice: the TPU slice that one node is; None for everything else.
        capacity_type: on demand, or spot.
        notes: sentences for the user about what the node_config alone cannot say.
    """

    machine: MachineType
    slice: TpuSlice | None = None
    capacity_type: CapacityType = CapacityType.ON_DEMAND
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The cloud's name for it: the machine type, or the accelerator type of a slice."""
        return self.slice.accelerator_type if self.slice else self.machine.name


@dataclass(frozen=True)
class Placement:
    """Where a cluster's machines run, as its provider section says.

    Attributes:
        region: None where the file does not name it.
        zones: in the order to try them; none where the cloud may take any zone of the region.
    """

    region: str | None
    zones: tuple[str, ...] = ()
