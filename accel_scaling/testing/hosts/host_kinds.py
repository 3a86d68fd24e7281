"""The choice between isolated hosts and plain processes, and the reason for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from accel_scaling.errors import RehearsalError
from accel_scaling.testing.hosts.settings import HostKind
from accel_scaling.timeouts import LOCAL_CLOUD_PROBE_S

NAMESPACE = (
    *("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"),
)
"""The cloud's own network, mounts and processes; the kernel removes them with the first process."""

_TOOLS = ("unshare", "nsenter", "setpriv", "ip", "mount", "umount", "chroot", "useradd", "ssh", "ssh-keygen", "rsync")

# What the cloud does, in miniature, in namespaces of its own that are gone a moment later.
_PROBE = """set -e
mount -t tmpfs probe /mnt
mkdir /mnt/up /mnt/work /mnt/root
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/up,workdir=/mnt/work /mnt/root
rm /mnt/root/etc/passwd
ip link add probe0 type bridge
ip link add probe1 type veth peer name probe2
"""


def choose_kind(wanted: HostKind | None, python: Path) -> tuple[HostKind, str]:
    """Return the kind of hosts and the reason, in one line.

    Args:
        wanted: None leaves the choice to the machine.
        python: the environment that hosts shall have.

    Raises:
        RehearsalError: the wanted kind does not work here, or none does.
    """
    if not sys.platform.startswith("linux"):
        raise RehearsalError("rehearsals need Linux: they use its namespaces, or at least its /proc and 127.0.0.0/8")
    if wanted is HostKind.PROCESSES:
        return wanted, "plain processes on loopback addresses: asked for"
    obstacle = isolation_obstacle(python)
    if obstacle is None:
        return HostKind.ISOLATED, "isolated hosts: namespaces, own root file systems and sshd"
    if wanted is HostKind.ISOLATED:
        raise RehearsalError(f"isolated hosts do not work here: {obstacle}; rehearse with plain processes instead")
    return HostKind.PROCESSES, f"plain processes on loopback addresses: {obstacle}"


def isolation_obstacle(python: Path) -> str | None:
    """Say what keeps this machine from carrying isolated hosts; None where nothing does."""
    if os.geteuid() != 0:
        return "not root"
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if sshd() is None:
        missing.append("sshd")
    if missing:
        return f"{', '.join(missing)} not installed"
    return _environment_obstacle(python) or _trial_obstacle()


def _environment_obstacle(python: Path) -> str | None:
    for one in _environment_folders(python):
        if one.is_relative_to("/tmp") or one.is_relative_to("/var/tmp"):  # noqa: S108 - fresh on each host
            return f"Python's {one} is in a folder for temporary files, of which each host has its own"
        if one.stat().st_dev != Path("/").stat().st_dev:
            return f"Python's {one} is on another file system than /, where hosts would not see it"
    return None


def _trial_obstacle() -> str | None:
    try:
        done = subprocess.run(
            [*NAMESPACE, "sh", "-c", _PROBE],
            capture_output=True, text=True, timeout=LOCAL_CLOUD_PROBE_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"a trial of namespaces did not end within {LOCAL_CLOUD_PROBE_S} s"
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["a trial of namespaces failed"])[-1]
    return None


def sshd() -> str | None:
    """Return where the ssh server is; it must be called by its full path."""
    return shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def _environment_folders(python: Path) -> list[Path]:
    """Return the folders that hold the interpreter, its environment, and the installation below a virtual one."""
    return [python.parent, python.resolve().parent, *site_folders(python)]


def site_folders(python: Path) -> list[Path]:
    """Return the site-packages folders of an interpreter, its user's own not among them."""
    code = "import site; print(*site.getsitepackages(), sep='\\n')"
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True)
    return [Path(line) for line in done.stdout.split("\n") if line and Path(line).exists()]
