"""The two kinds of hosts: their interface to the cloud process, and the choice between them, with its reason."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from accel_scaling import timeouts
from accel_scaling.errors import RehearsalError
from accel_scaling.message_text import shown
from accel_scaling.testing.devices.device_faults import mixed, with_fault
from accel_scaling.testing.faults import FaultKind, of_devices, of_start, read_faults
from accel_scaling.testing.hosts.settings import HostKind

if TYPE_CHECKING:
    from accel_scaling.testing.devices.hardware import Hardware


NAMESPACE = (
    *("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"),
)
"""The cloud's own network, mounts and processes; the kernel removes them with the first process."""

_TOOLS = ("unshare", "nsenter", "setpriv", "ip", "mount", "umount", "chroot", "useradd", "ssh", "ssh-keygen", "rsync")

# What the cloud does, in miniature, in namespaces of its own that are gone a moment later. The rm makes a whiteout, by
# which an image hides files of this machine.
_PROBE = """set -e
mount -t tmpfs probe /mnt
mkdir /mnt/up /mnt/work /mnt/root
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/up,workdir=/mnt/work /mnt/root
rm /mnt/root/etc/passwd
ip link add probe0 type bridge
ip link add probe1 type veth peer name probe2
"""

# The same faults in the words of device_faults.
_DEVICE_FAULTS = {
    FaultKind.FEWER: "fewer",
    FaultKind.NO_DRIVER: "no-driver",
    FaultKind.NO_DEVICES: "no-device",
    FaultKind.UNHEALTHY: "unhealthy",
    FaultKind.NOT_YET: "not-yet",
    FaultKind.SLOW: "slow",
    FaultKind.DIAG_FAILS: "diag-fails",
}


@dataclass(frozen=True)
class HostSpec:
    """The specification of a host: what it needs to know of its machine in the cloud.

    Attributes:
        instance_id: the cloud's id for it.
        instance_type: the cloud's name of its machine type.
        address: the private address that the cloud reports.
        public_keys: OpenSSH public keys that may log in.
        hardware: what is really in it, faults included.
        name: its host name; made of the address, as EC2 does, where it is empty.
        fault: what goes wrong between its boot and its join; None for nothing.
    """

    instance_id: str
    instance_type: str
    address: str
    public_keys: tuple[str, ...]
    hardware: Hardware
    name: str = ""
    fault: FaultKind | None = None

    @property
    def hostname(self) -> str:
        """Return the host's name; as EC2 names hosts (``ip-172-31-0-4``) where it has no other."""
        return self.name or "ip-" + self.address.replace(".", "-")


class Hosts(Protocol):
    """All hosts of one local cloud; errors are OSError, CalledProcessError or RehearsalError."""

    def boot(self, launch: HostSpec) -> None:
        """Bring a host up, for the first time or after a stop; its files survive a stop."""

    def change_devices(self, instance_id: str, hardware: Hardware) -> None:
        """Make the devices of a host that is up others than they were, as far as its driver can show it."""

    def halt(self, instance_id: str, *, destroy: bool) -> None:
        """Cut the power; with ``destroy`` the disk goes too, its Ray logs into the post-mortem folder."""

    def close(self) -> None:
        """Halt whatever is left and leave nothing behind."""


def keep_ray_logs(ray_folder: Path, postmortem: Path) -> None:
    """Copy the logs of every Ray session below ``ray_folder``; devices, sockets and dead links are left."""
    # By the year: `session_latest` is a link to one of the sessions, whose logs would be copied twice.
    for logs in sorted(ray_folder.glob("session_2*/logs")):
        shutil.copytree(logs, postmortem / logs.parent.name, ignore=_odd_files, dirs_exist_ok=True)


def _odd_files(folder: str, names: list[str]) -> set[str]:
    return {name for name in names if not ((path := Path(folder, name)).is_file() or path.is_dir())}


def hardware_at_boot(hardware: Hardware, machine_type: str, faults_file: Path) -> Hardware:
    """Return the devices of a machine that boots now: those of its type, or what a fault makes of them."""
    fault = of_devices(read_faults(faults_file), machine_type)
    if fault is None:
        return hardware
    if fault.kind is FaultKind.OTHER:
        return replace(hardware, driver_name=fault.driver_name or "")
    if fault.kind is FaultKind.MIXED:
        return mixed(hardware, fault.driver_name or "")
    words = _DEVICE_FAULTS[fault.kind]
    return with_fault(hardware, words if fault.count is None else f"{words}:{fault.count}")


# The causes of `sick:` in the words of device_faults.
_SICK = {"lost": "unhealthy", "ecc": "ecc", "hangs": "not-yet"}
# What says it of one device; the other drivers fail as a whole, as they do while a person replaces them.
_SAY_IT_OF_ONE = {"lost": ("nvml", "gaudi"), "ecc": ("nvml", "neuron")}


def sick(hardware: Hardware, cause: str = "") -> Hardware:
    """Return the hardware of a machine of which one device has failed.

    Args:
        hardware: as it was.
        cause: one of SICK_CAUSES; empty for that which its driver surely says of one device, where there is one.

    Raises:
        RehearsalError: its driver cannot show it.
    """
    return with_fault(hardware, _SICK[cause or _sure_cause(hardware)])


