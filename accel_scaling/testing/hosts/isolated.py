"""Isolated hosts: each instance has its own network, processes, mounts, root file system, name and sshd.

Runs inside the cloud's namespaces (``hosts.NAMESPACE``), which the kernel removes with the cloud process. The image of
the hosts is this machine's root file system, less what an image would not have: a layer that is put over ``/``;
deletions in it are overlayfs whiteouts, so this machine's own files are not touched.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import stat
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.errors import RehearsalError
from accel_scaling.families.plugins import entry_points, normalized
from accel_scaling.testing.devices.device_files import change, install
from accel_scaling.testing.faults import FaultKind
from accel_scaling.testing.hosts.hosts import keep_ray_logs, site_folders, sshd
from accel_scaling.testing.hosts.isolated_account import SYSTEM_PATH, put_environments, write_path
from accel_scaling.testing.hosts.leftovers import CLAIM
from accel_scaling.testing.hosts.settings import host_folder
from accel_scaling.testing.hosts.start_faults import failing_ray, plain_ray, put_fault
from accel_scaling.timeouts import LOCAL_CLOUD_POLL_S, LOCAL_CLOUD_SSHD_S

if TYPE_CHECKING:
    from accel_scaling.testing.devices.hardware import Hardware
    from accel_scaling.testing.hosts.hosts import HostSpec
    from accel_scaling.testing.hosts.settings import Settings


BRIDGE = "cloudbridge0"
# Without a fixed one, a bridge takes the lowest of its ports' and changes it with them: neighbours then stall for 35 s.
BRIDGE_MAC = "02:00:00:00:00:01"
INIT = Path(__file__).with_name("isolated_init.sh")

# This machine's drivers and their tools: a host shows the emulated ones or none.
_DRIVERS = (
    *(f"/usr/{folder}/{library}.so*" for folder in ("lib/*", "lib*") for library in ("libnvidia-ml", "libcuda")),
    *("/usr/bin/nvidia-smi", "/opt/aws/neuron"),
)
_PACKAGE = ("accel_scaling", "accel_scaling-*", "__editable__*accel_scaling*", "_accel_scaling*", "accel-scaling*")
# A plug-in's: its package or module, and what pip leaves beside it.
_PLUG_IN = ("{root}", "{root}.py", "{package}-*.dist-info", "{package}.egg-info", "__editable__*{package}*")
_FRESH = ("/tmp", "/var/tmp", "/dev/shm", "/root/.ssh", "/root/.aws", "/root/.config/gcloud")  # noqa: S108 - emptied in the image only


def bridge_address(settings: Settings) -> str:
    """Return the laptop's and the cloud's address: the network's last one, which no host is given."""
    return f"{settings.network}.255.254"


@dataclass
class _IsolatedHost:
    """One host; ``process`` is None while it is stopped."""

    launch: HostSpec
    folder: Path
    process: subprocess.Popen[bytes] | None = None


