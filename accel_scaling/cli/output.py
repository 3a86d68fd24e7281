"""Where a command's file goes: to standard output, or to the file that the user names, which is said."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from accel_scaling.errors import ClusterConfigError

if TYPE_CHECKING:
    from pathlib import Path


def give(text: str, path: Path | None, *, new: bool = False, then: str = "") -> None:
    """Print a text, or write it to a file, its line breaks as they are.

    Args:
        text: the whole file.
        path: where it goes; None for standard output.
        new: only where the file is not there yet.
        then: what to say after ``wrote FILE``.

    Raises:
        FileExistsError: it is there already, and ``new``.
        ClusterConfigError: it cannot be written.
    """
    if path is None:
        sys.stdout.write(text)
        return
    try:
        with path.open("x" if new else "w", encoding="utf-8", newline="") as file:
            file.write(text)
    except FileExistsError:
        raise
    except OSError as error:
        raise ClusterConfigError(f"{path} cannot be written: {error.strerror}") from None
    sys.stderr.write(f"wrote {path}{then}\n")
