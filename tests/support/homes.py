"""Home folders of tests, which share what `ray up` has built."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def make_home(folder: Path, bundles: Path) -> Path:
    """Make a home, empty but for the cache of bundles; return it."""
    (folder / ".cache").mkdir(parents=True)
    (folder / ".cache" / "accel_scaling").symlink_to(bundles)
    return folder
