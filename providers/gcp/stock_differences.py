"""What is different from Ray's own provider `type: gcp`, for `accel-scaling migrate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling._ray.facts import GPU
from accel_scaling.message_text import listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from accel_scaling.cluster.cluster import Cluster


def differences(cluster: Cluster, without_image: Sequence[str]) -> Iterator[str]:
    """Yield a sentence for each difference that this file meets.

    Args:
        cluster: the migrated file, read.
        without_image: its node types that get a default image.
    """
    chips = {name: one.machine.machine.chip for name, one in cluster.node_types.items()}
    with_gpus = [name for name, chip in chips.items() if chip is not None and chip.resource == GPU]
    if with_gpus:
        yield f"tasks that ask for GPUs launch {listed(with_gpus)}; Ray itself promises no GPU on this cloud"
    if without_image:
        yield f"{listed(without_image)} without an image: Google's newest with the driver of the machine"
    if any(one.machine.slice for one in cluster.node_types.values()):
        yield "all hosts of a TPU slice are checked before its first one joins; one that fails ends the whole slice"
