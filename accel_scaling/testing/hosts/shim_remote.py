"""``ssh`` and ``rsync`` to a plain-process host, with the arguments that Ray uses.

ssh runs the command as that host; rsync copies on this machine. Not done: -L port forwarding (plain-process hosts share
the machine's loopback network, their ports are reachable).
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.testing.hosts.host_records import SCRATCH_VARIABLE, HostRecord, look_up

if TYPE_CHECKING:
    from collections.abc import Callable


UNREACHABLE, FILE_ERROR = 255, 23
"""Exit codes: of ssh, and of rsync where the remote shell failed; of rsync where some files could not be copied."""

# From ssh(1). A value may follow its option's letter or be the next word: only the latter is skipped.
_SSH_OPTIONS_WITH_VALUE = frozenset("bBcDEeFIiJLlmOopQRSWw")


@dataclass(frozen=True)
class RsyncCall:
    """A parsed command line of rsync."""

    source: str
    target: str
    rules: tuple[str, ...]

    @property
    def excludes(self) -> tuple[str, ...]:
        """The patterns of ``--exclude``; per-directory filters are left to the real rsync."""
        pairs = zip(self.rules[::2], self.rules[1::2], strict=True)
        return tuple(pattern for option, pattern in pairs if option == "--exclude")


def parse_rsync(argv: list[str]) -> RsyncCall | None:
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


def rsync(argv: list[str]) -> int:
    """Copy, and return rsync's exit code."""
    call = parse_rsync(argv)
    if call is None:
        sys.stderr.write("rsync: expected one source and one target\n")
        return 1
    try:
        source, target = _local_path(call.source), _local_path(call.target)
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
    folders = os.environ.get("PATH", "").split(os.pathsep)
    real = shutil.which(
        "rsync", path=os.pathsep.join(folder for folder in folders if not Path(folder).is_relative_to(scratch))
    )
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
        return {name for pattern in patterns for name in fnmatch.filter(names, pattern.removeprefix("**").strip("/"))}

    return ignored


def _local_path(place: str) -> str:
    """Return ``user@address:path`` as a path on this machine; a place without an address stays as it is."""
    login, colon, path = place.partition(":")
    # As rsync reads it: a colon behind a slash belongs to a path of this machine.
    if not colon or "/" in login:
        return place
    address = login.rpartition("@")[2]
    host = look_up(Path(os.environ[SCRATCH_VARIABLE]), address)
    if host is None:
        raise ConnectionRefusedError(address)
    if path.startswith("~"):
        path = path.removeprefix("~").removeprefix("/")
    # Normalised before it is looked at: `..` must not lead out of the host's folder, into this machine's files.
    full = os.path.normpath(host.home / path)
    if not Path(full).is_relative_to(host.folder):
        raise PermissionError(
            f"{path} is outside the home of the plain-process host {address}, which has no root file system of its "
            "own; use a path below ~/, or rehearse as root for isolated hosts"
        )
    return full + "/" * path.endswith("/")


@dataclass(frozen=True)
class SshCall:
    """A parsed command line of ssh; the user and the command may be absent."""

    address: str
    command: str | None


def parse_ssh(argv: list[str]) -> SshCall | None:
    """Read ssh's arguments; None where there is no destination."""
    rest = list(argv)
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        takes_value = len(option) == 2 and option[1] in _SSH_OPTIONS_WITH_VALUE
        if takes_value and rest:
            rest.pop(0)
    if not rest:
        return None
    address = rest.pop(0).rpartition("@")[2]
    return SshCall(address, " ".join(rest) if rest else None)


def ssh(argv: list[str]) -> int:
    """Run the command on the host and return its exit code; 255 where no host answers."""
    call = parse_ssh(argv)
    if call is None:
        sys.stderr.write("usage: ssh [options] [user@]address [command]\n")
        return UNREACHABLE
    host = look_up(Path(os.environ[SCRATCH_VARIABLE]), call.address)
    if host is None:
        sys.stderr.write(f"ssh: connect to host {call.address} port 22: Connection refused\n")
        return UNREACHABLE
    return run_on(host, call.command)


def run_on(host: HostRecord, command: str | None) -> int:
    """Run a shell command, or a login shell, as ``host``; signals reach it, and the host's end is exit code 255."""
    argv = ["bash", "--login"] if command is None else ["bash", "-c", _without_interactive(command)]
    # Its own session: an interactive shell must not take over the terminal of the one who called.
    child = subprocess.Popen(argv, cwd=host.home, env=dict(host.environment), start_new_session=True)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda got, _frame: _pass_on(child.pid, got))
    code = child.wait()
    # A shell that was killed is a host that went down: ssh would have lost its connection.
    return UNREACHABLE if code < 0 else code


def _without_interactive(command: str) -> str:
    """Leave -i out of Ray's ``bash --login -c -i``: without a terminal it only makes bash complain of job control."""
    words = shlex.split(command)
    if words[:4] != ["bash", "--login", "-c", "-i"]:
        return command
    return shlex.join([*words[:3], *words[4:]])


def _pass_on(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)
