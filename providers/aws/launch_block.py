"""What `ray up` is about to use of an AWS account: role, key pair, subnets, groups, images; lines of its block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accel_scaling.providers.aws.bootstrap import TAG
from accel_scaling.providers.aws.cloud import CLOUD
from accel_scaling.providers.base import launch_block
from accel_scaling.providers.base.launch_block import Fact, of_node_types

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Config = dict[str, Any]

# Ray's labels of what each node_config has, with its key there.
_OF_NODE_TYPES = (
    ("EC2 Key pair", "KeyName"),
    ("VPC Subnets", "SubnetIds"),
    ("EC2 Security groups", "SecurityGroupIds"),
    ("EC2 AMI", "ImageId"),
)


def say(given: Config, resolved: Config, image_names: Mapping[str, str]) -> None:
    """Print the block.

    Args:
        given: the config before images and Ray's steps, with what launch templates hold.
        resolved: the config after them.
        image_names: node type -> the name of its image, where EC2 was asked about it.
    """
    images = {
        name: _parameter(node_type["node_config"]) or image_names.get(name) or ""
        for name, node_type in resolved["available_node_types"].items()
    }
    launch_block.say(CLOUD, list(_facts(given, resolved)), resolved, images)


def _facts(given: Config, resolved: Config) -> Iterator[Fact]:
    yield Fact("Region", str(resolved["provider"]["region"]))
    head, types = resolved["head_node_type"], resolved["available_node_types"]
    own = types[head]["node_config"].get("IamInstanceProfile")
    profile = own or (resolved.get("head_node") or {}).get("IamInstanceProfile") or {}
    name = str(profile.get("Arn") or "").rpartition("/")[2] or str(profile.get("Name") or "")
    yield Fact("IAM Profile", name, default=not own)
    for label, key in _OF_NODE_TYPES:
        values = {}
        for name, node_type in types.items():
            node_config = node_type["node_config"]
            before = given["available_node_types"][name].get("node_config") or {}
            # Ray copies subnets and groups from the interfaces into these keys; a default image is a parameter.
            named = before.get(key) and not _parameter(node_config) if key == "ImageId" else before.get(key)
            chosen = not named and "NetworkInterfaces" not in before
            values[name] = (_text(node_config.get(key)), chosen)
        yield from of_node_types(label, head, values)


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value or "")


def _parameter(node_config: Config) -> str:
    """Return the end of the name of the parameter that an image came from, which says what it is; empty where none."""
    tags = [tag for part in node_config.get("TagSpecifications") or [] for tag in part.get("Tags") or []]
    value = next((str(tag["Value"]) for tag in tags if tag.get("Key") == TAG), "")
    name = value.removeprefix("/aws/service/")
    for end in ("/latest/ami-id", "/latest/image_id"):
        name = name.removesuffix(end)
    return name
