"""`accel-scaling rehearse` as a child process of a test: its command, its folder, and what it leaves behind."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.cluster import LEAN

ROOT = Path(__file__).resolve().parents[2]
REHEARSE = [sys.executable, "-m", "accel_scaling", "rehearse"]


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A short folder (Ray's sockets lie below it) that an ordinary account may use."""
    folder = Path(tempfile.mkdtemp(prefix="accel-t-", dir="/tmp"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def lean(path: Path, folder: Path) -> Path:
    """A copy of a cluster file that says how Ray starts: without what no test asks it for, 10 s of CPU on a head."""
    copy = folder / path.name
    copy.write_text(f"{path.read_text(encoding='utf-8')}\n{yaml.safe_dump(LEAN)}", encoding="utf-8")
    return copy


def environment(scratch: Path) -> dict[str, str]:
    return {**os.environ, "HOME": str(scratch), "TMPDIR": str(scratch), "PYTHONPATH": str(ROOT)}


def left_behind(scratch: Path) -> list[str]:
    """The command lines of processes that still have this rehearsal's folder in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(scratch).encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:  # it has just ended
            continue
    return found