def sick_words(hardware: Hardware, cause: str = "") -> str:
    """Return what happens then, and for how long the watcher waits where the whole driver fails."""
    word = cause or _sure_cause(hardware)
    what = {"lost": "one of its devices fails", "ecc": "the memory of one of its devices fails"}.get(word)
    if hardware.kind in _SAY_IT_OF_ONE.get(word, ()):
        return f"{what}"
    minutes = (timeouts.WATCHER_UNSURE_LOOKS - 1) * timeouts.WATCHER_DEVICES_S / 60
    return f"{what or 'its driver hangs'}; the whole driver fails, which counts after {minutes:.0f} min"


def _sure_cause(hardware: Hardware) -> str:
    return "ecc" if hardware.kind == "neuron" else "lost"


def with_xid(hardware: Hardware, xid: int) -> Hardware:
    """Return the hardware of a machine whose driver reports an error with this number of its last device.

    Raises:
        RehearsalError: it has no driver of NVIDIA's.
    """
    if hardware.kind != "nvml":
        raise RehearsalError(f"only NVIDIA's driver reports XIDs, and a {hardware.driver_name} has another one")
    return replace(hardware, facts=(*hardware.facts, ("xid", xid)))


def fault_at_start(machine_type: str, faults_file: Path) -> FaultKind | None:
    """Return what goes wrong between the launch of a machine and its join; None for nothing."""
    fault = of_start(read_faults(faults_file), machine_type)
    return fault.kind if fault else None


def choose_kind(requested: HostKind | None, python: Path) -> tuple[HostKind, str]:
    """Return the kind of hosts and the reason, in one line.

    Args:
        requested: None leaves the choice to the machine.
        python: the environment that hosts shall have.

    Raises:
        RehearsalError: the requested kind does not work here, or none does.
    """
    if not sys.platform.startswith("linux"):
        raise RehearsalError("rehearsals need Linux: they use its namespaces, or at least its /proc and 127.0.0.0/8")
    if requested is HostKind.PROCESSES:
        return requested, "plain processes on loopback addresses: asked for"
    obstacle = isolation_obstacle(python)
    if obstacle is None:
        return HostKind.ISOLATED, "isolated: namespaces, own root file systems and sshd"
    if requested is HostKind.ISOLATED:
        raise RehearsalError(f"isolated hosts do not work here: {obstacle}; rehearse with plain processes instead")
    return HostKind.PROCESSES, f"plain processes on loopback addresses: {obstacle}"


def isolation_obstacle(python: Path) -> str | None:
    """Return what keeps this machine from carrying isolated hosts; None where nothing does."""
    if os.geteuid() != 0:
        return "not root"
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if sshd() is None:
        missing.append("sshd")
    if missing:
        return f"{', '.join(missing)} not installed"
    return _environment_obstacle(python) or _trial_obstacle()


def _environment_obstacle(python: Path) -> str | None:
    for folder in _environment_folders(python):
        if folder.is_relative_to("/tmp") or folder.is_relative_to("/var/tmp"):  # noqa: S108 - fresh on each host
            return f"Python's {folder} is in a folder for temporary files, of which each host has its own"
        # An overlay shows the one file system that it is over, and nothing that is mounted below that.
        if folder.stat().st_dev != Path("/").stat().st_dev:
            return f"Python's {folder} is on another file system than /, where hosts would not see it"
    return None


def _trial_obstacle() -> str | None:
    try:
        done = subprocess.run(
            [*NAMESPACE, "sh", "-c", _PROBE],
            capture_output=True, text=True, timeout=timeouts.LOCAL_CLOUD_PROBE_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"a trial of namespaces did not end within {timeouts.LOCAL_CLOUD_PROBE_S} s"
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["a trial of namespaces failed"])[-1]
    return None


def below_home(folder: str) -> str:
    """Return a folder of the hosts' account as a path below its home; empty for none.

    Args:
        folder: such as ``~/runs``; a shell may have written this user's home for the sign.

    Raises:
        RehearsalError: it is not below the home.
    """
    path = Path(folder)
    for home in ("~", Path.home()):
        if path.is_relative_to(home) and path != Path(home) and ".." not in path.parts:
            return str(path.relative_to(home))
    if not folder:
        return ""
    raise RehearsalError(f"{shown(folder)} cannot be shared: hosts share a folder below their home, such as '~/runs'")


def sshd() -> str | None:
    """Return the path of the ssh server; None where there is none."""
    # sshd starts itself again for each connection, and refuses to run by a relative name.
    return shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def _environment_folders(python: Path) -> list[Path]:
    """Return the folders that hold the interpreter, its environment, and the installation below a virtual one."""
    return [python.parent, python.resolve().parent, *site_folders(python)]


def site_folders(python: Path) -> list[Path]:
    """Return the site-packages folders of an interpreter, its user's own not among them."""
    code = "import site; print(*site.getsitepackages(), sep='\\n')"
    # Isolated: PYTHONPATH and the user's own folder are this process's, and no host has them.
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True)
    return [Path(line) for line in done.stdout.split("\n") if line and Path(line).exists()]
