"""The node provider of Nimbus: a real one wraps Ray's, or the cloud's own API; this one launches nothing."""

from __future__ import annotations

from typing import Any

from accel_scaling.providers.nimbus.cloud import CLOUD
from ray.autoscaler.node_provider import NodeProvider

from accel_scaling.cluster.cluster import read_config
from accel_scaling.fill.fill import fill_cluster
from accel_scaling.providers.base import cluster_config as base


def _fill(config: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    return fill_cluster(read_config(config))


class NimbusAcceleratorNodeProvider(NodeProvider):  # type: ignore[misc]
    """A stand-in: the fill and the boot check are real, and it has no node."""

    @staticmethod
    def fillout_available_node_types_resources(cluster_config: dict[str, Any]) -> dict[str, Any]:
        """Return the config with every node type's promise, Ray's defaults, and the boot check."""
        return base.promised(cluster_config, CLOUD, _fill)

    def non_terminated_nodes(self, tag_filters: dict[str, str]) -> list[str]:
        """Return no node."""
        del tag_filters
        return []
