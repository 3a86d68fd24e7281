"""Network interfaces of RunInstances on the local EC2: what a machine type takes, and the EFA devices that it then has.

The limits are those of EC2's own DescribeInstanceTypes (moto's recording), and not of catalogs/: a wrong row there must
not be confirmed here. `AttachmentLimitExceeded` and the sentence about public addresses are seen at EC2; the words of
the other refusals are not.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from accel_scaling.testing.devices.ec2_machines import ec2_api_record
from accel_scaling.testing.ec2.placement_groups import error

if TYPE_CHECKING:
    from collections.abc import Sequence

_EFA = ("efa", "efa-only")


def check_interfaces(backend: Any, machine_type: str, interfaces: Sequence[dict[str, Any]]) -> None:
    """Refuse interfaces as EC2 does.

    Args:
        backend: moto's, of the region.
        machine_type: what is launched.
        interfaces: as the request has them.

    Raises:
        EC2ClientError: a machine of this type does not take them.
    """
    if len(interfaces) > 1 and any(_is_true(one.get("AssociatePublicIpAddress")) for one in interfaces):
        raise error(
            "InvalidParameterCombination",
            "The associatePublicIPAddress parameter cannot be specified when launching with multiple network "
            "interfaces.",
        )
    subnets = {one["SubnetId"] for one in interfaces if one.get("SubnetId")}
    if len({backend.get_subnet(subnet).availability_zone for subnet in subnets}) > 1:
        raise error("InvalidParameterCombination", "The network interfaces are in different Availability Zones.")
    record = ec2_api_record(machine_type)
    if record is not None:
        _check_cards(machine_type, interfaces, record["NetworkInfo"])


def _check_cards(machine_type: str, interfaces: Sequence[dict[str, Any]], info: dict[str, Any]) -> None:
    if len(interfaces) > info["MaximumNetworkInterfaces"]:
        raise error(
            "AttachmentLimitExceeded", f"Interface count {len(interfaces)} exceeds the limit for {machine_type}"
        )
    cards = {card["NetworkCardIndex"]: card for card in info["NetworkCards"]}
    on_card = Counter(_number(one, "NetworkCardIndex") for one in interfaces)
    for card, count in on_card.items():
        if card not in cards:
            raise error("InvalidParameterValue", f"{machine_type} has no network card {card}.")
        if count > cards[card]["MaximumNetworkInterfaces"]:
            raise error("AttachmentLimitExceeded", f"Interface count {count} exceeds the limit of network card {card}")
    places = Counter((_number(one, "NetworkCardIndex"), _number(one, "DeviceIndex")) for one in interfaces)
    if any(count > 1 for count in places.values()):
        raise error("InvalidParameterCombination", "Each network interface requires a unique device index.")
    for one in interfaces:
        kind = one.get("InterfaceType") or "interface"
        if kind not in cards[_number(one, "NetworkCardIndex")].get("InterfaceTypes", ()):
            raise error("InvalidParameterCombination", f"{kind} interfaces are not supported on {machine_type}.")
    if efa_devices(interfaces) > info.get("EfaInfo", {}).get("MaximumEfaInterfaces", 0):
        raise error("AttachmentLimitExceeded", f"EFA interface count exceeds the limit for {machine_type}")


def efa_devices(interfaces: Sequence[dict[str, Any]]) -> int:
    """Return how many EFA devices a machine with these interfaces has."""
    return sum(one.get("InterfaceType") in _EFA for one in interfaces)


def primary(interfaces: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the first interface of a machine: moto knows no cards, and would take the last of a device index."""
    return [one for one in interfaces if _number(one, "NetworkCardIndex") == _number(one, "DeviceIndex") == 0]


def _number(interface: dict[str, Any], key: str) -> int:
    return int(interface.get(key) or 0)


def _is_true(value: Any) -> bool:
    return value is True or str(value).lower() == "true"
