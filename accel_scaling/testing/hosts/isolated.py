"""Isolated hosts: each instance has its own network, processes, mounts, root file system, name and sshd.

Runs inside the cloud's namespaces (``host_kinds.NAMESPACE``), which the kernel removes with the cloud process.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.errors import RehearsalError
from accel_scaling.testing.devices.device_files import install
from accel_scaling.testing.hosts.host_kinds import sshd
from accel_scaling.testing.hosts.hosts import keep_ray_logs
from accel_scaling.testing.hosts.image import command, make_image
from accel_scaling.testing.hosts.settings import host_folder
from accel_scaling.timeouts import LOCAL_CLOUD_POLL_S, LOCAL_CLOUD_SSHD_S

if TYPE_CHECKING:
    from accel_scaling.testing.hosts.hosts import HostSpec
    from accel_scaling.testing.hosts.settings import Settings

BRIDGE = "cloudbridge0"
# Without a fixed one, a bridge takes the lowest of its ports' and changes it with them: neighbours then stall for 35 s.
BRIDGE_MAC = "02:00:00:00:00:01"
INIT = Path(__file__).with_name("isolated_init.sh")


def bridge_address(settings: Settings) -> str:
    """Return the laptop's and the cloud's address: the network's last one, which no host is given."""
    return f"{settings.network}.255.254"


@dataclass
class _Host:
    """One host; ``process`` is None while it is stopped."""

    launch: HostSpec
    folder: Path
    process: subprocess.Popen[bytes] | None = None


class IsolatedHosts:
    """All isolated hosts of one local cloud; see ``hosts.Hosts``."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._scratch = settings, settings.scratch
        self._hosts: dict[str, _Host] = {}
        try:
            command("mount", "-t", "tmpfs", "-o", "mode=755,size=75%", "cloud", self._scratch)
            command("ip", "link", "set", "lo", "up")
            command("ip", "link", "add", BRIDGE, "address", BRIDGE_MAC, "type", "bridge")
            command("ip", "addr", "add", f"{bridge_address(settings)}/16", "dev", BRIDGE)
            command("ip", "link", "set", BRIDGE, "up")
            image = self._scratch / "image"
            make_image(settings, image / "upper", image / "work", image / "root")
        except subprocess.CalledProcessError as error:
            raise RehearsalError(f"{' '.join(map(str, error.cmd))}: {error.stderr.strip()}") from error

    def boot(self, launch: HostSpec) -> None:
        """Mount the root, start the first process and sshd, and wait until it answers."""
        folder = host_folder(self._settings, launch.instance_id, launch.address)
        host = self._hosts.setdefault(launch.instance_id, _Host(launch, folder))
        self._mount_root(host)
        words = [
            *("unshare", "--net", "--pid", "--fork", "--kill-child", "--mount", "--propagation", "private"),
            *("--uts", "--ipc", "bash", str(INIT), str(folder / "root"), launch.hostname),
            *(f"{launch.address}/16", bridge_address(self._settings), str(sshd())),
        ]
        with (folder / "init.log").open("ab") as log:
            host.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            _plug_in(host.process, len(self._hosts))
        except (OSError, subprocess.CalledProcessError):
            if host.process.poll() is None:
                raise
            raise self._not_up(host) from None
        self._wait_for_sshd(host)

    def halt(self, instance_id: str, *, destroy: bool) -> None:
        """Kill the host's first process, and with it all others and its network."""
        host = self._hosts.get(instance_id)
        if host is None:
            return
        if host.process is not None:
            host.process.kill()
            host.process.wait()
            host.process = None
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
            self._scratch.rmdir()  # LocalCloud does it too, unless it was killed

    def _mount_root(self, host: _Host) -> None:
        first = not host.folder.exists()
        for name in ("upper", "work", "root"):
            (host.folder / name).mkdir(parents=True, exist_ok=True)
        upper, work, root = host.folder / "upper", host.folder / "work", host.folder / "root"
        options = f"lowerdir={self._scratch}/image/upper:/,upperdir={upper},workdir={work}"
        command("mount", "-t", "overlay", "overlay", "-o", options, root)
        if first:
            self._write_first_boot(host.launch, root)

    def _write_first_boot(self, launch: HostSpec, root: Path) -> None:
        user = self._settings.ssh_user
        keys = root / "home" / user / ".ssh" / "authorized_keys"
        keys.write_text("".join(key.strip() + "\n" for key in launch.public_keys))
        command("chroot", root, "chown", f"{user}:", f"/home/{user}/.ssh/authorized_keys")
        names = f"127.0.0.1 localhost\n{launch.address} {launch.hostname}\n"
        if self._settings.metadata_port:
            names += f"{bridge_address(self._settings)} metadata.google.internal metadata\n"
        (root / "etc/hosts").write_text(names)
        (root / "etc/hostname").write_text(launch.hostname + "\n")
        install(root, launch.hardware)

    def _wait_for_sshd(self, host: _Host) -> None:
        deadline = time.monotonic() + LOCAL_CLOUD_SSHD_S
        while time.monotonic() < deadline and host.process is not None and host.process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection((host.launch.address, 22), timeout=1):
                return
            time.sleep(LOCAL_CLOUD_POLL_S)
        raise self._not_up(host)

    def _not_up(self, host: _Host) -> RehearsalError:
        """Say why a host is not up, by the last line that its first process wrote."""
        log = (host.folder / "init.log").read_text(errors="replace").strip().splitlines()[-1:]
        return RehearsalError(f"the host of {host.launch.instance_id} did not come up: {' '.join(log)}")


def _plug_in(process: subprocess.Popen[bytes], number: int) -> None:
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
    cable = f"v{number}-{pid}"
    peer = ("peer", "name", "eth0", "netns", str(pid))
    command("ip", "link", "add", cable, "type", "veth", *peer)
    command("ip", "link", "set", cable, "master", BRIDGE, "up")
