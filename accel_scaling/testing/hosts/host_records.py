"""The records of plain-process hosts, address -> folder and environment; and the processes of each host.

The cloud writes the records, the shims read them. Processes are found by the marker in their environment, and ended by
it. Workers of Ray write their title over their environment, so it can't be read any more; they are found as
descendants of marked processes, and by the folder they run in.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.testing.hosts.settings import MARKER_VARIABLE
from accel_scaling.testing.json_files import replace_json
from accel_scaling.timeouts import LOCAL_CLOUD_KILL_S, LOCAL_CLOUD_POLL_S

if TYPE_CHECKING:
    from collections.abc import Mapping


SCRATCH_VARIABLE = "ACCEL_SCALING_SCRATCH"
"""Names the cloud's scratch folder for the shims."""

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


def write_record(scratch: Path, record: HostRecord) -> None:
    """Write the record of a host: it answers from now on."""
    replace_json(_file(scratch, record.address), asdict(record))


def delete_record(scratch: Path, address: str) -> None:
    """Delete the record of a host: it refuses connections from now on."""
    _file(scratch, address).unlink(missing_ok=True)


def look_up(scratch: Path, address: str) -> HostRecord | None:
    """Return the host at ``address``, None where nothing answers."""
    try:
        row = json.loads(_file(scratch, address).read_text())
    except OSError:
        return None
    return HostRecord(**{**row, "folder": Path(row["folder"])})


def _file(scratch: Path, address: str) -> Path:
    # The name alone: the address is an argument of ssh, and must not lead into another folder.
    return scratch / "net" / f"{Path(address).name}.json"


def marked_processes(marker: str, folder: Path | None = None) -> set[int]:
    """Return the ids of processes with this marker (or one that begins with it, if it ends in ``/``), or in ``folder``.

    Descendants are included; this process and its ancestors are not.
    """
    parents = parents_of_processes()
    marked: set[int] = set()
    for pid in parents:
        entry = Path("/proc", str(pid))
        with contextlib.suppress(OSError):
            if _bears(entry, marker) or (folder is not None and _runs_in(entry, folder)):
                marked.add(pid)
    # Without the ancestors: `ray stop` on a host comes from a shell with the same mark, which must see it end.
    return _with_descendants(marked, parents) - _ancestors(os.getpid(), parents)


def parents_of_processes() -> dict[int, int]:
    """Return the parent's id of each living process; zombies are left out."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(entry.name)] = _parent(entry)
    return parents


def kill_marked(marker: str, folder: Path | None = None, *, spare: frozenset[int] = frozenset()) -> int:
    """Kill the marked processes until none is left, as new ones may be born meanwhile; return how many there were."""
    seen: set[int] = set()
    deadline = time.monotonic() + LOCAL_CLOUD_KILL_S
    while (marked := marked_processes(marker, folder) - spare) and time.monotonic() < deadline:
        seen |= marked
        for pid in marked:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(LOCAL_CLOUD_POLL_S)
    return len(seen)


def _bears(entry: Path, marker: str) -> bool:
    assignment = f"{MARKER_VARIABLE}={marker}".encode()
    variables = (entry / "environ").read_bytes().split(b"\0")
    if marker.endswith("/"):
        return any(variable.startswith(assignment) for variable in variables)
    return assignment in variables


def _runs_in(entry: Path, folder: Path) -> bool:
    with contextlib.suppress(OSError):
        return (entry / "cwd").readlink().is_relative_to(folder)
    return False


def _parent(entry: Path) -> int:
    stat = (entry / "stat").read_text()
    state, parent = stat[stat.rindex(")") + 2 :].split()[:2]  # the name before may hold spaces and brackets
    if state in "ZX":
        raise ProcessLookupError(entry.name)
    return int(parent)


def _with_descendants(pids: set[int], parents: dict[int, int]) -> set[int]:
    grown = set(pids)
    while more := {child for child, parent in parents.items() if parent in grown} - grown:
        grown |= more
    return grown


def _ancestors(pid: int, parents: dict[int, int]) -> set[int]:
    line = {pid}
    while (pid := parents.get(pid, 0)) > 0 and pid not in line:
        line.add(pid)
    return line
