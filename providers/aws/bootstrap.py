"""Questions to AWS at `ray up`, before anything is launched: credentials, region, instance types, and images.

An `ImageId` may be `resolve:ssm:PARAMETER`, which EC2 itself takes and looks up at each launch. It is looked up here
instead, at `ray up`. The head that launches workers is not allowed to, by the role that Ray gives it
(AmazonEC2FullAccess); Ray's CloudWatch check hands the ImageId to DescribeImages, which takes ids only; and Ray
replaces machines whose node type changed: the head, at the next `ray up` after AWS published a newer image. So
machines that run keep their cluster's image: each carries the parameter that its image came from as a tag.
"""

from __future__ import annotations

import contextlib
import copy
import os
import socket
from typing import TYPE_CHECKING, Any

import botocore.exceptions
import botocore.session

from accel_scaling import _ray
from accel_scaling.catalog.suggest import hint
from accel_scaling.cluster import machine_lists
from accel_scaling.cluster.node_needs import RESOLVE_SSM, default_image, no_image
from accel_scaling.cluster.offering_checks import nearest
from accel_scaling.errors import AccelScalingError, ClusterConfigError
from accel_scaling.message_text import shown
from accel_scaling.providers.aws.client import in_time, quickly
from accel_scaling.providers.aws.errors import NOT_ALLOWED, AWSRefusedError, code_of, one_sentence
from accel_scaling.providers.aws.node_config import region_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from accel_scaling.cluster.cluster import Cluster

    Config = dict[str, Any]

TAG = "accel-scaling-image"
PERMISSION = "ssm:GetParameters"

_AT_ONCE = 10  # names that GetParameters takes
# Ray keeps idle machines stopped, and starts them again: their image counts as well.
_KEPT_STATES = ["pending", "running", "stopping", "stopped"]


def check(cluster: Cluster) -> dict[str, AccelScalingError]:
    """Refuse a cluster file that EC2 would refuse later, after something was paid for.

    Returns:
        The refusals of machines of lists that have others, by their node types.

    Raises:
        ClusterConfigError: no region, or an instance type that the region does not have.
        AWSRefusedError: no credentials, or AWS cannot be reached.
    """
    region = region_of(cluster.config)
    refuse_unknown(region)
    names = dict.fromkeys(node_type.machine.name for node_type in cluster.node_types.values())
    offered = _offered(region, cluster.provider.get("aws_credentials"), list(names))
    # The catalog's list of regions may be old: it counts only where EC2 may not be asked.
    refusals = cluster.refused() if offered is None else _not_in(offered, region, cluster)
    machine_lists.raised_or_noted(cluster, refusals)
    return refusals


def _not_in(offered: set[str], region: str, cluster: Cluster) -> dict[str, AccelScalingError]:
    """Return the refusals of machines that a region does not offer, by their node types."""
    refusals: dict[str, AccelScalingError] = {}
    for node_type in cluster.node_types.values():
        if node_type.machine.name not in offered:
            regions = nearest(cluster.catalog.where(node_type.machine.machine), region)
            refusals[node_type.name] = ClusterConfigError(
                f"{node_type.location}: EC2 does not offer {node_type.machine.name} in {region}; {regions}"
                "choose another region or type"
            )
    return refusals


def _offered(region: str, credentials: dict[str, Any] | None, machines: list[str]) -> set[str] | None:
    """Return which of the types the region offers; None where this account may not ask."""
    with one_sentence():
        client = _ray.ec2_client(region, quickly(credentials))
        # EC2 answers for all types of the file in one call, and names those that the region has.
        pages = client.get_paginator("describe_instance_type_offerings").paginate(
            LocationType="region", Filters=[{"Name": "instance-type", "Values": machines}]
        )
        try:
            # The first request of `ray up`: without an answer the error comes here, and not after 13 tries of boto.
            return in_time(lambda: {offer["InstanceType"] for page in pages for offer in page["InstanceTypeOfferings"]})
        except botocore.exceptions.ClientError as error:
            if code_of(error) in NOT_ALLOWED:
                return None
            raise


