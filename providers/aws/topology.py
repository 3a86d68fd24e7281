"""Where a machine is in EC2, as its instance metadata tells it, as labels of its Ray node.

Sources: the EC2 User Guide, "Instance metadata categories": placement/. The network nodes of EC2's instance topology
are not there: only the API tells them (DescribeInstanceTopology), with a permission that nodes do not have.
"""

from __future__ import annotations

from accel_scaling.providers.aws.instance_metadata import InstanceMetadata

ZONE_ID = "topology.k8s.aws/zone-id"  # EKS's key
PLACEMENT_GROUP = "accel-scaling.io/ec2-placement-group"
PARTITION = "accel-scaling.io/ec2-partition"
DEDICATED_HOST = "accel-scaling.io/ec2-host"


def labels() -> dict[str, str]:
    """Return the labels that the service knows; each value names one place.

    Raises:
        OSError: the service does not answer.
    """
    metadata = InstanceMetadata()

    def item(name: str) -> str:
        return (metadata.get(f"placement/{name}") or "").strip()

    group, partition = item("group-name"), item("partition-number")
    found = {
        ZONE_ID: item("availability-zone-id"),
        PLACEMENT_GROUP: group,
        # A partition's number alone would name one of each placement group.
        PARTITION: f"{group}.{partition}" if group and partition else "",
        DEDICATED_HOST: item("host-id"),
    }
    return {key: value for key, value in found.items() if value}
