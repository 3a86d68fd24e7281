"""Checks of a GCP config before anything is launched: names, labels, zones, endpoints, and each node_config."""

from __future__ import annotations

import re
from typing import Any

from accel_scaling._ray.facts import NODE_NAMES
from accel_scaling.cluster.shape import check_shape
from accel_scaling.errors import ClusterConfigError
from accel_scaling.message_text import shown
from accel_scaling.providers.gcp.client import ANONYMOUS, VERSIONS, check_credentials, endpoint
from accel_scaling.providers.gcp.labels import MAX_LABEL, is_plain, to_label, valid_key, valid_value
from accel_scaling.providers.gcp.node_config import is_tpu, region_of, zones_of
from accel_scaling.providers.gcp.request_schema import check_node_config

# The pattern of the parameter `project` in Google's discovery document of Compute Engine.
_PROJECT = re.compile(
    r"(?:(?:[-a-z0-9]{1,63}\.)*(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?):)?"
    r"(?:[0-9]{1,19}|(?:[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?))"
)


def check(config: dict[str, Any]) -> None:
    """Refuse a config that Google would refuse later, after something was paid for. Nobody is asked.

    Raises:
        ClusterConfigError: names the key.
    """
    check_shape(config)
    check_place(config["provider"])
    _check_cluster_name(config.get("cluster_name"))
    for name, node_type in config["available_node_types"].items():
        path = f"available_node_types.{name}"
        _check_fits(f"{path}: the node type's name", str(name), to_label(str(name)))
        node_config = node_type.get("node_config") or {}
        _check_labels(f"{path}.node_config.labels", node_config.get("labels"))
        if is_tpu(node_config):
            _check_tpu(f"{path}.node_config", node_config)
        check_node_config(f"{path}.node_config", node_config)


def check_place(provider: dict[str, Any]) -> None:
    """Refuse a provider section without which no machine can be asked for, listed or ended.

    Raises:
        ClusterConfigError: region, zones, project, endpoints or credentials are missing or wrong.
    """
    region_of({"provider": provider})
    _check_project(provider.get("project_id"))
    for api in VERSIONS:
        endpoint(provider, api)
    if provider.get("gcp_credentials") is not None:
        check_credentials(provider["gcp_credentials"])


def for_rays_schema(provider: dict[str, Any]) -> dict[str, Any]:
    """Return `provider` as Ray's schema takes it, which knows no list of zones and no anonymous credentials."""
    made = {**provider, "availability_zone": ",".join(zones_of(provider)), "region": region_of({"provider": provider})}
    if provider.get("gcp_credentials") == {"type": "anonymous"}:
        made["gcp_credentials"] = ANONYMOUS
    return made


def _check_project(project: Any) -> None:
    if project is None or project == "":
        raise ClusterConfigError("provider.project_id is missing; name your Google Cloud project there")
    if not isinstance(project, str) or not _PROJECT.fullmatch(project):
        advice = f"; a project's number goes in quotes, '{project}'" if isinstance(project, int) else ""
        raise ClusterConfigError(
            f"provider.project_id is {shown(project)}; expected the id of a Google Cloud project, such as "
            "my-project-123" + advice
        )


def _check_cluster_name(name: Any) -> None:
    if not isinstance(name, str) or not name:
        raise ClusterConfigError("cluster_name is missing")
    # Ray names its nodes after the cluster, and keeps the name in a label: the longest of these must fit.
    for node_name in NODE_NAMES:
        _check_fits("cluster_name", name, to_label(node_name.format(name)))


def _check_fits(subject: str, name: str, label: str) -> None:
    """Refuse a name whose label is too long for Google; shortened, it could not be read back."""
    over = len(label) - MAX_LABEL
    if over > 0:
        advice = "" if is_plain(name) else "; upper case, dots and the like count three times"
        characters = "character" if over == 1 else "characters"
        raise ClusterConfigError(
            f"{subject} {shown(name)} is too long for a label of Google's, by {over} {characters}; shorten it{advice}"
        )


def _check_labels(path: str, labels: Any) -> None:
    if labels is None:
        return
    if not isinstance(labels, dict):
        raise ClusterConfigError(f"{path} must hold names and values")
    for key, value in labels.items():
        if not valid_key(str(key)) or not isinstance(value, str) or not valid_value(value):
            raise ClusterConfigError(
                f"{path}: {key}: {shown(value)} is no label of Google's: up to {MAX_LABEL} lower-case letters, "
                "digits, _ and -, and a letter first in the name"
            )


def _check_tpu(path: str, node_config: dict[str, Any]) -> None:
    for key in ("guestAccelerators", "disks", "scheduling"):
        if key in node_config:
            instead = {"scheduling": "schedulingConfig", "disks": "dataDisks"}.get(key)
            raise ClusterConfigError(
                f"{path}.{key} is for machines, not for TPU slices" + (f"; write {instead}" if instead else "")
            )
