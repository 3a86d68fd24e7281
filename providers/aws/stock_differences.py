"""What is different from Ray's own provider `type: aws`, for `accel-scaling migrate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    del cluster
    if without_image:
        # Ray's DEFAULT_AMI (autoscaler/_private/aws/config.py): one id a region.
        yield (
            f"{listed(without_image)} without ImageId: the newest Deep Learning AMI with the driver of the machine; "
            "Ray's own is one of Ubuntu 18.04"
        )
