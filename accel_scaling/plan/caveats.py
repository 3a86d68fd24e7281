"""What to know of a plan besides its numbers: where Ray does something else than a reader would think."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from accel_scaling._ray.facts import MAX_CONCURRENT_LAUNCHES, UPDATE_INTERVAL_S, tpu_head_resource

if TYPE_CHECKING:
    from collections.abc import Iterable

    from accel_scaling.plan.cluster import Cluster
    from accel_scaling.plan.model import Row

FEW_ROUNDS = 4  # of which nothing is said: a machine takes longer to boot


def of_slices(cluster: Cluster, rows: Iterable[Row], chips_asked: Iterable[str]) -> list[str]:
    """Return a note for each node type that is a slice of several hosts and is bought host by host.

    Args:
        cluster: the cluster file.
        rows: the plan's rows.
        chips_asked: the node types on which something asks for chips, and not for a whole slice.
    """
    asked = set(chips_asked)
    found = []
    for row in rows:
        kind = cluster.types[row.node_type].machine.slice if row.node_type in cluster.types else None
        if row.launched and kind is not None and kind.hosts > 1 and row.node_type in asked:
            found.append(
                f"{row.node_type}: Ray's scheduler counts a slice as one host with {kind.chips_per_host} chips; a "
                f"{kind.accelerator_type} is {kind.hosts} such hosts, so that {row.count} of them bring "
                f"{row.count * kind.chips} chips; to ask for a whole slice, use ray.util.tpu.slice_placement_group, "
                f"here --demand {tpu_head_resource(kind.pod_type)}"
            )
    return found


def of_rounds(cluster: Cluster, rows: Iterable[Row]) -> list[str]:
    """Return a note for each node type whose nodes Ray asks for in many rounds."""
    first = min(max(1, math.ceil(cluster.upscaling_speed)), MAX_CONCURRENT_LAUNCHES)
    return [
        f"{row.node_type}: Ray asks for {first} of them every {UPDATE_INTERVAL_S} s, and for more as they run "
        f"(upscaling_speed: {cluster.upscaling_speed:g}); all {row.count} within {rounds * UPDATE_INTERVAL_S} s"
        for row in rows
        if row.launched and (rounds := math.ceil(row.count / first)) > FEW_ROUNDS
    ]
