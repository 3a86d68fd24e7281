"""The user's command on the head of a rehearsal: the scripts that it names, its exit code, and the end of the head."""

from __future__ import annotations

import base64
import contextlib
import os
import shlex
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.errors import RehearsalError
from accel_scaling.message_text import shown
from accel_scaling.testing.hosts.hosts import keep_ray_logs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from accel_scaling.testing.base_cloud import LocalCloud
    from accel_scaling.testing.rehearse.timeline import Timeline

EXIT_CODE_FILE = ".accel_scaling/exit_code"
"""On the head, below the home: the exit code of the command, as `ray exec` turns every failure into 1."""

# Scripts travel in the command line, of which Linux takes 128 KiB as one word; base64 makes four bytes of three.
_MAX_BYTES = 65_536


def shell_line(command: Sequence[str]) -> str:
    """Return the line that runs the command on the head, after the scripts of this folder that it names are written.

    A relative path of a file that is here is the same path below the head's home, as `ray submit` brings a script.

    Raises:
        RehearsalError: the files are too large.
    """
    files = {word: Path(word) for word in command if _is_script(word)}
    size = sum(path.stat().st_size for path in files.values())
    if size > _MAX_BYTES:
        raise RehearsalError(
            f"the command names {', '.join(map(shown, files))}, {size:,} bytes in all; a rehearsal brings at most"
            f" {_MAX_BYTES:,} bytes to the head: name a shorter script, or use file_mounts with --with-setup"
        )
    steps = []
    for word, path in files.items():
        text, place = base64.b64encode(path.read_bytes()).decode("ascii"), shlex.quote(word)
        steps.append(f"mkdir -p {shlex.quote(str(path.parent))}; echo {text} | base64 -d > {place}; ")
        if os.access(path, os.X_OK):
            steps.append(f"chmod +x {place}; ")
    return f"{''.join(steps)}{shlex.join(command)}; echo $? > ~/{EXIT_CODE_FILE}"


def _is_script(word: str) -> bool:
    path = Path(word)
    with contextlib.suppress(OSError, ValueError):  # a word that can be no path
        return not path.is_absolute() and ".." not in path.parts and path.is_file()
    return False


def exit_code(local: LocalCloud, timeline: Timeline, returned: int) -> int:
    """Return the exit code of the command.

    Args:
        local: the local cloud.
        timeline: of the rehearsal; it has the head.
        returned: what `ray exec` has returned; other than 0, it has failed itself, and said why.

    Raises:
        RehearsalError: the head has ended, or has no exit code; with the logs to read.
    """
    head = next(iter(timeline.machines))  # `ray up` launches it first
    machine, kept = timeline.machines[head], local.settings.postmortem / head
    name = f"the head, {machine.instance_type} {head},"
    if machine.gone_s is not None or kept.is_dir():
        why = f" ({machine.trouble})" if machine.trouble else ""
        raise RehearsalError(f"{name} ended under the command{why}, so its exit code is not known{_logs(local, head)}")
    if returned:
        return returned
    try:
        return int(local.host_file(head, EXIT_CODE_FILE).read_text(encoding="ascii"))
    except (OSError, ValueError):
        raise RehearsalError(
            f"{name} does not have the command's exit code in ~/{EXIT_CODE_FILE}{_logs(local, head)}"
        ) from None


def _logs(local: LocalCloud, head: str) -> str:
    """Copy Ray's logs of the head, whose folder ends with the rehearsal, and return where they are."""
    folder, kept = Path(tempfile.mkdtemp(prefix="ray-head-")), local.settings.postmortem / head
    with contextlib.suppress(OSError, RehearsalError):
        if kept.is_dir():
            shutil.copytree(kept, folder, dirs_exist_ok=True)
        else:
            keep_ray_logs(local.host_file(head, "/tmp/ray"), folder)  # noqa: S108 - the host's
    if sessions := sorted(folder.iterdir()):
        return f"; Ray's logs of it: {sessions[-1]}"
    folder.rmdir()
    return "; Ray has left no logs on it"
