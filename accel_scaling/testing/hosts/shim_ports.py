"""The head's port: Ray's GCS listens on all addresses, so two heads on one machine can't both have 6379.

A head that finds its port taken, or claimed by a head that is just starting, gets a free one, noted in the phone book;
a worker's ``--address`` is translated.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

HEAD_PORT = 6379


def for_head(argv: list[str], scratch: Path, address: str) -> list[str]:
    """The arguments of ``ray start --head`` with a port that is free on this machine."""
    asked = int(_value(argv, "--port") or HEAD_PORT)
    port = asked if claim(asked) else free_port()
    _note(scratch, address, asked).write_text(str(port))
    return [*without(argv, ("--port",)), f"--port={port}"]


def for_worker(argv: list[str], scratch: Path) -> list[str]:
    """The arguments of ``ray start --address=IP:PORT`` with the port that the head at IP has really got."""
    host, _, port = (_value(argv, "--address") or "").rpartition(":")
    if not host or not port.isdigit():
        return argv
    note = _note(scratch, host, int(port))
    real = note.read_text() if note.exists() else port
    return [*without(argv, ("--address",)), f"--address={host}:{real}"]


def claim(port: int) -> bool:
    """Keeps a free port for this process and the ``ray start`` that it becomes; False where another has it.

    Between this look and GCS's own bind lie seconds, in which another head would find the port free too. The claim is
    a socket's name in Linux's abstract namespace: it is inherited across exec, and ends with ``ray start``, which
    returns once GCS listens.
    """
    with socket.socket(socket.AF_UNIX) as mark:
        try:
            mark.bind(f"\0accel-scaling-port-{port}")
        except OSError:
            return False
        if not is_free(port):
            return False
        mark.set_inheritable(True)
        mark.detach()  # open until the process ends
    return True


def is_free(port: int) -> bool:
    """Says whether a server could listen on ``port`` on all addresses."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104 - closed at once; it is what GCS will do
        except OSError:
            return False
    return True


def without(argv: list[str], options: tuple[str, ...]) -> list[str]:
    """The arguments less these options and their values."""
    kept, skip = [], False
    for word in argv:
        if skip:
            skip = False
        elif word in options:
            skip = True
        elif word.partition("=")[0] not in options:
            kept.append(word)
    return kept


def _value(argv: list[str], option: str) -> str | None:
    for index, word in enumerate(argv):
        if word.startswith(option + "="):
            return word.partition("=")[2]
        if word == option and index + 1 < len(argv):
            return argv[index + 1]
    return None


def free_port() -> int:
    """A port that no server of this machine has."""
    with socket.create_server(("0.0.0.0", 0)) as probe:  # noqa: S104 - closed at once
        return int(probe.getsockname()[1])


def _note(scratch: Path, address: str, asked: int) -> Path:
    return scratch / "net" / f"{address}-{asked}.port"
