"""Processes of one plain-process host: found by the marker in their environment, ended by it.

Workers of Ray write their title over their environment, so that it can't be read any more; they are found as
descendants of marked processes, and by the folder they run in.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from accel_scaling.testing.hosts.settings import MARKER_VARIABLE
from accel_scaling.timeouts import LOCAL_CLOUD_KILL_S, LOCAL_CLOUD_POLL_S


def marked_processes(marker: str, folder: Path | None = None) -> set[int]:
    """Return the ids of processes with this marker (or one that begins with it, if it ends in ``/``), or in ``folder``.

    Descendants are included; this process and its ancestors are not.
    """
    parents = parents_of_processes()
    found: set[int] = set()
    for pid in parents:
        entry = Path("/proc", str(pid))
        with contextlib.suppress(OSError):
            if _bears(entry, marker) or (folder is not None and _runs_in(entry, folder)):
                found.add(pid)
    return _with_descendants(found, parents) - _ancestors(os.getpid(), parents)


def parents_of_processes() -> dict[int, int]:
    """Return process id -> its parent's, for all that live; zombies are left out."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(entry.name)] = _parent(entry)
    return parents


def kill_marked(marker: str, folder: Path | None = None, *, spare: frozenset[int] = frozenset()) -> int:
    """Kill all of them until none is left, as new ones may be born meanwhile; return how many there were."""
    seen: set[int] = set()
    deadline = time.monotonic() + LOCAL_CLOUD_KILL_S
    while (found := marked_processes(marker, folder) - spare) and time.monotonic() < deadline:
        seen |= found
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(LOCAL_CLOUD_POLL_S)
    return len(seen)


def _bears(entry: Path, marker: str) -> bool:
    wanted = f"{MARKER_VARIABLE}={marker}".encode()
    variables = (entry / "environ").read_bytes().split(b"\0")
    if marker.endswith("/"):
        return any(one.startswith(wanted) for one in variables)
    return wanted in variables


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


def _with_descendants(found: set[int], parents: dict[int, int]) -> set[int]:
    grown = set(found)
    while more := {child for child, parent in parents.items() if parent in grown} - grown:
        grown |= more
    return grown


def _ancestors(pid: int, parents: dict[int, int]) -> set[int]:
    line = {pid}
    while (pid := parents.get(pid, 0)) > 0 and pid not in line:
        line.add(pid)
    return line
