"""Where a machine is in a data center of Google, as its metadata server tells it, as labels of its Ray node.

Source: Compute Engine, "View the topology of compute instances". Only some machines are told: A3 with eight GPUs, A4,
A4X, H4D, and machines with a compact placement policy or a workload policy. The keys are GKE's.
"""

from __future__ import annotations

import json
import re
from typing import Any

from accel_scaling.providers.gcp.instance_metadata import InstanceMetadata

_PLACES = ("block", "subblock", "host")
_KEY = "cloud.google.com/gce-topology-{}"


def labels() -> dict[str, str]:
    """Return the labels that the server knows; each value names one place.

    Raises:
        OSError: the server does not answer.
    """
    metadata = InstanceMetadata()
    found = _of_topology(metadata.get("attributes/physical_host_topology"))
    # The older key: /BLOCK/SUBBLOCK/HOST.
    found = found or _of_path(metadata.get("attributes/physical_host"))
    return {_KEY.format(place): value for place, value in found.items() if value}


def _of_topology(text: str | None) -> dict[str, str]:
    try:
        topology: Any = json.loads(text or "null")
    except ValueError:
        return {}
    if not isinstance(topology, dict):
        return {}
    # Google's pages write `subblock`, `sub-block` and `subBlock`.
    texts = {re.sub(r"[^a-z]", "", key.lower()): value for key, value in topology.items() if isinstance(value, str)}
    return {place: texts[place] for place in _PLACES if place in texts}


def _of_path(text: str | None) -> dict[str, str]:
    parts = (text or "").strip().strip("/").split("/")
    return dict(zip(_PLACES, parts, strict=True)) if len(parts) == len(_PLACES) else {}
