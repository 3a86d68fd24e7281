"""The request of `accel-scaling init`, and its choices: accelerators, machines, a place. Values only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from accel_scaling.cluster.capacity import CapacityType
from accel_scaling.errors import InitError
from accel_scaling.message_text import shown

if TYPE_CHECKING:
    from accel_scaling.catalog.model import Chip, MachineType
    from accel_scaling.catalog.tpu_slices import TpuSlice
    from accel_scaling.cluster.capacity import CapacityEntry

_COUNT = re.compile(r"[1-9][0-9]{0,3}")
# 35 characters: Ray puts -worker and more around the name, and Google's instances have at most 63.
_CLUSTER = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,34}")


@dataclass(frozen=True)
class AcceleratorRequest:
    """One ``--accelerator``.

    Attributes:
        text: as it was written.
        name: an accelerator's name, or that of a TPU slice.
        count: devices of one machine, or chips of one slice; None where it was not written.
    """

    text: str
    name: str
    count: int | None


@dataclass(frozen=True)
class FileRequest:
    """The cluster file that is asked for.

    Attributes:
        cloud: its name in the registry of clouds.
        accelerators: each becomes a node type of workers.
        cpus: vCPUs of workers without an accelerator, one node type each.
        order: the capacity types of the workers, the first to try first; none for on demand alone.
        max_workers: machines at once; None for 2, or one of each node type where that is more.
        name: the cluster's; None makes one of the cloud and the first accelerator.
        region: None for the usual one.
        zones: none for the usual ones.
        project: the cloud's project, where it has projects; None for one to be filled in.
        catalogs: the user's own catalog files, the strongest first.
        file: the name of the file, for the commands in its comments.
    """

    cloud: str
    accelerators: tuple[AcceleratorRequest, ...] = ()
    cpus: tuple[int, ...] = ()
    order: tuple[CapacityEntry, ...] = ()
    max_workers: int | None = None
    name: str | None = None
    region: str | None = None
    zones: tuple[str, ...] = ()
    project: str | None = None
    catalogs: tuple[str, ...] = ()
    file: str = "cluster.yaml"

    @property
    def spot(self) -> bool:
        """Whether spot machines are to be tried first."""
        return bool(self.order) and self.order[0].type is CapacityType.SPOT


@dataclass(frozen=True)
class Choice:
    """The machine of one node type of workers.

    Attributes:
        request: for what; None for a plain machine.
        machine: its machine type, with its accelerators; one host where it is a slice.
        guest: the API's name of what is attached to it; None where it comes with its accelerators.
        slice: the TPU slice; None for a machine.
        also: other machines that have the accelerator, the next best first.
        fewer: machines with fewer devices, and enough of them, that were not taken; each with the reason.
    """

    request: AcceleratorRequest | None
    machine: MachineType
    guest: str | None = None
    slice: TpuSlice | None = None
    also: tuple[Choice, ...] = ()
    fewer: tuple[tuple[Choice, str], ...] = ()

    @property
    def name(self) -> str:
        """The cloud's name for it."""
        return self.slice.accelerator_type if self.slice else self.machine.name

    @property
    def count(self) -> int:
        """Devices of one machine, or chips of one slice."""
        return self.slice.chips if self.slice else self.machine.count

    @property
    def chip(self) -> Chip | None:
        """Its accelerator."""
        return self.slice.chip if self.slice else self.machine.chip


@dataclass(frozen=True)
class Place:
    """A region with zones in it.

    Attributes:
        region: its name.
        zones: in the order to try them; none where the cloud may take any of the region.
        head: the machine type of the head there.
        given: the user named it.
        instead_of: the usual region, where that does not have the machines and this one is the nearest that does.
    """

    region: str
    zones: tuple[str, ...]
    head: str
    given: bool
    instead_of: str = ""

    @property
    def note(self) -> str:
        """Why this region, as a comment of the file."""
        if self.instead_of:
            return f"near {self.instead_of}, which does not have all of these machines"
        return "as asked" if self.given else "the default; change it if you use another"


def parse_accelerator(text: str) -> AcceleratorRequest:
    """Return what ``--accelerator`` says.

    Raises:
        InitError: it is not ``NAME`` or ``NAME:COUNT``.
    """
    name, colon, count = text.partition(":")
    if not name.strip() or (colon and not _COUNT.fullmatch(count)):
        raise InitError(f"--accelerator {shown(text)}: expected NAME or NAME:COUNT, such as A100-80G:8 or v5litepod-16")
    return AcceleratorRequest(text, name.strip(), int(count) if colon else None)


def check(request: FileRequest) -> None:
    """Refuse what no cluster file can be made of.

    Raises:
        InitError: it names the option.
    """
    if not request.accelerators and not request.cpus:
        raise InitError("name what the workers have: --accelerator NAME[:COUNT], or --cpus N for plain machines")
    if request.name is not None and not _CLUSTER.fullmatch(request.name):
        raise InitError(
            f"--name {shown(request.name)}: a cluster's name becomes part of its machines' names; write up "
            "to 35 letters, "
            "digits, - and _, a letter first"
        )
