"""The images of a cluster on GCP: what the fill adds to a node type that names none, and a refusal where it cannot."""

from __future__ import annotations

import copy
from typing import Any

from accel_scaling.cluster.default_image import no_image
from accel_scaling.cluster.images import lacks_image
from accel_scaling.errors import ClusterConfigError
from accel_scaling.fill.fill import catalog_of, machines
from accel_scaling.providers.gcp.node_config import is_tpu


def with_added(own: dict[str, Any] | None, seen: dict[str, Any] | None, filled: dict[str, Any]) -> dict[str, Any]:
    """Return a node type's own ``node_config`` with what the fill added to what it saw.

    Args:
        own: as the user wrote it.
        seen: the same with what its instance template holds: what was filled.
        filled: what the fill made of that.
    """
    added = {key: value for key, value in filled.items() if (seen or {}).get(key) != value}
    return {**copy.deepcopy(own or {}), **added}


def check(config: dict[str, Any]) -> None:
    """Refuse a filled config with a node type whose machine would boot from nothing.

    Args:
        config: the cluster config, with what its instance templates hold.

    Raises:
        ClusterConfigError: names the node type, and what its image must hold.
    """
    for name, found in machines(config, catalog_of(config)).items():
        node_config = config["available_node_types"][name].get("node_config") or {}
        if not is_tpu(node_config) and lacks_image("gcp", node_config):
            key = "disks[0].initializeParams.sourceImage"
            raise ClusterConfigError(no_image(f"available_node_types.{name}", found.machine, key))
