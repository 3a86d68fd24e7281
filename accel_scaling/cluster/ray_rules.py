"""What Ray asserts of a cluster config beyond its schema: an image with a container's name, and limits that agree.

`ray up` ends such a file with a traceback, or launches the head and its autoscaler ends there.
"""

from __future__ import annotations

from typing import Any

from accel_scaling._ray.facts import DEFAULT_MAX_WORKERS
from accel_scaling.errors import ClusterConfigError


def check_rules(config: dict[str, Any]) -> None:
    """Refuse a config that Ray refuses for values that contradict each other.

    Args:
        config: a cluster config whose keys and values are of the right kinds.

    Raises:
        ClusterConfigError: names the key.
    """
    _check_container(config.get("docker") or {})
    _check_limits(config)


def _check_container(docker: dict[str, Any]) -> None:
    """As Ray's validate_docker_config."""
    images = [key for key in ("image", "head_image", "worker_image") if docker.get(key)]
    has_image = "image" in images or {"head_image", "worker_image"} <= set(images)
    if docker.get("container_name") and not has_image:
        missing = "docker.image" if not images else f"docker.{({'head_image', 'worker_image'} - set(images)).pop()}"
        raise ClusterConfigError(f"{missing} is missing: docker.container_name makes Ray run in containers")
    if has_image and not docker.get("container_name"):
        raise ClusterConfigError(
            f"docker.container_name is missing: without it Ray refuses docker.{images[0]}; name one, such as ray"
        )


def _check_limits(config: dict[str, Any]) -> None:
    """As validate_config and NodeTypeConfig, which have no words for it."""
    types, head = config["available_node_types"], config["head_node_type"]
    most_in_all = config.get("max_workers", DEFAULT_MAX_WORKERS)
    for name, node_type in types.items():
        place = f"available_node_types.{name}"
        most = node_type.get("max_workers", 0 if name == head else most_in_all)
        least = node_type.get("min_workers", 0)
        for key, value in (("min_workers", least), ("max_workers", most)):
            if value < 0:
                raise ClusterConfigError(f"{place}.{key}: {value} is less than the minimum of 0")
        if least > most:
            of = "its max_workers" if "max_workers" in node_type else "the max_workers that it has by default"
            raise ClusterConfigError(f"{place}.min_workers is {least}, above {of}, {most}")
    wanted = sum(node_type.get("min_workers", 0) for node_type in types.values())
    if wanted > most_in_all:
        raise ClusterConfigError(
            f"max_workers is {most_in_all}, and the min_workers of all node types are {wanted} together; write "
            f"max_workers: {wanted} or more"
        )
