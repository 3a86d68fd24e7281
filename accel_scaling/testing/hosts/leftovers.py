"""The folders of local clouds below /tmp: each is claimed by a lock, and removed when its owners were killed.

The kernel releases a lock with the process that has it, however it ended. A folder without a claim, of another account,
open to others, or reached by a link is never touched.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import stat
import tempfile
from pathlib import Path

from accel_scaling.testing.hosts.host_records import kill_marked
from accel_scaling.testing.hosts.laptop import remove_ray_ssh_folder

PREFIX = "accel-"
CLAIM = ".accel-scaling-claim"
_MAGIC = "accel_scaling local cloud"


def claim(folder: Path, cloud_id: str = "") -> int:
    """Claim a folder until this process ends; return the descriptor that holds the claim.

    Args:
        folder: of this process or its parent; several processes may claim it.
        cloud_id: marks the processes that use the folder.
    """
    file = folder / CLAIM
    if not file.exists():
        # Locked before it has its name: nobody sees a claim that nobody holds.
        fresh = folder / f"{CLAIM}.{os.getpid()}"
        descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        os.write(descriptor, json.dumps({"claim": _MAGIC, "cloud_id": cloud_id}).encode())
        fresh.rename(file)
        return descriptor
    descriptor = os.open(file, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def remove_leftovers() -> list[Path]:
    """Remove the folders of local clouds whose processes were killed; return them."""
    removed = []
    for parent in dict.fromkeys((Path(tempfile.gettempdir()), Path("/tmp"))):  # noqa: S108 - where make_scratch puts them
        with contextlib.suppress(OSError):
            removed += [folder for folder in sorted(parent.glob(f"{PREFIX}*")) if _remove_if_left(folder)]
    return removed


def _remove_if_left(folder: Path) -> bool:
    with contextlib.suppress(OSError, ValueError), contextlib.ExitStack() as stack:
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        stack.callback(os.close, directory)
        if not _is_private(os.fstat(directory)):
            return False
        descriptor = os.open(CLAIM, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
        stack.callback(os.close, descriptor)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return False
        # Fails while any owner lives. Held until the folder is gone: a second cleaner leaves it to this one.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        content = json.loads(os.read(descriptor, 4096))
        if not isinstance(content, dict) or content.get("claim") != _MAGIC:
            return False
        if cloud_id := str(content.get("cloud_id") or ""):
            kill_marked(f"{cloud_id}/")
            remove_ray_ssh_folder(cloud_id)
        # By descriptors, so a link that is put in its way leads nowhere (shutil.rmtree.avoids_symlink_attacks).
        shutil.rmtree(folder)
        return True
    return False


def _is_private(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) & 0o077 == 0
