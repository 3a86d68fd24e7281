"""``ray`` on a plain-process host: the real one, kept to this host's address, ports, folder and processes.

- ``ray start`` gets the host's address, ports that do not collide with those of the other hosts on this machine, and
  the host's own folder. The dashboard is off unless asked for: it takes 1 GB, for each rehearsal.
- ``ray stop`` ends this host's processes only; the real one would end every Ray on the machine.
- Everything else is passed on.

Ray's GCS listens on all addresses, so two heads on one machine cannot both have port 6379. A head that finds its
port taken, or claimed by a head that is just starting, gets a free one, noted beside the host records; a worker's
``--address`` is translated.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from accel_scaling.testing.hosts.host_records import ADDRESS_VARIABLE, SCRATCH_VARIABLE, kill_marked, marked_processes
from accel_scaling.testing.hosts.settings import MARKER_VARIABLE
from accel_scaling.testing.hosts.start_faults import NO_OBJECT_STORE, start_fails

HEAD_PORT = 6379

_SET_ON_EACH = ("--node-ip-address", "--object-manager-port", "--min-worker-port", "--max-worker-port")
_SET_ON_HEAD = ("--dashboard-host", "--ray-client-server-port")


def ray(argv: list[str]) -> int:  # noqa: RET503 - execv does not return
    """Run ``ray`` with these arguments; return only where the real one is not needed."""
    command = next((word for word in argv if not word.startswith("-")), None)
    if command == "stop":
        return _stop()
    if command == "start":
        scratch, address = Path(os.environ[SCRATCH_VARIABLE]), os.environ[ADDRESS_VARIABLE]
        argv = for_head(argv, scratch, address) if "--head" in argv else for_worker(argv, scratch)
        argv = start_arguments(argv, address, os.environ["RAY_TMPDIR"])
    real = Path(sys.executable).parent / "ray"
    os.execv(real, [str(real), *argv])  # noqa: S606 - no shell; the process becomes Ray's own


def start_arguments(argv: list[str], address: str, ray_tmpdir: str) -> list[str]:
    """Return the arguments of ``ray start``, with what a host among others on one machine must change."""
    head = "--head" in argv
    kept = without(argv, _SET_ON_EACH + _SET_ON_HEAD)
    # 0 takes free ports: the hosts share this machine's, and two with Ray's default ranges would collide.
    kept += [f"--node-ip-address={address}", "--object-manager-port=0", "--min-worker-port=0", "--max-worker-port=0"]
    if not _has(argv, "--dashboard-agent-listen-port"):
        kept.append("--dashboard-agent-listen-port=0")  # by default each host's agent would take 52365
    # Its sessions, sockets and logs; with Ray's default all hosts would share the links in /tmp/ray.
    if not _has(argv, "--temp-dir"):
        kept.append(f"--temp-dir={ray_tmpdir}/ray")
    if start_fails(Path.home()):
        kept.append(NO_OBJECT_STORE)
    if head:
        kept.append(f"--dashboard-host={address}")
        if not _has(argv, "--include-dashboard"):
            kept.append("--include-dashboard=false")
    return kept


def _stop() -> int:
    """Kill this host's Ray, but neither the calling shell nor its ancestors."""
    marker, folder = os.environ[MARKER_VARIABLE], None
    spare = frozenset(pid for pid in marked_processes(marker, folder) if not _is_ray(pid))
    count = kill_marked(marker, folder, spare=spare)
    sys.stdout.write(f"Stopped {count} Ray processes of this host.\n" if count else "Did not find any active Ray.\n")
    return 0


def _is_ray(pid: int) -> bool:
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    # Ray's own programs run from its folder; its workers write a title (`ray::task`) over their command line.
    return b"/ray/" in line or line.startswith((b"ray::", b"ray-", b"raylet"))


def _has(argv: list[str], option: str) -> bool:
    return any(word == option or word.startswith(option + "=") for word in argv)


def for_head(argv: list[str], scratch: Path, address: str) -> list[str]:
    """Return the arguments of ``ray start --head`` with a port that is free on this machine."""
    requested = int(_value(argv, "--port") or HEAD_PORT)
    port = requested if claim(requested) else free_port()
    _note(scratch, address, requested).write_text(str(port))
    return [*without(argv, ("--port",)), f"--port={port}"]


def for_worker(argv: list[str], scratch: Path) -> list[str]:
    """Return the arguments of ``ray start --address=IP:PORT`` with the port that the head at IP has really got."""
    host, _, port = (_value(argv, "--address") or "").rpartition(":")
    if not host or not port.isdigit():
        return argv
    note = _note(scratch, host, int(port))
    real = note.read_text() if note.exists() else port
    return [*without(argv, ("--address",)), f"--address={host}:{real}"]


def claim(port: int) -> bool:
    """Keep a free port for this process and the ``ray start`` that it becomes; False where another has it.

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
    """Return whether a server could listen on ``port`` on all addresses."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104 - closed at once; it is what GCS will do
        except OSError:
            return False
    return True


def without(argv: list[str], options: tuple[str, ...]) -> list[str]:
    """Return the arguments less these options and their values."""
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
    """Return a port that no server of this machine has."""
    with socket.create_server(("0.0.0.0", 0)) as probe:  # noqa: S104 - closed at once
        return int(probe.getsockname()[1])


def _note(scratch: Path, address: str, requested: int) -> Path:
    return scratch / "net" / f"{address}-{requested}.port"
