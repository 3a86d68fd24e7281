"""``ray`` on a plain-process host: the real one, kept to this host's address, ports, folder and processes.

- ``ray start`` gets the host's address, ports that do not collide with those of the other hosts on this machine, and
  the host's own folder. The dashboard is off unless asked for: it takes 1 GB, for each rehearsal.
- ``ray stop`` ends this host's processes only; the real one would end every Ray on the machine.
- Everything else is passed on.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from accel_scaling.testing.hosts.process_marker import kill_marked, marked_processes
from accel_scaling.testing.hosts.registry import ADDRESS_VARIABLE, SCRATCH_VARIABLE
from accel_scaling.testing.hosts.settings import MARKER_VARIABLE
from accel_scaling.testing.hosts.shim_ports import for_head, for_worker, without

_OWN = ("--node-ip-address", "--object-manager-port", "--min-worker-port", "--max-worker-port")
_OWN_ON_HEAD = ("--dashboard-host", "--ray-client-server-port")


def main(argv: list[str]) -> int:  # noqa: RET503 - execv does not return
    """Runs ``ray`` with these arguments; returns only where the real one is not needed."""
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
    """The arguments of ``ray start``, with what a host among others on one machine must change."""
    head = "--head" in argv
    kept = without(argv, _OWN + _OWN_ON_HEAD)
    kept += [f"--node-ip-address={address}", "--object-manager-port=0", "--min-worker-port=0", "--max-worker-port=0"]
    if not _has(argv, "--dashboard-agent-listen-port"):
        kept.append("--dashboard-agent-listen-port=0")
    if not _has(argv, "--temp-dir"):
        kept.append(f"--temp-dir={ray_tmpdir}/ray")
    if head:
        kept.append(f"--dashboard-host={address}")
        if not _has(argv, "--include-dashboard"):
            kept.append("--include-dashboard=false")
    return kept


def _stop() -> int:
    """Kills this host's Ray, but neither the shell that asked nor its ancestors."""
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
    return b"/ray/" in line or line.startswith((b"ray::", b"ray-", b"raylet"))


def _has(argv: list[str], option: str) -> bool:
    return any(word == option or word.startswith(option + "=") for word in argv)
