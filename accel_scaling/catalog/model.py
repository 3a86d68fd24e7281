"""Values of the catalog: accelerators, machine types, and the words of its tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Chip:
    """One accelerator product as a booted node shows it; an entry of ``catalogs/accelerators.yaml``.

    Attributes:
        name: the catalog's own key, e.g. ``A100-80G``; a machine type's row refers to it.
        family: who makes the driver: ``nvidia``, ``amd``, ``neuron``, ``gaudi``, ``tpu``, ``fpga``, ...
        resource: the Ray resource a node announces for it (``GPU``, ``neuron_cores``, ``TPU``, ...).
        detected_type: the ``accelerator_type`` that Ray 2.60 detects on the node; None where Ray has none.
        variant: the exact product as a second type (``A100-80G``), None where ``detected_type`` is exact.
        units_per_device: how many units of ``resource`` one device is (Neuron: cores that neuron-ls shows).
        memory_mib: device memory that the driver reports, None where unknown.
        driver_names: product names as the driver reports them.
        pci_ids: ``vendor:device`` in lower-case hex, empty where unknown.
        api_names: cloud -> the names that the cloud's API uses for it.
        partition_of: for a slice of a device (vGPU): the whole chip's name.
    """

    name: str
    family: str
    resource: str
    detected_type: str | None
    variant: str | None = None
    units_per_device: int = 1
    memory_mib: int | None = None
    driver_names: tuple[str, ...] = ()
    pci_ids: tuple[str, ...] = ()
    api_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    partition_of: str | None = None
    because: str | None = None
    source: str | None = None


@dataclass(frozen=True)
class MachineType:
    """One machine type of one cloud; a row of ``catalogs/<cloud>.csv``.

    Attributes:
        cloud: the name of its cloud.
        name: the cloud's name for it, e.g. ``p4d.24xlarge``.
        vcpus: default virtual CPUs.
        memory_mib: main memory in MiB.
        arch: ``x86_64``, ``arm64`` or ``i386``.
        chip: the accelerator in it, None for a plain machine.
        count: how many devices of that chip; a partition counts as one whole logical device.
        layer: the file that the answer came from, e.g. ``aws.csv`` (shipped) or a user's path.
        line: the row's line there; 0 where it is no row (custom types, hosts of TPU slices).
        unknown: what is in it by the API's words, ``4 x L5``, where the catalog has no such accelerator: ``chip`` is
            None then, and nothing may be promised.
    """

    cloud: str
    name: str
    vcpus: int
    memory_mib: int
    arch: str
    chip: Chip | None
    count: int
    layer: str
    # A row that has only moved is the same answer: a refresh must not show it as changed.
    line: int = field(default=0, compare=False)
    unknown: str | None = None


class Category(str, Enum):
    """Kinds of launch failure, by what helps: another zone or time, more quota, less haste, a changed file, a role."""

    CAPACITY = "capacity"
    NOT_OFFERED = "not offered"
    QUOTA = "quota"
    THROTTLED = "throttled"
    BAD_REQUEST = "bad request"
    PERMISSION = "permission"
    UNAVAILABLE = "unavailable"
    CONNECTION = "connection"  # the cloud did not answer: nobody knows whether it launched
    UNKNOWN = "unknown"


class Effect(Enum):
    """What becomes of a node whose driver reports an error of a device."""

    DRAIN = "drain"  # no work is safe on the device any more
    LOOK = "look"  # the devices are looked at, at once: it may be one or the other
    NONE = "none"  # a program's own error, or one that was repaired


class Copies(Enum):
    """Between what a device's copies are timed."""

    HOST = "host"  # to the host's memory and from it, each by itself
    MEMORY = "memory"  # within its own memory, what is read and what is written together
    PEER = "peer"  # to another device


class UnlistedKind(Enum):
    """Kinds of things that no listing of a cloud has."""

    TYPE = "machine type"
    ACCELERATOR = "accelerator"  # that is attached
    SLICE = "TPU slice"
    REGION = "region"


class ImageKind(Enum):
    """Ways in which an image is named."""

    SSM = "ssm"  # the name of a public parameter of AWS Systems Manager, whose value is the AMI's id
    FAMILY = "family"  # a Compute Engine image family, whose newest image is taken at each creation
    RUNTIME = "runtime"  # the runtimeVersion of a TPU slice
    NONE = "none"  # no cloud image has the driver: the user must name one


class SoldAs(str, Enum):
    """Ways in which a cloud sells a machine."""

    ON_DEMAND = "on-demand"
    SPOT = "spot"
    FLEX_START = "flex-start"  # Google's, for at most seven days
    RESERVED = "reserved"  # from a reservation, or a Capacity Block of EC2


class Counts(Enum):
    """Units that a Kubernetes device resource counts."""

    DEVICES = "devices"  # whole devices: one may be several units of Ray's resource (Neuron)
    UNITS = "units"  # units of Ray's resource
    SLICES = "slices"  # MIG slices of a GPU


class Says(Enum):
    """Facts that the value of a node label tells."""

    MACHINE = "machine"  # the cloud's machine type
    SERIES = "series"  # machine types by the start of their name
    CHIP = "chip"  # an accelerator
    COUNT = "count"  # how many devices the machine has
    MEMORY_MIB = "memory_mib"  # memory of one device, as the cloud says it
    ARCH = "arch"  # what the processor runs, by Kubernetes' names: amd64, arm64
    MAKER = "maker"  # who makes the accelerator
    MIG = "mig"  # the MIG profile that each GPU is cut into
    SHARING = "sharing"  # that several pods get the same device
    TOPOLOGY = "topology"  # of a TPU slice
    MARKET = "market"  # spot or on demand
    REGION = "region"
    ZONE = "zone"
