"""Questions about what a cluster file names in the account: subnets, groups, keys, images; and what its zones have.

Each is asked before the head is paid for. Where the account may not ask one, `ray up` continues without its answer: a
launch asks EC2 in any case.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import botocore.exceptions

from accel_scaling import _ray
from accel_scaling.cluster import machine_lists
from accel_scaling.cluster.node_needs import RESOLVE_SSM, default_image
from accel_scaling.errors import AccelScalingError, ClusterConfigError
from accel_scaling.providers.aws.client import quickly
from accel_scaling.providers.aws.errors import NOT_ALLOWED, code_of, one_sentence
from accel_scaling.providers.base.error_rules import one_line
from accel_scaling.providers.base.ray_steps import check_private_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from accel_scaling.cluster.cluster import Cluster, NodeType

    Config = dict[str, Any]

_NAMES_AT_ONCE = 200  # values of one filter: EC2 takes no more


def check_named(cluster: Cluster, config: Config) -> dict[str, str]:
    """Refuse subnets, groups, key pairs and images that the region does not have, and images of another architecture.

    Returns:
        Node type -> the name of its image, as far as EC2 was asked about it.

    Args:
        cluster: a cluster file, read.
        config: its config with each image by its id.

    Raises:
        ClusterConfigError: names the key.
        AWSRefusedError: AWS cannot be asked.
    """
    check_private_key(config)
    _check_key_pair(config)
    image_names = {}
    client = _ray.ec2_client(cluster.provider["region"], quickly(cluster.provider.get("aws_credentials")))
    for node_type in cluster.node_types.values():
        node_config = config["available_node_types"][node_type.name]["node_config"]
        key = f"{node_type.location}.node_config"
        for name, call, parameter in (
            ("SubnetIds", client.describe_subnets, "SubnetIds"),
            ("SecurityGroupIds", client.describe_security_groups, "GroupIds"),
            ("KeyName", client.describe_key_pairs, "KeyNames"),
        ):
            if ids := texts(node_config.get(name)):
                _asked(call, {parameter: ids}, f"{key}.{name}", cluster)
        image = str(node_config.get("ImageId") or "")
        image_names[node_type.name] = _check_image(node_type, image, client, cluster)
    return image_names


def check_zones(cluster: Cluster, config: Config, refused: Mapping[str, AccelScalingError] | None = None) -> list[str]:
    """Refuse machine types that none of their node type's zones has; return notes about zones that lack one.

    Args:
        cluster: a cluster file, read.
        config: its config with ``SubnetIds`` in each node_config, as Ray has chosen them where the file names none.
        refused: the machines of lists that the whole region does not have, by their node types.

    Raises:
        ClusterConfigError: names the node type, its zones, and those that have the machine type.
        AWSRefusedError: AWS cannot be asked.
    """
    client = _ray.ec2_client(cluster.provider["region"], quickly(cluster.provider.get("aws_credentials")))
    subnets = {
        name: texts(node_type["node_config"].get("SubnetIds"))
        for name, node_type in config["available_node_types"].items()
    }
    zone_of = zones_of(client, sorted({subnet for ids in subnets.values() for subnet in ids}))
    offered = _zones_with(client, sorted({node_type.machine.name for node_type in cluster.node_types.values()}))
    refusals = dict(refused or {})
    if zone_of is None or offered is None:
        return machine_lists.raised_or_noted(cluster, refusals)
    notes = []
    for node_type in cluster.node_types.values():
        zones = list(dict.fromkeys(zone_of[subnet] for subnet in subnets[node_type.name] if subnet in zone_of))
        # A type that no zone at all has is none that this EC2 lists by zones: check() has asked about the region.
        has = offered.get(node_type.machine.name)
        if not zones or not has:
            continue
        lacking = [zone for zone in zones if zone not in has]
        if len(lacking) == len(zones):
            refusals[node_type.name] = ClusterConfigError(
                f"{node_type.location}: EC2 has no {node_type.machine.name} in {', '.join(zones)} "
                f"({_source(cluster, node_type)}); in this region it is in {', '.join(sorted(has))}"
            )
            continue
        # Zones that nobody has named are tried in turn: which of them lack a type is no news then.
        if lacking and (cluster.placement.zones or node_type.node_config.get("SubnetIds")):
            notes.append(
                f"{node_type.location}: EC2 has no {node_type.machine.name} in {', '.join(lacking)}; it is launched in "
                f"{', '.join(zone for zone in zones if zone in has)} only"
            )
    return [*machine_lists.raised_or_noted(cluster, refusals), *notes]


def _check_key_pair(config: Config) -> None:
    """Refuse a private key of the user's own that no machine would let in."""
    if not (config.get("auth") or {}).get("ssh_private_key"):
        return
    for name, node_type in config["available_node_types"].items():
        node_config = node_type["node_config"]
        # User data may write the key. What a template holds is in the node_config by now.
        if not {"KeyName", "UserData"} & set(node_config):
            raise ClusterConfigError(
                f"available_node_types.{name}.node_config.KeyName is missing: auth.ssh_private_key is a key of yours; "
                "name its key pair in EC2 there, or leave auth.ssh_private_key out to let Ray make a key pair"
            )


