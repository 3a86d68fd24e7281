"""The images of a cluster on GCP: what the fill adds to a node type that names none, and a refusal where it cannot."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from accel_scaling.cluster.default_image import no_image
from accel_scaling.errors import ClusterConfigError
from accel_scaling.providers.gcp.boot_disk import IMAGE_KEY, lacks_image

if TYPE_CHECKING:
    from accel_scaling.cluster.cluster import Cluster


def with_added(own: dict[str, Any] | None, seen: dict[str, Any] | None, filled: dict[str, Any]) -> dict[str, Any]:
    """Return a node type's own ``node_config`` with what the fill added to what it saw.

    Args:
        own: as the user wrote it.
        seen: the same with what its instance template holds: what was filled.
        filled: what the fill made of that.
    """
    added = {key: value for key, value in filled.items() if (seen or {}).get(key) != value}
    return {**copy.deepcopy(own or {}), **added}


def check(cluster: Cluster) -> None:
    """Refuse a filled cluster with a node type whose machine would boot from nothing.

    Args:
        cluster: the cluster, its node_configs with what their instance templates hold.

    Raises:
        ClusterConfigError: names the node type, and what its image must hold.
    """
    for node_type in cluster.node_types.values():
        if node_type.machine.slice is None and lacks_image(node_type.node_config):
            raise ClusterConfigError(no_image(node_type.location, node_type.machine.machine, IMAGE_KEY))
