"""What the one who holds a local Compute Engine asks of its process: machines to be taken back. By a file."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Preemptions:
    """Names of machines and slices, one a line.

    Args:
        directory: the local cloud's.
    """

    def __init__(self, directory: Path) -> None:
        self._file = directory / "preempt"

    def ask(self, name: str) -> None:
        """Ask for one to be taken back."""
        with self._file.open("a", encoding="utf-8") as file:
            file.write(name + "\n")

    def take(self) -> list[str]:
        """Return those that were asked for since the last time."""
        taken = self._file.with_suffix(".taken")
        with contextlib.suppress(FileNotFoundError):
            self._file.replace(taken)
            return taken.read_text(encoding="utf-8").split()
        return []
