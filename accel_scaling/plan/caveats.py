"""The notes of a plan: where Ray does not do what a reader would expect."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from accel_scaling._ray.facts import MAX_CONCURRENT_LAUNCHES, UPDATE_INTERVAL_S, tpu_head_resource

if TYPE_CHECKING:
    from collections.abc import Iterable

    from accel_scaling.plan.cluster import AutoscalerCluster
    from accel_scaling.plan.model import PlannedNodes

FEW_ROUNDS = 4  # so many rounds need no note: a machine takes longer to boot


def of_slices(cluster: AutoscalerCluster, rows: Iterable[PlannedNodes], chips_asked: Iterable[str]) -> list[str]:
    """Return a note for each node type that is a TPU slice of several hosts and is launched host by host.

    Args:
        cluster: the cluster file.
        rows: the plan's rows.
        chips_asked: the node types where a demand asks for chips and not for a whole slice.
    """
    types_with_chips = set(chips_asked)
    notes = []
    for row in rows:
        tpu_slice = cluster.types[row.node_type].machine.slice if row.node_type in cluster.types else None
        if row.launched and tpu_slice is not None and tpu_slice.hosts > 1 and row.node_type in types_with_chips:
            notes.append(
                f"{row.node_type}: Ray's scheduler counts a TPU slice as one host with {tpu_slice.chips_per_host} "
                f"chips; a {tpu_slice.accelerator_type} is {tpu_slice.hosts} such hosts, so {row.count} of them have "
                f"{row.count * tpu_slice.chips} chips; to ask for a whole slice, use "
                f"ray.util.tpu.slice_placement_group, here --demand {tpu_head_resource(tpu_slice.pod_type)}"
            )
    return notes


def of_rounds(cluster: AutoscalerCluster, rows: Iterable[PlannedNodes]) -> list[str]:
    """Return a note for each node type that Ray launches in many rounds."""
    first = min(max(1, math.ceil(cluster.upscaling_speed)), MAX_CONCURRENT_LAUNCHES)
    return [
        f"{row.node_type}: Ray launches {first} of them every {UPDATE_INTERVAL_S} s, and more when they run "
        f"(upscaling_speed: {cluster.upscaling_speed:g}); all {row.count} within {rounds * UPDATE_INTERVAL_S} s"
        for row in rows
        if row.launched and (rounds := math.ceil(row.count / first)) > FEW_ROUNDS
    ]