class IsolatedHosts:
    """All isolated hosts of one local cloud; see ``hosts.Hosts``."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._scratch = settings, settings.scratch
        self._hosts: dict[str, _IsolatedHost] = {}
        try:
            command("mount", "-t", "tmpfs", "-o", "mode=755,size=75%", "cloud", self._scratch)
            command("ip", "link", "set", "lo", "up")
            command("ip", "link", "add", BRIDGE, "address", BRIDGE_MAC, "type", "bridge")
            command("ip", "addr", "add", f"{bridge_address(settings)}/16", "dev", BRIDGE)
            command("ip", "link", "set", BRIDGE, "up")
            if settings.metadata_address:  # the hosts' way out leads to the bridge
                command("ip", "addr", "add", f"{settings.metadata_address}/32", "dev", BRIDGE)
            image = self._scratch / "image"
            make_image(settings, image / "upper", image / "work", image / "root")
            settings.shared_folder.mkdir()
            settings.shared_folder.chmod(0o777)  # of the hosts' account, which their image has, and this machine not
        except subprocess.CalledProcessError as error:
            raise RehearsalError(f"{' '.join(map(str, error.cmd))}: {error.stderr.strip()}") from error

    def boot(self, launch: HostSpec) -> None:
        """Mount the root, start the first process and sshd, and wait until it answers."""
        folder = host_folder(self._settings, launch.instance_id, launch.address)
        # A stopped instance is known already; it keeps its record and its folder.
        host = self._hosts.setdefault(launch.instance_id, _IsolatedHost(launch, folder))
        self._mount_root(host)
        words = [
            *("unshare", "--net", "--pid", "--fork", "--kill-child", "--mount", "--propagation", "private"),
            *("--uts", "--ipc", "bash", str(INIT), str(folder / "root"), launch.hostname),
            *(f"{launch.address}/16", bridge_address(self._settings), str(self._sshd(launch))),
            *self._shared(),
        ]
        with (folder / "init.log").open("ab") as log:
            host.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            _connect_to_bridge(host.process, len(self._hosts))
        except (OSError, subprocess.CalledProcessError):
            if host.process.poll() is None:
                raise
            raise self._not_up(host) from None
        if launch.fault is not FaultKind.NO_SSH:
            self._wait_for_sshd(host)

    def _sshd(self, launch: HostSpec) -> str | None:
        """Return the program that runs on the host as its ssh server."""
        return "true" if launch.fault is FaultKind.NO_SSH else sshd()

    def _shared(self) -> list[str]:
        """Return the folder that all hosts share, and where the host has it; nothing where there is none."""
        settings = self._settings
        if not settings.shared:
            return []
        return [str(settings.shared_folder), f"/home/{settings.ssh_user}/{settings.shared}"]

    def change_devices(self, instance_id: str, hardware: Hardware) -> None:
        """Write again what the driver answers; the host's root is this one, seen from here."""
        if host := self._hosts.get(instance_id):
            change(host.folder / "root", hardware)

    def halt(self, instance_id: str, *, destroy: bool) -> None:
        """Kill the host's first process, and with it all others and its network."""
        host = self._hosts.get(instance_id)
        if host is None:
            return
        if host.process is not None:
            host.process.kill()
            host.process.wait()
            host.process = None
            # Lazy: the kernel may not have ended the host's mount namespace yet, which keeps the root busy.
            command("umount", "--lazy", host.folder / "root")
        if destroy:
            keep_ray_logs(host.folder / "upper" / "tmp" / "ray", self._settings.postmortem / instance_id)
            shutil.rmtree(host.folder, ignore_errors=True)
            del self._hosts[instance_id]

    def close(self) -> None:
        """Halt all hosts; the kernel removes the bridge and the mounts with the cloud's namespaces."""
        for instance_id in list(self._hosts):
            self.halt(instance_id, destroy=True)
        with contextlib.suppress(subprocess.CalledProcessError, OSError):
            command("umount", "--lazy", self._scratch)
            # LocalCloud does it too, unless it was killed.
            (self._scratch / CLAIM).unlink(missing_ok=True)
            self._scratch.rmdir()

    def _mount_root(self, host: _IsolatedHost) -> None:
        first = not host.folder.exists()
        for name in ("upper", "work", "root"):
            (host.folder / name).mkdir(parents=True, exist_ok=True)
        upper, work, root = host.folder / "upper", host.folder / "work", host.folder / "root"
        # The host's own layer over the image's, which all hosts share, over this machine's files.
        options = f"lowerdir={self._scratch}/image/upper:/,upperdir={upper},workdir={work}"
        command("mount", "-t", "overlay", "overlay", "-o", options, root)
        # A host that boots after a stop has its files; writing them again would undo what was changed on it.
        if first:
            self._write_first_boot(host.launch, root)

    def _write_first_boot(self, launch: HostSpec, root: Path) -> None:
        user = self._settings.ssh_user
        keys = root / "home" / user / ".ssh" / "authorized_keys"
        keys.write_text("".join(key.strip() + "\n" for key in launch.public_keys))
        command("chroot", root, "chown", f"{user}:", f"/home/{user}/.ssh/authorized_keys")
        names = f"127.0.0.1 localhost\n{launch.address} {launch.hostname}\n"
        if self._settings.metadata_port and not self._settings.metadata_address:
            names += f"{bridge_address(self._settings)} metadata.google.internal metadata\n"
        # Hosts have no name server: this is the only place where they can look a name up.
        (root / "etc/hosts").write_text(names)
        (root / "etc/hostname").write_text(launch.hostname + "\n")
        install(root, launch.hardware)
        put_fault(root / "home" / user, launch.fault)
        fails = launch.fault is FaultKind.START_FAILS
        ray = failing_ray(self._settings.python) if fails else plain_ray(self._settings.python)
        if fails:
            (root / self._settings.python.parent.relative_to("/") / "ray").write_text(ray)
        put_environments(root, self._settings, ray)
        if shared := self._settings.shared:
            home = f"/home/{self._settings.ssh_user}"
            command("chroot", f"--userspec={self._settings.ssh_user}", root, "mkdir", "-p", f"{home}/{shared}")

    def _wait_for_sshd(self, host: _IsolatedHost) -> None:
        deadline = time.monotonic() + LOCAL_CLOUD_SSHD_S
        while time.monotonic() < deadline and host.process is not None and host.process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection((host.launch.address, 22), timeout=1):
                return
            time.sleep(LOCAL_CLOUD_POLL_S)
        raise self._not_up(host)

    def _not_up(self, host: _IsolatedHost) -> RehearsalError:
        """Return the error for a host that is not up, with the last line that its first process wrote."""
        log = (host.folder / "init.log").read_text(errors="replace").strip().splitlines()[-1:]
        return RehearsalError(f"the host of {host.launch.instance_id} did not come up: {' '.join(log)}")