def _check_image(node_type: NodeType, image_id: str, client: Any, cluster: Cluster) -> str:
    """Return the name of an image; empty where EC2 is not asked, or may not be."""
    machine = node_type.machine.machine
    named, default = node_type.node_config.get("ImageId"), default_image(machine)
    # Ours are AWS's own, of the right architecture; Ray has an image of its own for its word.
    if not image_id.startswith("ami-") or (default and named == RESOLVE_SSM + default.name):
        return ""
    key = f"{node_type.location}.node_config.ImageId"
    try:
        answer = _asked(client.describe_images, {"ImageIds": [image_id]}, key, cluster)
    except ClusterConfigError:
        # A parameter of the user's own may name an image that only the head's account sees.
        if named == image_id:
            raise
        return ""
    if answer is None:
        return ""
    images = answer.get("Images") or []
    if not images:
        raise ClusterConfigError(
            f"{key} is {image_id}, which does not exist in {cluster.provider['region']}, or which your account may "
            f"not use"
        )
    architecture = str(images[0].get("Architecture") or machine.arch).removesuffix("_mac")
    if architecture != machine.arch:
        raise ClusterConfigError(
            f"{key} is {image_id}, an image for {architecture}, and {machine.name} is {machine.arch}; name an image "
            f"for {machine.arch}, or another InstanceType"
        )
    return str(images[0].get("Name") or "")


def _asked(call: Callable[..., Any], parameters: Mapping[str, Any], key: str, cluster: Cluster) -> Any | None:
    """Return EC2's answer about ids that a file names; None where this account may not ask.

    Raises:
        ClusterConfigError: EC2 does not have one of them, or takes it for no id.
        AWSRefusedError: AWS cannot be asked.
    """
    with one_sentence():
        try:
            return call(**parameters)
        except botocore.exceptions.ClientError as error:
            code = code_of(error)
            if code in NOT_ALLOWED:
                return None
            # InvalidSubnetID.NotFound, InvalidGroup.NotFound, InvalidGroupId.Malformed, InvalidAMIID.Unavailable, ...
            if not code.startswith("Invalid"):
                raise
            message = one_line(str(error.response["Error"].get("Message") or code))
            raise ClusterConfigError(f"{key}: {message} ({code}, in {cluster.provider['region']})") from None


def zones_of(client: Any, subnets: Sequence[str]) -> dict[str, str] | None:
    """Return subnet -> zone; None where this account may not ask."""
    if not subnets:
        return {}
    answer = _allowed(lambda: client.describe_subnets(SubnetIds=list(subnets)))
    return None if answer is None else {one["SubnetId"]: one["AvailabilityZone"] for one in answer["Subnets"]}


def _zones_with(client: Any, machines: Sequence[str]) -> dict[str, set[str]] | None:
    """Return machine type -> the zones of the region that have it; None where this account may not ask."""
    zones: dict[str, set[str]] = defaultdict(set)

    def pages() -> Iterator[Any]:
        for start in range(0, len(machines), _NAMES_AT_ONCE):
            names = {"Name": "instance-type", "Values": list(machines[start : start + _NAMES_AT_ONCE])}
            asked = client.get_paginator("describe_instance_type_offerings")
            yield from asked.paginate(LocationType="availability-zone", Filters=[names])

    answer = _allowed(lambda: list(pages()))
    for page in answer or []:
        for offer in page["InstanceTypeOfferings"]:
            zones[offer["InstanceType"]].add(offer["Location"])
    return None if answer is None else zones


def _allowed(question: Callable[[], Any]) -> Any | None:
    """Return an answer; None where this account may not ask."""
    with one_sentence():
        try:
            return question()
        except botocore.exceptions.ClientError as error:
            if code_of(error) in NOT_ALLOWED:
                return None
            raise


def _source(cluster: Cluster, node_type: NodeType) -> str:
    """Return the key that has named the zones of a node type."""
    if node_type.node_config.get("SubnetIds"):
        return "the zones of its SubnetIds"
    return "provider.availability_zone" if cluster.placement.zones else "the zones of your subnets"


def texts(value: Any) -> list[str]:
    """Return the texts in a value of a node_config: itself, or those of a list."""
    listed = [value] if isinstance(value, str) else value
    return [item for item in listed if isinstance(item, str) and item] if isinstance(listed, list) else []
