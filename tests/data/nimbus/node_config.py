"""How a Nimbus cluster file names its machines: `flavor` in node_config, `region` in provider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accel_scaling.providers.nimbus.cloud import CLOUD

from accel_scaling.cluster.capacity import CapacityType
from accel_scaling.cluster.cluster import NodeMachine, Placement
from accel_scaling.cluster.offering_checks import check_region
from accel_scaling.errors import AccelScalingError, ClusterConfigError

if TYPE_CHECKING:
    from accel_scaling.catalog.load import Catalog
    from accel_scaling.cluster.cluster import Cluster, NodeType


def machine(location: str, node_config: dict[str, Any], catalog: Catalog) -> NodeMachine:
    """Return the machine of a node type."""
    name = node_config.get("flavor")
    if not isinstance(name, str) or not name:
        raise ClusterConfigError(f"{location}.node_config.flavor is missing; name a machine type, such as hopper.8x")
    try:
        machine_type = catalog.machine_type(CLOUD.name, name)
    except AccelScalingError as error:
        raise type(error)(f"{location}.node_config.flavor: {error}") from None
    spot = bool(node_config.get("spot"))
    return NodeMachine(machine_type, capacity_type=CapacityType.SPOT if spot else CapacityType.ON_DEMAND)


def placement(provider: dict[str, Any]) -> Placement:
    """Return the region of the provider section."""
    if not provider.get("region"):
        raise ClusterConfigError("provider.region is missing; name a region of Nimbus there, such as oslo1")
    return Placement(provider["region"])


def check_node_config(location: str, node_config: dict[str, Any]) -> None:
    """Refuse nothing: Nimbus has no model of its requests."""
    del location, node_config


def check_offered(node_type: NodeType, cluster: Cluster) -> None:
    """Refuse a machine type that the region does not have, as far as the catalog knows."""
    machine_type, key = node_type.machine.machine, f"{node_type.location}.node_config.flavor"
    offerings = cluster.catalog.where(machine_type)
    check_region(key, machine_type.name, offerings, CLOUD.name, cluster.placement.region or "")


def network_devices(node_type: NodeType, provider: dict[str, Any]) -> int:
    return 0


def cluster_notes(cluster: Cluster) -> list[str]:
    """Return no notes."""
    del cluster
    return []


def with_image(
    node_type: NodeType, node_config: dict[str, Any], provider: dict[str, Any]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the node_config as it is: Nimbus has one image, with every driver."""
    del node_type, provider
    return node_config, ()