def _connect_to_bridge(process: subprocess.Popen[bytes], number: int) -> None:
    """Lay a cable from the bridge into the network namespace of a host, once it has one.

    Raises:
        OSError, CalledProcessError: it has none, for it has ended.
    """
    pid = process.pid
    ours, theirs = Path("/proc/self/ns/net").readlink(), Path(f"/proc/{pid}/ns/net")
    deadline = time.monotonic() + LOCAL_CLOUD_SSHD_S
    while theirs.readlink() == ours and time.monotonic() < deadline:
        if process.poll() is not None:
            raise ProcessLookupError(pid)
        time.sleep(LOCAL_CLOUD_POLL_S)
    cable = f"v{number}-{pid}"  # short: the name of an interface has 15 characters at most
    peer = ("peer", "name", "eth0", "netns", str(pid))
    command("ip", "link", "add", cable, "type", "veth", *peer)
    command("ip", "link", "set", cable, "master", BRIDGE, "up")


def make_image(settings: Settings, upper: Path, work: Path, root: Path) -> None:
    """Fill ``upper``; ``root`` is where the image is mounted meanwhile.

    Raises:
        RehearsalError: the image would still hold accel_scaling or a plug-in, or a command failed.
    """
    for folder in (upper, work, root):
        folder.mkdir(parents=True)
    # Now: what happens when a layer is changed from outside while the overlay is mounted is undefined (overlayfs.rst).
    for name in _FRESH:
        _empty(upper, name)
    options = f"lowerdir=/,upperdir={upper},workdir={work}"
    command("mount", "-t", "overlay", "overlay", "-o", options, root)
    try:
        _hide_packages_and_drivers(root, settings.python)
        _let_account_read(root, settings.python)
        _add_user(root, settings.ssh_user)
        _write_sshd(root, settings)
        # Last, on the finished image: a boot check that finds this package installed would prove nothing about the
        # bundle.
        _check_image(root, settings)
    finally:
        command("umount", root)


def command(*words: str | Path) -> None:
    """Run a command; CalledProcessError carries its stderr."""
    subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True)


