"""The stand-in for AWS on this machine: the local EC2, and what a cluster file may have on it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from accel_scaling.cluster.capacity import CapacityType
from accel_scaling.cluster.cluster import read_config
from accel_scaling.providers.aws.capacity import (
    INTERRUPTIBLE,
    MARKET,
    capacity_type_of,
    group_in,
    reservation_in,
    with_capacity,
)
from accel_scaling.providers.aws.node_config import ZONE, region_of
from accel_scaling.testing.base_cloud import LocalCloud
from accel_scaling.testing.devices.ec2_machines import hardware_of
from accel_scaling.testing.ec2.images import IMAGES
from accel_scaling.testing.hosts.settings import HostKind
from accel_scaling.testing.reservations import Reservation, ReservationKind

IMAGE = IMAGES["x86_64"]


class LocalEC2(LocalCloud):
    """A whole EC2 on this machine: moto answers, and each instance is a real host. Arguments as ``LocalCloud``.

    ``place`` is the region whose default VPC is made beforehand; other regions answer too.
    """

    CLOUD = "EC2"
    MODULE = "accel_scaling.testing.ec2.cloud"
    PLACE = "us-west-2"
    METADATA_PORTS: ClassVar[dict[HostKind, int]] = {HostKind.ISOLATED: 80, HostKind.PROCESSES: 8989}
    METADATA_ADDRESS = "169.254.169.254"
    PROVIDER_TYPES = ("external", "aws")
    ACCOUNT_KEYS = (
        "ImageId",
        "KeyName",
        "SubnetId",
        "SubnetIds",
        "SecurityGroupIds",
        "IamInstanceProfile",
        "NetworkInterfaces",
        "LaunchTemplate",
        "BlockDeviceMappings",
        "Placement",
        "UserData",
    )
    ACCOUNT_PROVIDER_KEYS = (
        "availability_zone",
        "aws_credentials",
        "cloudwatch",
        "security_group",
        "use_external_head_ip",
    )

    @staticmethod
    def place_of(config: dict[str, Any]) -> str:
        """Return the cluster's region."""
        return region_of(config)

    @staticmethod
    def machine_name(node_config: dict[str, Any]) -> str:
        """Return the instance type."""
        return str(node_config["InstanceType"]).strip()

    @classmethod
    def reservations_of(cls, config: dict[str, Any]) -> list[Reservation]:
        """Return the reservations, blocks and groups that the node types name, with places for all their machines."""
        cluster, found = read_config(config), dict[str, Reservation]()
        zones = [zone for zone in cluster.placement.zones if ZONE.fullmatch(zone)]
        for node_type in cluster.node_types.values():
            entry = config["available_node_types"][node_type.name]
            count = 1 if node_type.is_head else entry.get("max_workers", config.get("max_workers", 1))
            bought = [with_capacity(node_type.location, node_type.node_config, one) for one in node_type.order]
            for one in filter(None, map(_named_in, bought or [node_type.node_config])):
                machine = cls.machine_name(node_type.node_config)
                known = found.get(one.name, replace(one, count=0, machine_type=machine, zone=next(iter(zones), "")))
                found[one.name] = replace(known, count=known.count + count)
        return list(found.values())

    @classmethod
    def check(cls, node_config: dict[str, Any]) -> None:
        """Refuse an instance type that neither moto's recording nor hardware.csv has."""
        hardware_of(cls.machine_name(node_config))

    @classmethod
    def point_at(cls, config: dict[str, Any], original: dict[str, Any], endpoint_url: str) -> None:
        """Name an image where the file names one; the laptop's environment says where EC2 is."""
        del endpoint_url
        machines = read_config(original).node_types
        for name, node_type in config["available_node_types"].items():
            if (original["available_node_types"][name].get("node_config") or {}).get("ImageId"):
                # Else the default image, which this cloud has too.
                node_type["node_config"]["ImageId"] = IMAGES[machines[name].machine.machine.arch]

    def _cloud_environment(self, endpoint_url: str) -> dict[str, str]:
        """Make boto3 speak to this cloud, with fake credentials."""
        return {
            "AWS_ENDPOINT_URL": endpoint_url,
            "AWS_ACCESS_KEY_ID": "rehearsal",
            "AWS_SECRET_ACCESS_KEY": "rehearsal",
            "AWS_DEFAULT_REGION": self.place,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


def _named_in(node_config: dict[str, Any]) -> Reservation | None:
    """Return what a node_config names as a reservation: by its id, its group, or any that is open."""
    type_ = capacity_type_of(node_config)
    kind = ReservationKind.BLOCK if type_ is CapacityType.BLOCK else None
    if (node_config.get(MARKET) or {}).get("MarketType") == INTERRUPTIBLE:
        kind = ReservationKind.INTERRUPTIBLE
    if name := reservation_in(node_config):
        return Reservation(name, kind=kind)
    if group := group_in(node_config):
        return Reservation(f"cr-{group.rpartition('/')[2]}", kind=kind, group=group)
    if type_ is CapacityType.RESERVED:
        return Reservation(f"cr-open-{node_config['InstanceType']}", kind=ReservationKind.OPEN)
    return None


LOCAL_CLOUD = LocalEC2
