"""Where a host's files are, seen from the process that holds the local cloud."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.testing.hosts.settings import Kind

if TYPE_CHECKING:
    from accel_scaling.testing.hosts.settings import Settings


def host_folder(settings: Settings, instance_id: str, address: str) -> Path:
    """All that belongs to one host, below the cloud's scratch folder."""
    if settings.kind is Kind.ISOLATED:
        return settings.scratch / instance_id
    # Short, as Ray's sockets lie below it: 107 bytes is all that a socket's path may have.
    return settings.scratch / "-".join(address.split(".")[2:])


def host_path(settings: Settings, inner_pid: int, instance_id: str, address: str, path: str | Path) -> Path:
    """A file of a host as a path of ours; relative to the account's home, or absolute on the host."""
    folder, wanted = host_folder(settings, instance_id, address), Path(path)
    if settings.kind is Kind.ISOLATED:
        # The cloud's mounts are its own; /proc shows them to whoever may look into the process.
        root = Path(f"/proc/{inner_pid}/root{folder}/root")
        return root / Path("/home", settings.ssh_user, wanted).relative_to("/")
    if wanted.is_relative_to("/tmp"):  # noqa: S108 - the host's, not ours
        return folder / "tmp" / wanted.relative_to("/tmp")  # noqa: S108
    return folder / "home" / wanted