def _hide_packages_and_drivers(root: Path, python: Path) -> None:
    entries = entry_points()
    patterns = {*_PACKAGE} | {
        pattern.format(root=entry.root, package=normalized(entry.package)) for entry in entries for pattern in _PLUG_IN
    }
    modules = _hidden_modules()
    for folder in site_folders(python):
        inside = root / folder.relative_to("/")
        for path in {path for pattern in patterns for path in inside.glob(pattern)}:
            _remove(path)
        # An editable install without a finder of its own is a line of a .pth file, which may name other packages too.
        for pth in inside.glob("*.pth"):
            lines = pth.read_text().splitlines()
            kept = [line for line in lines if not any(Path(line, name).is_dir() for name in modules)]
            pth.write_text("".join(line + "\n" for line in kept))
    for pattern in _DRIVERS:
        for name in root.glob(pattern.removeprefix("/")):
            _remove(name)


def _hidden_modules() -> set[str]:
    """Return the packages that may be on this machine and must come to a host by themselves."""
    return {"accel_scaling", *(entry.root for entry in entry_points())}


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        command("rm", "-rf", "--one-file-system", path)
    else:
        path.unlink()


def _empty(upper: Path, folder: str) -> None:
    """Make a folder of the image empty at once, before it is mounted: an opaque directory hides what is below."""
    below = Path(folder)
    if not below.is_dir():
        return
    inside = upper / below.relative_to("/")
    for path in reversed([inside, *inside.parents]):
        if path.is_relative_to(upper) and not path.exists():
            path.mkdir()
            # The mode of the upper layer counts, also for a folder that is in the lower one.
            path.chmod(stat.S_IMODE(Path("/", path.relative_to(upper)).stat().st_mode))
    os.setxattr(inside, "trusted.overlay.opaque", b"y")


def _let_account_read(root: Path, python: Path) -> None:
    """Let the account read an environment that is in a user's home."""
    for start in (python.parent, python.resolve().parent, *site_folders(python)):
        for folder in (start, *start.parents):
            inside = root / folder.relative_to("/")
            mode = inside.stat().st_mode
            if mode & 0o005 != 0o005:
                inside.chmod(stat.S_IMODE(mode) | 0o055)


def _add_user(root: Path, user: str) -> None:
    if subprocess.run(["chroot", root, "id", user], capture_output=True, check=False).returncode:
        command("chroot", root, "useradd", "-m", "-s", "/bin/bash", user)
    command("chroot", root, "usermod", "-p", "*", user)  # no password, but not locked either: sshd refuses a locked one
    home = root / "home" / user
    (home / ".ssh").mkdir(parents=True, exist_ok=True)
    command("chroot", root, "chown", "-R", f"{user}:", f"/home/{user}")
    if (sudoers := root / "etc/sudoers.d").is_dir():
        (sudoers / "90-cloud").write_text(f"{user} ALL=(ALL) NOPASSWD:ALL\n")
        (sudoers / "90-cloud").chmod(0o440)


def _write_sshd(root: Path, settings: Settings) -> None:
    (root / "etc/ssh").mkdir(exist_ok=True)
    command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", root / "etc/ssh/cloud_host_key")
    write_path(root, settings, f"{settings.python.parent}:{SYSTEM_PATH}")
    # Often a link to a file that this machine's resolver writes; the image is to have a file of its own.
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    (root / "etc/resolv.conf").write_text("")  # no name servers: nothing outside can be reached


def _check_image(root: Path, settings: Settings) -> None:
    code = "import importlib.util as u, sys; sys.exit(any(map(u.find_spec, sys.argv[1:])))"
    names = sorted(_hidden_modules())
    done = subprocess.run(
        # As the account of the hosts, which must be able to read the environment too, and with nothing of this
        # environment.
        ["chroot", f"--userspec={settings.ssh_user}", root, settings.python, "-c", code, *names],
        capture_output=True, text=True, check=False, cwd="/", env={"PATH": os.environ["PATH"], "HOME": "/"},
    )  # fmt: skip
    if done.returncode:
        why = done.stderr.strip().splitlines()[-1:] or [
            f"it holds {' or '.join(names)}, which must come to it by itself"
        ]
        raise RehearsalError(f"the hosts' image is not usable with {settings.python}: {why[0]}")
