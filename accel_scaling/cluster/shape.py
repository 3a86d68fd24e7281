"""The shape of a cluster file: the keys that it must have, the kinds of their values, and no placeholder left."""

from __future__ import annotations

import json
from typing import Any

from accel_scaling import documentation
from accel_scaling.cluster.node_type_defaults import check_head, check_ray_1, misspelt, with_node_types
from accel_scaling.cluster.other_files import other_file
from accel_scaling.cluster.placeholders import check_rendered
from accel_scaling.cluster.provider_cloud import cloud_of
from accel_scaling.cluster.provider_keys import check_names
from accel_scaling.cluster.ray_keys import check_keys
from accel_scaling.cluster.ray_rules import check_rules
from accel_scaling.cluster.setup_commands import OF_CLUSTER
from accel_scaling.cluster.start_commands import KEYS
from accel_scaling.errors import ClusterConfigError
from accel_scaling.inputs.bounds import MOST_AMOUNT
from accel_scaling.inputs.values import UnusableValueError, check, texts
from accel_scaling.message_text import MOST_SHOWN, shown

# What people write at the top level, by Ray's own ray-schema.json; of the wrong kind, Ray's scheduler falls over it.
COMMANDS = (*OF_CLUSTER, *KEYS)
MAPPINGS = ("auth", "docker", "file_mounts")

# Placeholders of examples and starter files: with them nothing can be launched.
PROJECT = "your-project-id"
AWS_IMAGE = "ami-of-your-own"
GCP_IMAGE = f"projects/{PROJECT}/global/images/your-image"
RESERVATION = "your-reservation"
CAPACITY_BLOCK = "cr-ofyourown"

_MEANT = {
    PROJECT: "the id of your Google Cloud project",
    AWS_IMAGE: "an image's id",
    GCP_IMAGE: "your image",
    RESERVATION: "the name of your reservation",
    CAPACITY_BLOCK: "the id of your Capacity Block",
}


def check_shape(config: Any) -> dict[str, Any]:
    """Return the config if it is a cluster config with node types; what Ray takes where it names none is added.

    Raises:
        ClusterConfigError: names the key that is missing or of the wrong kind.
    """
    _check_bounds(config)
    if not isinstance(config, dict):
        raise ClusterConfigError(f"this is not a cluster config: expected keys and values, found {_yaml_kind(config)}")
    if other := other_file(config):
        raise ClusterConfigError(other)
    if not isinstance(config.get("provider"), dict) or not config["provider"]:
        raise ClusterConfigError(
            f"this is not a cluster config: `provider` is missing or empty{misspelt('provider', config)}; see "
            f"{documentation.examples()} for complete ones"
        )
    # In this order: each check takes for granted what those above have found.
    check_rendered(config)
    cloud = cloud_of(config["provider"])
    check_ray_1(config)
    complete = with_node_types(config, cloud)
    _check_node_types(complete["available_node_types"])
    _check_kinds(complete)
    # Before the head: of a misspelt head_node_type the head would be Ray's own.
    check_keys(complete)
    check_head(complete, cloud)
    check_rules(complete)
    check_names(complete["provider"], cloud)
    return complete


def _check_node_types(types: dict[Any, Any]) -> None:
    for name, node_type in types.items():
        if not isinstance(name, str):  # to YAML 1.1, `no` and `on` are truth values
            raise ClusterConfigError(
                f"available_node_types has a node type {_as_yaml(name)}, which YAML does not read as a string; quote it"
            )
        if not isinstance(node_type, dict) or not isinstance(node_type.get("node_config") or {}, dict):
            raise ClusterConfigError(f"available_node_types.{name} must have keys, among them node_config")


def _check_bounds(config: Any) -> None:
    """Refuse what is beyond the bounds, before anything else looks at it: `ray up` reads the file, and knows none."""
    try:
        check(config)
    except UnusableValueError as error:
        raise ClusterConfigError(str(error)) from None


def check_own_promise(location: str, resources: Any, labels: Any) -> None:
    """Refuse resources and labels of a node type that Ray's cluster files do not take.

    Args:
        location: the node type's place in the cluster file.
        resources: the user's ``resources:``.
        labels: the user's ``labels:``.

    Raises:
        ClusterConfigError: names the key.
    """
    if not isinstance(resources, dict) or not isinstance(labels, dict):
        raise ClusterConfigError(f"{location}: resources and labels must have names and values")
    for name in (*resources, *labels):
        if not isinstance(name, str):
            raise ClusterConfigError(f"{location}: YAML does not read the name {_as_yaml(name)} as a string; quote it")
    for name, value in resources.items():
        # bool is a kind of int in Python: `GPU: true` must not be 1.
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ClusterConfigError(
                f"{location}.resources.{name} is {shown(value)}; Ray's cluster files take whole numbers of "
                "0 or more there"
            )
        if value > MOST_AMOUNT:
            raise ClusterConfigError(
                f"{location}.resources.{name} is {value}; no machine has more than {MOST_AMOUNT:,} of anything"
            )


def _check_kinds(config: dict[str, Any]) -> None:
    for key in COMMANDS:
        commands = config.get(key, [])
        if not isinstance(commands, list) or not all(isinstance(command, str) for command in commands):
            raise ClusterConfigError(f"{key} must be a list of commands, each of them text; write [] for none")
    for key in MAPPINGS:
        if not isinstance(config.get(key, {}), dict):
            raise ClusterConfigError(f"{key} must have keys and values; leave it out for none")
    for remote, local in config.get("file_mounts", {}).items():
        if not isinstance(remote, str) or not isinstance(local, str):
            raise ClusterConfigError(
                f"file_mounts.{remote} is {shown(local)}; expected a path on the node and a path on this machine"
            )
    region = config["provider"].get("region")  # its other keys are its cloud's to check: Google's zones may be a list
    if region is not None and not isinstance(region, str):
        raise ClusterConfigError(f"provider.region is {shown(region)}; expected text, in quotes if needed")


def _as_yaml(value: Any) -> str:
    """Return a value as it is written in the file: ``5``, ``true``, ``null``; a list or a text shortened."""
    text = json.dumps(value, default=str)
    return text if len(text) <= MOST_SHOWN else shown(value)


def _yaml_kind(value: Any) -> str:
    return {str: "text", list: "a list", type(None): "nothing"}.get(type(value), type(value).__name__)


def check_filled_in(config: dict[str, Any]) -> None:
    """Refuse a cluster config in which a placeholder is left.

    Raises:
        ClusterConfigError: names the first one's key; or the config is beyond the bounds.
    """
    _check_bounds(config)
    for path, value in texts(config):
        if value in _MEANT:
            raise ClusterConfigError(
                f"{path} is still {shown(value)}, the example's value; write {_MEANT[value]} there"
            )
