"""Ends a start command from inside its `ray start`: what follows Ray's start in it must not run.

A shell continues after `ray start || true`, `ray start; echo started` and `ray start | tee log`, and its exit code is
then that of another program. before_ray_start.sh sets traps in the shell of the command; a signal from here makes it
end once the program that it waits for has ended.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SHELL = "ACCEL_SCALING_SHELL"
"""The process id of the shell that runs the start command."""

_MOST_ANCESTORS = 50


def end_command(environment: Mapping[str, str], *, refused: bool) -> None:
    """Make the shell of the start command end, with the exit code of a refusal or with 0.

    Nothing happens where that shell is gone, is no ancestor of this process, or has not set the trap: the exit code of
    this process then says the same, where the command lets it be seen.

    Args:
        environment: this process's.
        refused: the machine may not join.
    """
    text = environment.get(SHELL, "")
    if not text.isdigit() or not Path("/proc/self/stat").exists():
        return
    shell, number = int(text), signal.SIGUSR2 if refused else signal.SIGUSR1
    between = _ancestors_before(shell)
    if between is None or not _catches(shell, number):
        return
    with contextlib.suppress(OSError):
        os.kill(shell, number)
        # `bash -c 'ray start; echo'`, `conda run`: they would continue with what follows.
        for process in between:
            os.kill(process, signal.SIGTERM)


def _ancestors_before(shell: int) -> list[int] | None:
    """Return the processes between this one and the shell; None where it is no ancestor."""
    between: list[int] = []
    process = os.getppid()
    while process > 1 and len(between) < _MOST_ANCESTORS:
        if process == shell:
            return between
        between.append(process)
        process = _parent(process)
    return None


def _parent(process: int) -> int:
    try:
        # The name is in brackets, and may have brackets and blanks of its own.
        return int(Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def _catches(process: int, number: int) -> bool:
    """Return whether a process has a handler for a signal: without one it would be killed."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(errors="replace").splitlines()
        caught = next(line for line in lines if line.startswith("SigCgt:"))
        return bool(int(caught.split()[1], 16) >> (number - 1) & 1)
    except (OSError, ValueError, IndexError, StopIteration):
        return False
