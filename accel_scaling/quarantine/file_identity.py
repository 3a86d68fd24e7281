"""The identity of a file's content: what tells it from another one in its place, and from itself after a change."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import os


class FileIdentity(NamedTuple):
    """Where a file is, and when it was last written; two that are equal have the same content."""

    device: int
    inode: int
    mtime_ns: int
    size: int


def identity_of(stat: os.stat_result) -> FileIdentity:
    """Return the identity of the file with this status."""
    return FileIdentity(stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size)
