"""Ray's defaults of a cluster file, read without importing ray: what `ray up` takes for the keys that a file lacks."""

from __future__ import annotations

import copy
import functools
import importlib.util
from pathlib import Path
from typing import Any

from accel_scaling.inputs.yaml_nodes import FAST


def cluster_defaults(provider: str) -> dict[str, Any] | None:
    """Return the installed Ray's ``autoscaler/PROVIDER/defaults.yaml``; None where there is no Ray, or no such file.

    Args:
        provider: the name of a provider of Ray, which its folder has too.
    """
    spec = importlib.util.find_spec("ray")
    if spec is None or spec.origin is None:
        return None
    return copy.deepcopy(_read(Path(spec.origin).parent / "autoscaler" / provider / "defaults.yaml"))


@functools.cache
def _read(path: Path) -> dict[str, Any] | None:
    try:
        loader = FAST(path.read_text(encoding="utf-8"))  # within `ray up`'s fill it takes 1 ms, and safe_load 10
    except OSError:
        return None
    defaults: dict[str, Any] = loader.get_single_data()
    return defaults
