"""The devices in the limits of a group, and Kubernetes' quantities."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from accel_scaling.inputs.bounds import LONGEST_NUMBER
from accel_scaling.kuberay.device_names import device_resources
from accel_scaling.kuberay.templates import is_open_text

if TYPE_CHECKING:
    from accel_scaling.catalog.kubernetes import DeviceResource
    from accel_scaling.kuberay.group import Group

# The form of Kubernetes (apimachinery, pkg/api/resource/quantity.go), without negative values, which no limit has.
_QUANTITY = re.compile(r"\+?(?P<number>\d+(?:\.\d*)?|\.\d+)(?P<suffix>[numkMGTPE]|[KMGTPE]i|[eE][+-]?\d{1,3})?")
_SUFFIXES = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = "KMGTPE"
_MOST = Decimal(2) ** 80  # far above the 2**63 to which Kubernetes cuts a quantity down


@dataclass(frozen=True)
class Devices:
    """The devices that a pod gets.

    Attributes:
        name: the device plug-in's name for them, as in the limits.
        amount: the number of them; 0 where the limit is not a whole number, 1 where a template leaves it open.
        resource: the catalog's entry for the name.
        line: the line of the limit.
        text: the limit as it is written.
        is_open: whether a template leaves the number open.
    """

    name: str
    amount: int
    resource: DeviceResource
    line: int
    text: str
    is_open: bool = False

    @property
    def mig_profile(self) -> str | None:
        """``1g.5gb`` of ``nvidia.com/mig-1g.5gb``."""
        return self.name.partition("/mig-")[2] or None


def devices_of(group: Group, key: str = "limits") -> list[Devices]:
    """Return the devices in a group's limits (or ``requests``), without limits of 0."""
    devices = [
        Devices(name, 1 if is_open_text(text) else whole(text) or 0, resource, line, text, is_open_text(text))
        for name, (line, text) in group.limits(key).items()
        if (resource := known_device(name))
    ]
    return [device for device in devices if whole(device.text) != 0]


def known_device(name: str) -> DeviceResource | None:
    """Return the catalog's entry for a device plug-in's name, None where there is none."""
    return next((resource for resource in device_resources() if resource.matches(name)), None)


def amount(text: str) -> Decimal | None:
    """Return the value of a quantity (``4``, ``"16Gi"``, ``500m``), None where it is not one."""
    match = _QUANTITY.fullmatch(text.strip()) if len(text) <= LONGEST_NUMBER else None
    if not match:
        return None
    # Exact, as no float is: requests and limits are compared, and `0.7` must equal `700m`.
    number, suffix = Decimal(match["number"]), match["suffix"] or ""
    if suffix.endswith("i"):
        value = number * Decimal(1024) ** (_BINARY.index(suffix[0]) + 1)
    else:
        # `E` alone is the suffix exa; `E3` is an exponent.
        exponent = int(suffix[1:]) if len(suffix) > 1 else _SUFFIXES.get(suffix, 0)
        value = number.scaleb(exponent)
    return value if value < _MOST else None


def whole(text: str) -> int | None:
    """Return a quantity that is a whole number of 0 or more, None for any other."""
    number = amount(text)
    return int(number) if number is not None and number == number.to_integral_value() else None
