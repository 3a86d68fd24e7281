"""Ray's defaults of a cluster file, read without importing ray: what `ray up` takes for the keys that a file lacks."""

from __future__ import annotations

import copy
import functools
from typing import Any

from accel_scaling._ray.files import text_of
from accel_scaling.inputs.yaml_nodes import FAST


def cluster_defaults(provider: str) -> dict[str, Any] | None:
    """Return the installed Ray's ``autoscaler/PROVIDER/defaults.yaml``; None where there is no Ray, or no such file.

    Args:
        provider: the name of a provider of Ray, which its folder has too.
    """
    return copy.deepcopy(_read(provider))


@functools.cache
def _read(provider: str) -> dict[str, Any] | None:
    text = text_of(f"autoscaler/{provider}/defaults.yaml")
    if text is None:
        return None
    defaults: dict[str, Any] = FAST(text).get_single_data()  # within `ray up`'s fill it takes 1 ms, and safe_load 10
    return defaults
