"""The machine types that autoscaler v2 knows its nodes by: it reads node_configs of Ray's own clouds alone.

For `type: external` it has the empty text, in the status of running, pending and failed nodes, and in what it exports
to a node (`RAY_CLOUD_INSTANCE_TYPE_NAME`).
"""

from __future__ import annotations

from typing import Any

_label = ""


def name_machine_types(label: str) -> None:
    """Have the autoscaler of this process name the machine types of its node types.

    Called before v2 makes its installer and its first status, which is when it makes its node provider.

    Args:
        label: the label of a node type that has the name.
    """
    global _label  # noqa: PLW0603 - one autoscaler in a process, whose modules are as global
    _label = label
    from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig

    wrap(AutoscalingConfig)


def wrap(config_class: Any) -> None:
    """Replace ``get_provider_instance_type`` of v2's config, once."""
    if hasattr(config_class, "_instance_type_of_ray"):
        return
    config_class._instance_type_of_ray = config_class.get_provider_instance_type  # noqa: SLF001 - beside Ray's own
    config_class.get_provider_instance_type = _machine_type


def _machine_type(config: Any, node_type: str) -> str:
    """Return the machine type of a node type: Ray's answer, or where that is empty the label's."""
    name: str = config._instance_type_of_ray(node_type)  # noqa: SLF001
    return name or str(config.get_node_labels(node_type).get(_label, ""))
