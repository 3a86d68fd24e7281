"""What the nodes of a cluster config need: an image with the driver, and containers that see the devices."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from accel_scaling.cluster.docker import with_run_options
from accel_scaling.cluster.images import with_image

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accel_scaling.cluster.machine import Machine


def with_dependencies(
    config: dict[str, Any], cloud: str, machines: Mapping[str, Machine]
) -> tuple[dict[str, Any], list[str]]:
    """Return a copy of a cluster config with images and container options where the user wrote none, and the notes.

    Ray's own AWS provider (``type: aws``) keeps its images: its head could not look up ours.

    Args:
        config: the cluster config.
        cloud: ``aws`` or ``gcp``.
        machines: the machine of each node type.

    Raises:
        ClusterConfigError: container options that are no list.
    """
    filled, notes = with_run_options(config, {name: found.machine for name, found in machines.items()})
    if cloud == "aws" and config["provider"].get("type") != "external":
        return filled, notes
    filled = copy.deepcopy(filled)
    for name, found in machines.items():
        node_type = filled["available_node_types"][name]
        node_config, of_image = with_image(
            f"available_node_types.{name}", cloud, node_type.get("node_config") or {}, found
        )
        node_type["node_config"] = node_config
        notes += of_image
    return filled, notes
