"""What Ray's autoscaler reads of a RayCluster of KubeRay: its groups as node types."""

from __future__ import annotations

import logging
from typing import Any

HEAD_GROUP = "headgroup"
"""The node type of the head: _HEAD_GROUP_NAME in autoscaling_config.py."""

_MODULE = "ray.autoscaler._private.kuberay.autoscaling_config"


class UnreadableGroupError(ValueError):
    """A group that Ray's autoscaler cannot read, so it reads none; the text is Ray's.

    Attributes:
        group: the group's name.
    """

    def __init__(self, group: str, text: str) -> None:
        super().__init__(text)
        self.group = group


def kuberay_config(spec: dict[str, Any]) -> dict[str, Any]:
    """Return the autoscaler's config of a RayCluster, in which each group is a node type.

    Args:
        spec: the ``spec`` of the RayCluster as the API server has it, with the defaults of its schema.

    Raises:
        UnreadableGroupError: Ray's autoscaler cannot read a group.
    """
    from ray.autoscaler._private.kuberay import autoscaling_config as rays

    logger = logging.getLogger(_MODULE)  # it warns of what `kuberay check` finds with its line
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        # One by one: Ray's own errors do not always name the group.
        _read(rays, spec["headGroupSpec"], HEAD_GROUP, is_head=True)
        for group in spec["workerGroupSpecs"]:
            _read(rays, group, str(group["groupName"]), is_head=False)
        config: dict[str, Any] = rays._derive_autoscaling_config_from_ray_cr(  # noqa: SLF001
            {"metadata": {"name": "manifest", "namespace": "default"}, "spec": spec}
        )
    finally:
        logger.setLevel(before)
    return config


def _read(rays: Any, group: dict[str, Any], name: str, *, is_head: bool) -> None:
    try:
        rays._node_type_from_group_spec(group, is_head=is_head)  # noqa: SLF001
    except (ValueError, TypeError, LookupError, AttributeError, AssertionError, ArithmeticError) as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableGroupError(name, text) from None
