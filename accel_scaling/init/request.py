"""The request of `accel-scaling init`: accelerators as NAME or NAME:COUNT, and everything else of the file."""

from __future__ import annotations

import re
from dataclasses import dataclass

from accel_scaling.errors import InitError

_COUNT = re.compile(r"[1-9][0-9]{0,3}")
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
        spot: workers at the spot price.
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
    spot: bool = False
    max_workers: int | None = None
    name: str | None = None
    region: str | None = None
    zones: tuple[str, ...] = ()
    project: str | None = None
    catalogs: tuple[str, ...] = ()
    file: str = "cluster.yaml"


def parse_accelerator(text: str) -> AcceleratorRequest:
    """Return what ``--accelerator`` says.

    Raises:
        InitError: it is not ``NAME`` or ``NAME:COUNT``.
    """
    name, colon, count = text.partition(":")
    if not name.strip() or (colon and not _COUNT.fullmatch(count)):
        raise InitError(f"--accelerator {text!r}: expected NAME or NAME:COUNT, such as A100-80G:8 or v5litepod-16")
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
            f"--name {request.name!r}: a cluster's name becomes part of its machines' names; write up to 35 letters, "
            "digits, - and _, a letter first"
        )
