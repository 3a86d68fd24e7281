"""The node types of a cluster config in Ray's form, and the changes with which a plan asks again."""

from __future__ import annotations

import copy
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_SSH_KEYS = ("ssh_private_key", "ssh_public_key")


def node_type_configs(config: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Return what v2 reads of a filled cluster config: its node types, and the most nodes, the head among them.

    Raises:
        ValueError: Ray refuses the config; its words.
    """
    from jsonschema import ValidationError
    from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig

    logger = logging.getLogger("ray.autoscaler._private.util")  # it tells of keys of Ray's own defaults
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        # A hash of the contents would read every file of file_mounts; another one, which decides nothing here, the ssh
        # keys (hash_launch_conf), which may be on another machine.
        auth = {key: value for key, value in (config.get("auth") or {}).items() if key not in _SSH_KEYS}
        read = AutoscalingConfig(copy.deepcopy({**config, "auth": auth}), skip_content_hash=True)
        return read.get_node_type_configs(), read.get_max_num_nodes()
    except ValidationError as error:
        path = ".".join(str(word) for word in error.absolute_path)
        raise ValueError(f"{path}: {error.message}" if path else error.message) from None
    except TypeError as error:  # that hash is of JSON, which has no dates, and no keys of several kinds
        raise ValueError(f"Ray cannot use a value of a node_config: {error}") from None
    except AssertionError as error:
        raise ValueError(str(error) or "min_workers of a node type is above its max_workers") from None
    finally:
        logger.setLevel(before)


def node_type_config(name: str, most: int) -> Any:
    """Return a node type of which there are nodes, and of which none is launched."""
    from ray.autoscaler.v2.instance_manager.config import NodeTypeConfig

    return NodeTypeConfig(name=name, min_worker_nodes=0, max_worker_nodes=most)


def with_most(types: Mapping[str, Any], names: Collection[str], most: int) -> dict[str, Any]:
    """Return the node types, those of these names with another ``max_workers``."""
    return _changed(types, {name: {"max_worker_nodes": most} for name in names})


def with_real(
    types: Mapping[str, Any], real: Mapping[str, tuple[Mapping[str, float], Mapping[str, str]]]
) -> dict[str, Any]:
    """Return the node types, those of these names with the resources and labels that their nodes will have."""
    return _changed(
        types,
        {name: {"resources": dict(resources), "labels": dict(labels)} for name, (resources, labels) in real.items()},
    )


def without_launches(types: Mapping[str, Any], names: Collection[str], head: str) -> dict[str, Any]:
    """Return the node types, those of these names without any worker; Ray counts the head as one of its type."""
    return _changed(types, {name: {"min_worker_nodes": 0, "max_worker_nodes": int(name == head)} for name in names})


def _changed(types: Mapping[str, Any], changes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {name: replace(config, **changes[name]) if name in changes else config for name, config in types.items()}
