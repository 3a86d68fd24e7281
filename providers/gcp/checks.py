"""Checks of a GCP config before anything is launched: zones, endpoints, credentials, names, and each node_config."""

from __future__ import annotations

import re
from typing import Any

from accel_scaling.cluster.shape import check_shape
from accel_scaling.errors import ClusterConfigError
from accel_scaling.message_text import shown
from accel_scaling.providers.gcp.client import ANONYMOUS, VERSIONS, check_credentials, endpoint
from accel_scaling.providers.gcp.names import check_names
from accel_scaling.providers.gcp.node_config import region_of, zones_of
from accel_scaling.providers.gcp.request_schema import check_node_config
from accel_scaling.providers.gcp.tpu_node_config import check_purchase, is_tpu

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
    if not config.get("cluster_name"):
        raise ClusterConfigError("cluster_name is missing")
    check_names(config)
    for name, node_type in config["available_node_types"].items():
        location, node_config = f"available_node_types.{name}", node_type.get("node_config") or {}
        if is_tpu(node_config):
            check_purchase(location, node_config)
        check_node_config(f"{location}.node_config", node_config)


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
