"""A copy of this repository in which CONTRIBUTING.md was followed word by word."""

from __future__ import annotations

import bisect
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "CONTRIBUTING.md"
COPIED = ("accel_scaling", "providers", "catalogs", "pyproject.toml")
BLOCK = re.compile(r"<!-- (add|family): (\S+) -->\n+( *)```\w+\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
GIT = ("git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "core.hooksPath=/dev/null")


def follow(clone: Path, mark: str = "add") -> Path:
    """Copy the repository, add the guide's blocks with a mark to the files that they are for, and return the folder."""
    clone.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, clone / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(ROOT / name, clone / name)
    for arguments in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "as it was")):
        subprocess.run([*GIT, *arguments], cwd=clone, check=True)
    for of, file, pad, block in BLOCK.findall(GUIDE.read_text(encoding="utf-8")):
        if of == mark:
            add(clone / file, [line.removeprefix(pad) for line in block.splitlines(keepends=True)])
    return clone


def add(path: Path, lines: list[str]) -> None:
    """Add lines to a file, which may be new: rows of a catalog in their order, anything else at the end."""
    text = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    if path.parent.name != "catalogs" or path.suffix != ".csv":
        path.write_text("".join([*text, *lines]), encoding="utf-8")
        return
    for line in lines:
        text.insert(bisect.bisect(text, line, lo=1), line)
    path.write_text("".join(text), encoding="utf-8")


@pytest.fixture(name="contributed", scope="session")
def contributed_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the copy."""
    return follow(tmp_path_factory.mktemp("contributed") / "clone")
