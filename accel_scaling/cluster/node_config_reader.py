"""The protocol of a cloud's part ``node_config``: how the node_configs and the provider section of a file are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from accel_scaling.catalog.load import Catalog
    from accel_scaling.cluster.cluster import Cluster, NodeMachine, NodeType, Placement


class NodeConfigReader(Protocol):
    """The part ``node_config`` of a cloud's folder: what its node_configs and its provider section mean.

    ``location`` is the node type's place in the cluster file, such as ``available_node_types.a100``: each error begins
    with it. None of these functions asks the network.
    """

    def machine(self, location: str, node_config: dict[str, Any], catalog: Catalog) -> NodeMachine:
        """Return what a node_config names.

        Raises:
            MachineInTemplateError: a template of the account names it.
            ClusterConfigError: a key is missing, of the wrong kind, or contradicts another.
            AccelScalingError: the catalog does not have the machine.
        """

    def check_node_config(self, location: str, node_config: dict[str, Any]) -> None:
        """Refuse what the cloud would refuse at a launch: unknown keys, and values of the wrong kind.

        The cloud's own model of the request says so, as far as its SDK is installed.

        Raises:
            ClusterConfigError: names the key, what it holds, and what it may hold.
        """

    def placement(self, provider: dict[str, Any]) -> Placement:
        """Return where the cluster's machines run.

        Raises:
            ClusterConfigError: region or zones are missing where the cloud needs them, or contradict each other.
        """

    def check_offered(self, node_type: NodeType, cluster: Cluster) -> None:
        """Refuse a machine that the cluster's region or zones do not have, as far as the catalog knows.

        Raises:
            AccelScalingError: names the key, and where the machine is offered.
        """

    def cluster_notes(self, cluster: Cluster) -> list[str]:
        """Return notes about the provider section and all node types together.

        Raises:
            ClusterConfigError: something of this cloud alone that nobody else checks is wrong.
        """

    def network_devices(self, node_type: NodeType, provider: dict[str, Any]) -> int:
        """Return how many EFA or RDMA devices a machine of a node type has, by ``provider.network`` or by itself.

        Raises:
            ClusterConfigError: it cannot have the network.
        """

    def with_image(
        self, node_type: NodeType, node_config: dict[str, Any], provider: dict[str, Any]
    ) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Return the node_config with the image that it lacks, and notes for the user."""
