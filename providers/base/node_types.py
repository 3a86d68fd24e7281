"""Tells every process of the cluster what it can launch: who asks for accelerators of any type needs to know."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import yaml

from accel_scaling import _ray
from accel_scaling.accs.connected_cluster import KEY
from accel_scaling.quarantine.max_workers import limited

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

logger = logging.getLogger(__name__)


def publish(config_path: Path | None) -> None:
    """Write the node types into Ray's key-value store, where this process is a head's autoscaler.

    Without it a task that names no accelerator type is asked to: that is no reason to stop an autoscaler.

    Args:
        config_path: the autoscaler's config; None in every other process.
    """
    if config_path is None:
        return
    try:
        config = yaml.safe_load(config_path.read_text(encoding="utf-8"))
        _ray.autoscaler_kv_put(KEY, json.dumps(published(config, _ray.autoscaler_version())))
    except Exception:  # Ray raises what gRPC does; the sentence and the trace are in the log
        logger.exception("the node types could not be told to the cluster; tasks must name an accelerator_type")


def published(config: Mapping[str, Any], autoscaler: str) -> dict[str, Any]:
    """Return what is written: the autoscaler's version, and the resources of each type that may be launched.

    Args:
        config: the autoscaler's cluster config; a type that is left alone for a while counts as it was before.
        autoscaler: ``v1`` or ``v2``.
    """
    before = limited(dict(config), {})
    most = before.get("max_workers", 0)
    types = before["available_node_types"].items()
    return {
        "autoscaler": autoscaler,
        "node_types": {name: one.get("resources") or {} for name, one in types if one.get("max_workers", most) > 0},
    }