def refuse_unknown(region: str) -> None:
    """Refuse a region that nobody knows, at once: boto would look for its endpoint for a minute.

    Raises:
        ClusterConfigError: boto does not know it, and it has no endpoint.
        AWSRefusedError: boto's own files cannot be read.
    """
    # An endpoint that the user names, a local EC2 say, may have regions that nobody else knows.
    if any(os.environ.get(name) for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_EC2")):
        return
    with contextlib.suppress(OSError, UnicodeError):
        socket.getaddrinfo(f"ec2.{region}.amazonaws.com", 443)  # boto may be older than the region
        return
    with one_sentence():
        session = botocore.session.Session()
        partitions = session.get_available_partitions()
        known = {name for partition in partitions for name in session.get_available_regions("ec2", partition)}
    if region in known:
        return
    raise ClusterConfigError(f"provider.region is {shown(region)}, which is not a region of AWS{hint(region, known)}")


def resolved(cluster: Cluster) -> Config:
    """Return a copy of a filled cluster's config that names every image by its id.

    Raises:
        ClusterConfigError: a node type has no image, or AWS has no such parameter in the region.
        AWSRefusedError: no credentials, or the look-up is not allowed.
    """
    config = copy.deepcopy(cluster.config)
    for node_type in cluster.node_types.values():
        if node_type.node_config.get("ImageId"):
            continue
        # Who has not called the fill before, as Ray's API allows, gets the image that the fill would have written.
        image = default_image(node_type.machine.machine)
        if image is not None and image.name:
            node_config = config["available_node_types"][node_type.name].setdefault("node_config", {})
            node_config["ImageId"] = RESOLVE_SSM + image.name
        else:
            raise ClusterConfigError(no_image(node_type.location, node_type.machine.machine, "ImageId"))
    by_type = dict(_parameters(config))
    if not by_type:
        return config
    provider, region = config["provider"], region_of(config)
    with one_sentence():
        ids = _of_living_machines(region, provider.get("aws_credentials"), config["cluster_name"])
        unknown = [parameter for parameter in dict.fromkeys(by_type.values()) if parameter not in ids]
        ids |= _looked_up(region, provider.get("aws_credentials"), unknown, by_type)
    for name, parameter in by_type.items():
        node_config = config["available_node_types"][name]["node_config"]
        node_config["ImageId"] = ids[parameter]
        # Ray adds these tags to its own, of each machine that it launches.
        tag = {"ResourceType": "instance", "Tags": [{"Key": TAG, "Value": parameter}]}
        node_config["TagSpecifications"] = [*(node_config.get("TagSpecifications") or []), tag]
    return config


def _parameters(config: Config) -> Iterator[tuple[str, str]]:
    """Yield (node type, parameter) of each node type whose image is one."""
    for name, node_type in config["available_node_types"].items():
        image = node_type["node_config"]["ImageId"]
        if isinstance(image, str) and image.startswith(RESOLVE_SSM):
            yield name, image.removeprefix(RESOLVE_SSM)


def _of_living_machines(region: str, credentials: Config | None, cluster_name: str) -> dict[str, str]:
    """Return parameter -> image id of the cluster's machines; the head's where they differ, else the newest's."""
    pages = (
        _ray.ec2_client(region, quickly(credentials))
        .get_paginator("describe_instances")
        .paginate(
            Filters=[
                {"Name": f"tag:{_ray.cluster_name_tag()}", "Values": [cluster_name]},
                {"Name": "tag-key", "Values": [TAG]},
                {"Name": "instance-state-name", "Values": _KEPT_STATES},
            ]
        )
    )
    images = []
    for page in pages:
        for machine in (instance for group in page["Reservations"] for instance in group["Instances"]):
            tags = {tag["Key"]: tag["Value"] for tag in machine["Tags"]}
            images.append((_ray.is_head(tags), machine["LaunchTime"], tags[TAG], machine["ImageId"]))
    # The last one of a parameter stays: the head sorts behind all workers, and a newer machine behind an older one.
    return {parameter: image for _, _, parameter, image in sorted(images)}


def _looked_up(
    region: str, credentials: Config | None, parameters: Sequence[str], by_type: dict[str, str]
) -> dict[str, str]:
    if not parameters:
        return {}
    client, ids = _ray.aws_client("ssm", region, quickly(credentials)), dict[str, str]()
    for start in range(0, len(parameters), _AT_ONCE):
        names = list(parameters[start : start + _AT_ONCE])
        try:
            answer = client.get_parameters(Names=names)
        except botocore.exceptions.ClientError as error:
            if code_of(error) not in NOT_ALLOWED:
                raise
            raise AWSRefusedError(
                f"your AWS credentials lack the permission {PERMISSION}, which the image look-up of "
                f"{_node_types(names, by_type)} needs; allow it (for arn:aws:ssm:*::parameter/aws/service/*), or "
                f"write the id of an image in "
                "node_config.ImageId"
            ) from None
        # GetParameters names unknown parameters in a list of their own, and does not fail.
        ids |= {parameter["Name"]: parameter["Value"] for parameter in answer["Parameters"]}
    for name in parameters:
        if not ids.get(name, "").startswith("ami-"):
            lacks = f"is {shown(ids[name])}, which is not an image's id," if name in ids else "does not exist"
            raise ClusterConfigError(
                f"{_node_types([name], by_type)}: the parameter {name} of AWS Systems Manager, which names the image, "
                f"{lacks} in {region}; write the id of an image in node_config.ImageId, or choose another region"
            )
    return ids


def _node_types(parameters: Sequence[str], by_type: dict[str, str]) -> str:
    named = [f"available_node_types.{name}" for name, parameter in by_type.items() if parameter in parameters]
    return " and ".join(named)
