"""Ways of buying in a node_config that EC2 refuses in each launch: a block without its id, two answers to one question.

Sources: docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CapacityReservationSpecification.html, and the EC2 User
Guide, "Launch instances using Capacity Blocks" and "Interruptible Capacity Reservations for capacity consumers".
"""

from __future__ import annotations

from typing import Any

from accel_scaling.errors import ClusterConfigError
from accel_scaling.providers.aws.capacity import BLOCK, INTERRUPTIBLE, MARKET, SPECIFICATION, group_in, reservation_in

_PREFERENCE, _ONLY = "CapacityReservationPreference", "capacity-reservations-only"
_TARGET = "{CapacityReservationTarget: {CapacityReservationId: cr-0123456789abcdef0}}"


def check_market(location: str, node_config: dict[str, Any], market: str) -> None:
    """Refuse a market that needs a reservation and names none, and a preference that contradicts a reservation.

    Args:
        location: of the node_config in the cluster file.
        node_config: a node type's; one with a LaunchTemplate may have the rest there.
        market: its MarketType.

    Raises:
        ClusterConfigError: names the key, and what to write.
    """
    name, group = reservation_in(node_config), group_in(node_config)
    target = name or group
    if name and group:
        raise ClusterConfigError(
            f"{location}.{SPECIFICATION}.CapacityReservationTarget names the reservation {name} and a resource group, "
            "of which EC2 takes one; remove the other"
        )
    if market in (BLOCK, INTERRUPTIBLE) and not target and not node_config.get("LaunchTemplate"):
        raise ClusterConfigError(
            f"{location}.{MARKET}.MarketType is {market}, and no reservation is named, without which EC2 refuses each "
            f"launch; add {SPECIFICATION}: {_TARGET}"
        )
    specification = node_config.get(SPECIFICATION)
    preference = specification.get(_PREFERENCE) if isinstance(specification, dict) else None
    if target and preference and preference != _ONLY:
        raise ClusterConfigError(
            f"{location}.{SPECIFICATION} has {_PREFERENCE}: {preference} and a CapacityReservationTarget, which EC2 "
            f"takes together with {_ONLY} only; remove the preference"
        )
