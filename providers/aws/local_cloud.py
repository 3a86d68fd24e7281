"""The stand-in for AWS on this machine: the local EC2, and what a cluster file may have on it."""

from __future__ import annotations

from typing import Any, ClassVar

from accel_scaling.cluster.cluster import read_config
from accel_scaling.providers.aws.node_config import region_of
from accel_scaling.testing.base_cloud import LocalCloud
from accel_scaling.testing.devices.ec2_machines import hardware_of
from accel_scaling.testing.ec2.images import IMAGES
from accel_scaling.testing.hosts.settings import HostKind

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
        "CapacityReservationSpecification",
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


LOCAL_CLOUD = LocalEC2
