"""What a node_config of AWS says by hand about its capacity type: labels, and the reservations of a rehearsal."""

from __future__ import annotations

from typing import Any

import pytest

from accel_scaling.errors import ClusterConfigError
from accel_scaling.families.catalog import load_catalog
from accel_scaling.fill.fill import fill
from accel_scaling.providers.aws.local_cloud import LocalEC2
from accel_scaling.testing.reservations import Reservation, ReservationKind
from tests.support.cluster import MODULE

TYPE, ARN = "g5.xlarge", "arn:aws:resource-groups:us-west-2:123456789012:group/a10g"
TARGET = {"CapacityReservationTarget": {"CapacityReservationId": "cr-1"}}
GROUP = {"CapacityReservationTarget": {"CapacityReservationResourceGroupArn": ARN}}
_AIM = "CapacityReservationTarget"
ONLY = {"CapacityReservationPreference": "capacity-reservations-only"}


def config_with(order: list[Any] | None = None, **node_config: Any) -> dict[str, Any]:
    return {
        "cluster_name": "mine",
        "max_workers": 8,
        "provider": {
            "type": "external",
            "module": MODULE,
            "region": "us-west-2",
            "availability_zone": "us-west-2b,us-west-2a",
            **({"capacity": {"a10g": order}} if order else {}),
        },
        "head_node_type": "head",
        "available_node_types": {
            "head": {"node_config": {"InstanceType": "m5.large"}},
            "a10g": {"max_workers": 4, "node_config": {"InstanceType": TYPE, **node_config}},
        },
    }


def market(word: str, **more: Any) -> dict[str, Any]:
    return {"InstanceMarketOptions": {"MarketType": word}, **more}


@pytest.mark.parametrize(
    ("node_config", "word"),
    [
        (market("spot"), "spot"),
        (market("on-demand"), "on-demand"),
        (market("capacity-block", CapacityReservationSpecification=TARGET), "block"),
        (market("interruptible-capacity-reservation", CapacityReservationSpecification=TARGET), "reserved"),
        ({"CapacityReservationSpecification": TARGET}, "reserved"),
        ({"CapacityReservationSpecification": ONLY}, "reserved"),
        ({"CapacityReservationSpecification": {**ONLY, **GROUP}}, "reserved"),
        ({"CapacityReservationSpecification": GROUP}, "on-demand"),  # EC2 may launch it on demand
        ({"CapacityReservationSpecification": {"CapacityReservationPreference": "open"}}, "on-demand"),
    ],
)
def test_what_is_written_by_hand_has_the_label_of_its_capacity_type(node_config: dict[str, Any], word: str) -> None:
    filled, _ = fill(config_with(**node_config), load_catalog())
    labels = filled["available_node_types"]["a10g"]["labels"]
    # Ray's own label has two words, and ours is not needed beside it.
    assert labels.get("accel-scaling.io/capacity-type") == (None if word in ("spot", "on-demand") else word)
    assert labels.get("ray.io/market-type") == (word if word in ("spot", "on-demand") else None)


@pytest.mark.parametrize(
    ("node_config", "says"),
    [
        (market("capacity-block"), r"MarketType is capacity-block, and no reservation is named, .*; add Capacity"),
        (
            market("interruptible-capacity-reservation"),
            "MarketType is interruptible-capacity-reservation, and no reser",
        ),
        (
            {"CapacityReservationSpecification": {"CapacityReservationTarget": {**TARGET[_AIM], **GROUP[_AIM]}}},
            "CapacityReservationTarget names the reservation cr-1 and a resource group, of which EC2 takes one; remove",
        ),
        (
            {"CapacityReservationSpecification": {"CapacityReservationPreference": "open", **TARGET}},
            "has CapacityReservationPreference: open and a CapacityReservationTarget, which EC2 takes together with",
        ),
    ],
)
def test_what_ec2_refuses_in_each_launch_is_refused_with_its_key(node_config: dict[str, Any], says: str) -> None:
    with pytest.raises(ClusterConfigError, match=rf"^available_node_types\.a10g\.node_config\..*{says}"):
        fill(config_with(**node_config), load_catalog())
    in_template = {"LaunchTemplate": {"LaunchTemplateName": "mine"}}
    if "InstanceMarketOptions" in node_config:
        assert fill(config_with(**node_config, **in_template), load_catalog())


@pytest.mark.parametrize(
    ("order", "node_config", "reservation"),
    [
        ([{"block": "cr-1"}], {}, Reservation("cr-1", 4, TYPE, "us-west-2b", ReservationKind.BLOCK)),
        ([{"reserved": "cr-1"}, "spot"], {}, Reservation("cr-1", 4, TYPE, "us-west-2b")),
        (
            [{"reserved": ARN}],
            {},
            Reservation("cr-a10g", 4, TYPE, "us-west-2b", group=ARN),
        ),
        (["reserved"], {}, Reservation(f"cr-open-{TYPE}", 4, TYPE, "us-west-2b", ReservationKind.OPEN)),
        (
            None,
            market("capacity-block", CapacityReservationSpecification=TARGET),
            Reservation("cr-1", 4, TYPE, "us-west-2b", ReservationKind.BLOCK),
        ),
        (
            None,
            market("interruptible-capacity-reservation", CapacityReservationSpecification=TARGET),
            Reservation("cr-1", 4, TYPE, "us-west-2b", ReservationKind.INTERRUPTIBLE),
        ),
        (["spot", "on-demand"], {}, None),
    ],
)
def test_a_rehearsal_makes_what_the_file_names_with_places_for_all(
    order: list[Any] | None, node_config: dict[str, Any], reservation: Reservation | None
) -> None:
    assert LocalEC2.reservations_of(config_with(order, **node_config)) == ([reservation] if reservation else [])


def test_a_rehearsal_keeps_what_a_node_config_says_of_reservations() -> None:
    config = config_with(**market("capacity-block", CapacityReservationSpecification=TARGET))
    adapted, left_out = LocalEC2.adapted(config, "http://127.0.0.1:1")
    assert adapted["available_node_types"]["a10g"]["node_config"]["CapacityReservationSpecification"] == TARGET
    assert "a10g.node_config.CapacityReservationSpecification" not in left_out
