"""``rsync`` to or from a plain-process host, with the arguments that Ray uses: a copy on this machine."""

from __future__ import annotations

import fnmatch
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.testing.hosts.phone_book import SCRATCH_VARIABLE, look_up

if TYPE_CHECKING:
    from collections.abc import Callable

UNREACHABLE, FILE_ERROR = 255, 23
"""rsync's exit codes: the remote shell failed; some files could not be copied."""


@dataclass(frozen=True)
class RsyncCall:
    """An rsync command line, read."""

    source: str
    target: str
    rules: tuple[str, ...]

    @property
    def excludes(self) -> tuple[str, ...]:
        """The patterns of ``--exclude``; per-directory filters are left to the real rsync."""
        pairs = zip(self.rules[::2], self.rules[1::2], strict=True)
        return tuple(pattern for option, pattern in pairs if option == "--exclude")


def parse(argv: list[str]) -> RsyncCall | None:
    """Read rsync's arguments; None where they are not ones that Ray uses."""
    rest, places, rules = list(argv), [], []
    while rest:
        word = rest.pop(0)
        if word in ("--rsh", "-e") and rest:
            rest.pop(0)
        elif word in ("--exclude", "--filter") and rest:
            rules += [word, rest.pop(0)]
        elif not word.startswith("-"):
            places.append(word)
    return RsyncCall(places[0], places[1], tuple(rules)) if len(places) == 2 else None


def main(argv: list[str]) -> int:
    """Copy, and return rsync's exit code."""
    call = parse(argv)
    if call is None:
        sys.stderr.write("rsync: expected one source and one target\n")
        return 1
    try:
        source, target = _local(call.source), _local(call.target)
    except ConnectionRefusedError as error:
        sys.stderr.write(f"ssh: connect to host {error} port 22: Connection refused\n")
        return UNREACHABLE
    except PermissionError as error:
        sys.stderr.write(f"rsync: {error}\n")
        return FILE_ERROR
    return copy(source, target, call)


def copy(source: str, target: str, call: RsyncCall) -> int:
    """Copy with the machine's rsync, or without one."""
    scratch = os.environ[SCRATCH_VARIABLE]  # holds the shims, this one too
    folders = [one for one in os.environ.get("PATH", "").split(os.pathsep) if not Path(one).is_relative_to(scratch)]
    real = shutil.which("rsync", path=os.pathsep.join(folders))
    if real is not None:
        return subprocess.run([real, "-a", *call.rules, source, target], check=False).returncode
    return copy_with_python(source, target, call.excludes)


def copy_with_python(source: str, target: str, excludes: tuple[str, ...]) -> int:
    """Copy by rsync's rule: ``folder/`` means its content, ``folder`` the folder; a file is put under either name."""
    origin, goal = Path(source), Path(target)
    if not origin.exists():
        sys.stderr.write(f"rsync: {origin}: No such file or directory\n")
        return FILE_ERROR
    if origin.is_dir():
        goal = goal if source.endswith("/") else goal / origin.name
        shutil.copytree(origin, goal, symlinks=True, dirs_exist_ok=True, ignore=_ignore(excludes))
        return 0
    if goal.is_dir() or target.endswith("/"):
        goal.mkdir(exist_ok=True)
        goal = goal / origin.name
    shutil.copy2(origin, goal)
    return 0


def _ignore(patterns: tuple[str, ...]) -> Callable[[str, list[str]], set[str]]:
    def ignored(_folder: str, names: list[str]) -> set[str]:
        return {name for one in patterns for name in fnmatch.filter(names, one.removeprefix("**").strip("/"))}

    return ignored


def _local(place: str) -> str:
    """Return ``user@address:path`` as a path on this machine; a place without an address stays as it is."""
    login, colon, path = place.partition(":")
    if not colon or "/" in login:
        return place
    address = login.rpartition("@")[2]
    host = look_up(Path(os.environ[SCRATCH_VARIABLE]), address)
    if host is None:
        raise ConnectionRefusedError(address)
    if path.startswith("~"):
        path = path.removeprefix("~").removeprefix("/")
    full = os.path.normpath(host.home / path)
    if not Path(full).is_relative_to(host.folder):
        raise PermissionError(
            f"{path} is outside the home of the plain-process host {address}, which has no root file system of its "
            "own; use a path below ~/, or rehearse as root for isolated hosts"
        )
    return full + "/" * path.endswith("/")
