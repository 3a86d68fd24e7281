"""Cloud-neutral records of a cloud API's answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


INTERRUPTED = "interrupted"  # why a region is in `failed` that had not answered when Ctrl-C came


@dataclass(frozen=True)
class ApiDevice:
    """Accelerators of one kind in a machine type, as a cloud's API describes them.

    Attributes:
        name: the API's name for it.
        count: how many; None where the API does not say.
        share: the part of a whole device that one is, 1 for a whole; None where the API does not say how large.
        memory_mib: memory of one; None where the API does not say.
        maker: who makes it; empty where the API does not say.
        kind: the API's word for its kind: ``gpu``, ``neuron``, ``fpga``, ``media``, ``inference``, ``accelerator``.
        cores: of one device; None where the API does not say.
    """

    name: str
    count: int | None
    share: float | None = 1.0
    memory_mib: int | None = None
    maker: str = ""
    kind: str = "accelerator"
    cores: int | None = None


@dataclass(frozen=True)
class ApiMachine:
    """A machine type, as a cloud's API describes it.

    Attributes:
        name: the cloud's name for it.
        vcpus: virtual CPUs by default.
        memory_mib: main memory in MiB.
        arch: as in the catalog; None where the API does not say.
        devices: its accelerators, each kind once.
        network: the word for its network for training, as ``CLOUD_networks.csv`` has it; empty for none.
        cards: its network cards, as that file has them; empty where the API does not say.
    """

    name: str
    vcpus: int
    memory_mib: int
    arch: str | None
    devices: tuple[ApiDevice, ...] = ()
    network: str = ""
    cards: str = ""


@dataclass
class CloudAnswer:
    """The answer of a cloud: everything that its API said, and what it did not say.

    Attributes:
        cloud: the cloud's name.
        source: which calls, for the places file.
        types: by name.
        offered: region -> machine type, or accelerator that is attached -> its zones, by Cloud.short_zone().
        attachable: accelerators that the API lists by themselves (Google's ``acceleratorTypes``), by name.
        failed: region -> why nothing is known of it now.
        lacking: machine type -> what the API did not say of it.
        interrupted: Ctrl-C came: types that ``offered`` names may not have been asked for.
    """

    cloud: str
    source: str
    types: dict[str, ApiMachine] = field(default_factory=dict)
    offered: dict[str, Mapping[str, set[str]]] = field(default_factory=dict)
    attachable: dict[str, ApiDevice] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    lacking: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False
