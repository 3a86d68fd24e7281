"""How many devices the pods of a group get: in Kubernetes the container's limits say it, not the machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from accel_scaling.catalog.kubernetes import DeviceResource, device_resources
from accel_scaling.kuberay.quantity import whole

if TYPE_CHECKING:
    from accel_scaling.kuberay.manifest import Group


@dataclass(frozen=True)
class Devices:
    """The devices that a pod gets.

    Attributes:
        name: the device plug-in's name for them, as in the limits.
        amount: how many; 0 where the limit is no whole number.
        kind: what is known of the name.
        line: the line of the limit.
        text: the limit as it is written.
    """

    name: str
    amount: int
    kind: DeviceResource
    line: int
    text: str

    @property
    def mig_profile(self) -> str | None:
        """``1g.5gb`` of ``nvidia.com/mig-1g.5gb``."""
        return self.name.partition("/mig-")[2] or None


def devices_of(group: Group, kind: str = "limits") -> list[Devices]:
    """Return the devices in a group's limits (or ``requests``); a limit of 0 is none."""
    found = [
        Devices(name, whole(text) or 0, known, line, text)
        for name, (line, text) in group.limits(kind).items()
        if (known := known_device(name))
    ]
    return [each for each in found if whole(each.text) != 0]


def known_device(name: str) -> DeviceResource | None:
    """Return what is known of a device plug-in's name, None where it is no device's."""
    return next((each for each in device_resources() if each.matches(name)), None)
