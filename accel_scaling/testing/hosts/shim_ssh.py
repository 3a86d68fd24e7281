"""``ssh`` to a plain-process host, with the arguments that Ray uses: runs the command as that host.

Not done: -L port forwarding (plain-process hosts share the machine's loopback network, their ports are reachable).
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from accel_scaling.testing.hosts.phone_book import SCRATCH_VARIABLE, HostRecord, look_up

UNREACHABLE = 255
"""ssh's own exit code."""

_OPTIONS_WITH_VALUE = frozenset("bBcDEeFIiJLlmOopQRSWw")


@dataclass(frozen=True)
class SshCall:
    """An ssh command line, read; the user and the command may be absent."""

    address: str
    command: str | None


def parse(argv: list[str]) -> SshCall | None:
    """Read ssh's arguments; None where there is no destination."""
    rest = list(argv)
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        takes_value = len(option) == 2 and option[1] in _OPTIONS_WITH_VALUE
        if takes_value and rest:
            rest.pop(0)
    if not rest:
        return None
    address = rest.pop(0).rpartition("@")[2]
    return SshCall(address, " ".join(rest) if rest else None)


def main(argv: list[str]) -> int:
    """Run the command on the host and return its exit code; 255 where no host answers."""
    call = parse(argv)
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
