"""A promised TPU slice against the one that a host is in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling._ray.facts import tpu_head_pod_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from accel_scaling.detect.model import Found


def wrong_slice(promised: Mapping[str, float], found: Iterable[Found]) -> str | None:
    """Return a sentence where this host is in another kind of slice than was promised, None where it may be right.

    Args:
        promised: Ray resources; ``TPU-v4-16-head`` promises a v4-16.
        found: what ``detect()`` returned.
    """
    here = next((device.pod_type for device in found if device.pod_type), "")
    wanted = [pod_type for name, amount in promised.items() if amount > 0 and (pod_type := tpu_head_pod_type(name))]
    if not here or not wanted or here in wanted:
        return None
    return f"promised a host of a {wanted[0]}; the metadata server says that it is one of a {here}"
