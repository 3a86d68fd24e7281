"""The cloud of a cluster file, by its provider section."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accel_scaling.clouds import known_clouds
from accel_scaling.errors import ClusterConfigError
from accel_scaling.message_text import shown

if TYPE_CHECKING:
    from accel_scaling.clouds import Cloud


_BY_KUBERAY = "kuberay"  # of the config that KubeRay's operator makes; no user writes it


def cloud_of(provider: dict[str, Any]) -> Cloud:
    """Return the cloud of a provider section.

    Raises:
        ClusterConfigError: no such provider is known.
    """
    provider_type, module = provider.get("type"), provider.get("module")
    clouds = known_clouds().values()
    # `type: external` may be any provider: only its module says which cloud it launches on.
    modules, stock = {cloud.module: cloud for cloud in clouds}, {cloud.name: cloud for cloud in clouds if cloud.stock}
    known = modules.get(str(module)) if provider_type == "external" else stock.get(str(provider_type))
    if provider_type == "external" and not module:
        raise ClusterConfigError(
            f"provider.module is missing; with `type: external` write module: {' or '.join(modules)}"
        )
    if provider_type == _BY_KUBERAY:
        raise ClusterConfigError(
            "provider.type is 'kuberay', which is for the config that KubeRay makes of a RayCluster; give the "
            "manifest of the RayCluster to `accel-scaling kuberay fill`"
        )
    if known is None:
        is_given = f"is {shown(provider_type)}" if provider_type is not None else "is missing"
        raise ClusterConfigError(
            f"provider.type {is_given}"
            + (f" with module {shown(module)}" if module else "")
            + f"; accel_scaling knows `type: external` with `module: {'` or `module: '.join(modules)}`, and "
            + ", ".join(f"`type: {name}`" for name in stock)
        )
    return known
