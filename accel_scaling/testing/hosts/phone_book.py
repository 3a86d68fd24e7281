"""The phone book of plain-process hosts: address -> folder and environment. The cloud writes it, the shims read it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SCRATCH_VARIABLE = "ACCEL_SCALING_SCRATCH"
"""Where the shims find the cloud's scratch folder."""

ADDRESS_VARIABLE = "ACCEL_SCALING_ADDRESS"
"""The address of the host that a process runs on."""


@dataclass(frozen=True)
class HostRecord:
    """One host that is up.

    Attributes:
        instance_id: the cloud's id.
        address: its loopback address.
        folder: its home, tmp and Ray folders.
        environment: the whole environment of a session on it.
    """

    instance_id: str
    address: str
    folder: Path
    environment: Mapping[str, str]

    @property
    def home(self) -> Path:
        """The home of the account that Ray logs in to."""
        return self.folder / "home"


def enter(scratch: Path, record: HostRecord) -> None:
    """Enter a host: it answers from now on."""
    file = _file(scratch, record.address)
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(asdict(record), default=str))
    fresh.replace(file)


def strike(scratch: Path, address: str) -> None:
    """Strike a host: it refuses connections from now on."""
    _file(scratch, address).unlink(missing_ok=True)


def look_up(scratch: Path, address: str) -> HostRecord | None:
    """Return the host at ``address``, None where nothing answers."""
    try:
        row = json.loads(_file(scratch, address).read_text())
    except OSError:
        return None
    return HostRecord(**{**row, "folder": Path(row["folder"])})


def _file(scratch: Path, address: str) -> Path:
    return scratch / "net" / f"{Path(address).name}.json"
