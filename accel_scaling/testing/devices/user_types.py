"""The hardware of machine types that only a user's catalog knows, given at the start of a rehearsal.

What ships is independent of the catalog (ec2_machines.py, gcp_machines.py) and goes before. For the rest the user's own
hardware file says it, or else the row of the catalog itself; the rehearsal prints which.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from accel_scaling.testing.devices.hardware import Hardware

OWN_FILE = "own_hardware.json"  # in a local cloud's directory, for its process

_known: dict[str, Hardware] = {}


def own_hardware(machine_type: str) -> Hardware | None:
    """Return what a machine of a type that only the user knows has; None where the user said nothing."""
    return _known.get(machine_type)


def know(hardware: Mapping[str, Hardware]) -> None:
    """Remember the hardware of these machine types, and forget those given before."""
    _known.clear()
    _known.update(hardware)


def write_own(directory: Path, hardware: Mapping[str, Hardware]) -> None:
    """Write what a local cloud is to know into its directory."""
    rows = {name: asdict(each) for name, each in hardware.items()}
    (directory / OWN_FILE).write_text(json.dumps(rows), encoding="utf-8")


def know_from(directory: Path) -> None:
    """Know what the rehearsal wrote into a local cloud's directory, if it did."""
    from accel_scaling.testing.devices.hardware import Hardware

    file = directory / OWN_FILE
    if file.is_file():
        rows = json.loads(file.read_text(encoding="utf-8"))
        know({name: Hardware(**{**row, "facts": tuple(map(tuple, row["facts"]))}) for name, row in rows.items()})
