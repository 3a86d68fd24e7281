"""Names and labels that a cluster file gives: whether Google takes them, before anything is launched."""

from __future__ import annotations

from typing import Any

from accel_scaling._ray.facts import NODE_NAMES
from accel_scaling.cluster.machine_lists import is_other
from accel_scaling.errors import ClusterConfigError
from accel_scaling.message_text import shown
from accel_scaling.providers.gcp.labels import MAX_LABEL, is_plain, to_label, valid_key, valid_value
from accel_scaling.providers.gcp.tpu_node_config import is_tpu


def check_names(config: dict[str, Any]) -> None:
    """Refuse names of a cluster and of node types that fit in no label, and labels that are none of Google's.

    Args:
        config: a cluster config; its name may be missing.

    Raises:
        ClusterConfigError: names the key.
    """
    cluster_name = config.get("cluster_name")
    # Ray names its nodes after the cluster, and keeps the name in a label: the longest of these must fit.
    for node_name in NODE_NAMES if isinstance(cluster_name, str) else ():
        _check_fits("cluster_name", str(cluster_name), to_label(node_name.format(cluster_name)))
    for name, node_type in config["available_node_types"].items():
        path = f"available_node_types.{name}"
        if is_other(config["provider"], str(name)):  # no label holds its name
            continue
        _check_fits(f"{path}: the node type's name", str(name), to_label(str(name)))
        node_config = node_type.get("node_config") or {}
        _check_labels(f"{path}.node_config.labels", node_config.get("labels"))
        if is_tpu(node_config):
            _check_tpu(f"{path}.node_config", node_config)


def _check_fits(subject: str, name: str, label: str) -> None:
    """Refuse a name whose label is too long for Google; shortened, it could not be read back."""
    over = len(label) - MAX_LABEL
    if over > 0:
        advice = "" if is_plain(name) else "; upper case, dots and similar ones count three times"
        characters = "character" if over == 1 else "characters"
        raise ClusterConfigError(
            f"{subject} {shown(name)} is too long for a Google Cloud label, by {over} {characters}; shorten it{advice}"
        )


def _check_labels(path: str, labels: Any) -> None:
    if labels is None:
        return
    if not isinstance(labels, dict):
        raise ClusterConfigError(f"{path} must have names and values")
    for key, value in labels.items():
        if not valid_key(str(key)) or not isinstance(value, str) or not valid_value(value):
            raise ClusterConfigError(
                f"{path}: {key}: {shown(value)} is not a valid Google Cloud label: up to {MAX_LABEL} lower-case "
                f"letters, "
                "digits, _ and -, and a letter first in the name"
            )


def _check_tpu(path: str, node_config: dict[str, Any]) -> None:
    for key in ("guestAccelerators", "disks", "scheduling"):
        if key in node_config:
            instead = {"scheduling": "schedulingConfig", "disks": "dataDisks"}.get(key)
            raise ClusterConfigError(
                f"{path}.{key} is for machines, not for TPU slices" + (f"; write {instead}" if instead else "")
            )
