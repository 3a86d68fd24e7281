"""The package's files on a node: what people need of it in their shells, and bundles that nobody uses any more."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling import timeouts
from accel_scaling._ray.facts import AUTH_MODE
from accel_scaling.boot.verdict_file import FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PYTHON = "ACCEL_SCALING_PYTHON"
_FORMER = ".accel_scaling/bundle"


def tell_shells(environment: Mapping[str, str]) -> None:
    """Write into env.sh what people's shells need to speak to the Ray that starts here.

    That is the Python that runs ray, this one, as the node may have others; and whether Ray asks for a token.

    Args:
        environment: this process's; without the script before the start command there is no such file.
    """
    folder = environment.get(FOLDER)
    if not folder:
        return
    values = {_PYTHON: sys.executable, AUTH_MODE: environment.get(AUTH_MODE, "")}
    lines = [f"export {name}={shlex.quote(value)}" for name, value in values.items() if value]
    file = Path(folder, "env.sh")
    # Not on every file system; and nothing but people's shells needs it.
    with contextlib.suppress(OSError, UnicodeDecodeError):
        there = file.read_text(encoding="utf-8").splitlines()
        kept = [other for other in there if not other.startswith(tuple(f"export {name}=" for name in values))]
        if [*kept, *lines] != there:
            fresh = file.with_name(f"env.sh.{os.getpid()}")
            fresh.write_text("\n".join([*kept, *lines]) + "\n", encoding="utf-8")
            fresh.replace(file)


def remove_unused_bundles(bundle: Path, home: Path, processes: Path = Path("/proc")) -> None:
    """Remove bundles of earlier `ray up`s that no process of this node has in its path.

    Args:
        bundle: the folder that this package is read from.
        home: the folder in which earlier versions had their bundle.
        processes: what the kernel says about processes; where it says nothing, no bundle is removed.
    """
    others = [folder for folder in _folders(bundle.parent) if folder.name != bundle.name]
    former = home / _FORMER
    candidates = [folder for folder in (*others, former) if folder.is_dir() and _is_old(folder)]
    if not candidates:
        return
    paths = set(_python_paths(processes))
    for folder in candidates:
        if paths and not any(str(folder) in path.split(":") for path in paths):
            shutil.rmtree(folder, ignore_errors=True)


def _folders(parent: Path) -> list[Path]:
    # Only where bundles lie: a package that is installed has other packages beside it.
    if parent.name != ".accel_scaling_bundle":
        return []
    try:
        return list(parent.iterdir())
    except OSError:
        return []


def _is_old(folder: Path) -> bool:
    try:
        # When it came here: rsync keeps the time of the last change, and cannot keep this one.
        return time.time() - folder.stat().st_ctime > timeouts.NODE_BUNDLE_UNUSED_S
    except OSError:
        return False


def _python_paths(processes: Path) -> Iterator[str]:
    """Yield the PYTHONPATH of each process that may be looked at; this one's at least, or nothing is known."""
    for environment in processes.glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            for entry in environment.read_bytes().split(b"\0"):
                if entry.startswith(b"PYTHONPATH="):
                    yield entry.removeprefix(b"PYTHONPATH=").decode(errors="replace")
