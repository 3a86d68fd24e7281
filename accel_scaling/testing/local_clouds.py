"""The local clouds by the name of the cloud that each stands for; their common class is in ``base_cloud``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling.clouds import known_clouds
from accel_scaling.cluster.provider_cloud import cloud_of
from accel_scaling.errors import ClusterConfigError

if TYPE_CHECKING:
    from accel_scaling.testing.base_cloud import LocalCloud
    from accel_scaling.testing.cloud_facts import Config


def local_cloud_class(name: str) -> type[LocalCloud]:
    """Return the class of the local cloud that stands for a cloud.

    Args:
        name: the cloud's name in the registry, e.g. ``aws``.

    Raises:
        ClusterConfigError: no such cloud has a local one.
    """
    clouds = {known: cloud for known, cloud in known_clouds().items() if cloud.has_part("local_cloud")}
    if name not in clouds:
        raise ClusterConfigError(f"there is no local cloud for {name}; there is one for {' and '.join(clouds)}")
    local_class: type[LocalCloud] = clouds[name].part("local_cloud").LOCAL_CLOUD
    return local_class


def local_cloud_of(config: Config) -> type[LocalCloud]:
    """Return the class of the local cloud that stands for a cluster file's cloud.

    Raises:
        ClusterConfigError: no such cloud has a local one.
    """
    return local_cloud_class(cloud_of(config["provider"]).name)
