"""The interface between the cloud process and its two kinds of hosts."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from accel_scaling.testing.devices.device_faults import with_fault
from accel_scaling.testing.faults import FaultKind, of_devices, read_faults

if TYPE_CHECKING:
    from pathlib import Path

    from accel_scaling.testing.devices.hardware import Hardware

# The same faults in the words of device_faults.
_DEVICE_FAULTS = {
    FaultKind.FEWER: "fewer",
    FaultKind.NO_DRIVER: "no-driver",
    FaultKind.NO_DEVICES: "no-device",
    FaultKind.UNHEALTHY: "unhealthy",
    FaultKind.NOT_YET: "not-yet",
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
    """

    instance_id: str
    instance_type: str
    address: str
    public_keys: tuple[str, ...]
    hardware: Hardware
    name: str = ""

    @property
    def hostname(self) -> str:
        """Return the host's name; as EC2 names hosts (``ip-172-31-0-4``) where it has no other."""
        return self.name or "ip-" + self.address.replace(".", "-")


class Hosts(Protocol):
    """All hosts of one local cloud; errors are OSError, CalledProcessError or RehearsalError."""

    def boot(self, launch: HostSpec) -> None:
        """Bring a host up, for the first time or after a stop; its files survive a stop."""

    def halt(self, instance_id: str, *, destroy: bool) -> None:
        """Cut the power; with ``destroy`` the disk goes too, its Ray logs into the post-mortem folder."""

    def close(self) -> None:
        """Halt whatever is left and leave nothing behind."""


def keep_ray_logs(ray_folder: Path, postmortem: Path) -> None:
    """Copy the logs of every Ray session below ``ray_folder``; devices, sockets and dead links are left."""
    for logs in sorted(ray_folder.glob("session_2*/logs")):
        shutil.copytree(logs, postmortem / logs.parent.name, ignore=_odd_files, dirs_exist_ok=True)


def _odd_files(folder: str, names: list[str]) -> set[str]:
    from pathlib import Path

    return {name for name in names if not ((one := Path(folder, name)).is_file() or one.is_dir())}


def hardware_at_boot(hardware: Hardware, machine_type: str, faults_file: Path) -> Hardware:
    """Return the devices of a machine that boots now: those of its type, or what a fault makes of them."""
    fault = of_devices(read_faults(faults_file), machine_type)
    if fault is None:
        return hardware
    if fault.kind is FaultKind.OTHER:
        return replace(hardware, driver_name=fault.driver_name or "")
    words = _DEVICE_FAULTS[fault.kind]
    return with_fault(hardware, words if fault.count is None else f"{words}:{fault.count}")
