"""The machine images of a cluster on AWS: the newest of a public parameter when it is first asked for, then the same.

An `ImageId` may be `resolve:ssm:PARAMETER`, which EC2 itself takes and looks up at each launch. It is looked up here
instead, at `ray up`. The head that launches workers is not allowed to, by the role that Ray gives it
(AmazonEC2FullAccess); Ray's CloudWatch check hands the ImageId to DescribeImages, which takes ids only; and Ray
replaces machines whose node type changed: the head, at the next `ray up` after AWS published a newer image. So
machines that run keep their cluster's image: each carries the parameter that its image came from as a tag.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import botocore.exceptions

from accel_scaling import _ray
from accel_scaling.cluster.default_image import RESOLVE_SSM, no_image
from accel_scaling.errors import ClusterConfigError
from accel_scaling.providers.aws.checks import NOT_ALLOWED, AWSRefusedError, one_sentence
from accel_scaling.providers.aws.node_config import region_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from accel_scaling.cluster.cluster import Cluster

    Config = dict[str, Any]

TAG = "accel-scaling-image"
PERMISSION = "ssm:GetParameters"

_AT_ONCE = 10  # names that GetParameters takes
_KEPT_STATES = ["pending", "running", "stopping", "stopped"]


def resolved(cluster: Cluster) -> Config:
    """Return a copy of a filled cluster's config that names every image by its id.

    For a command that launches nothing, the config stays as it is.

    Raises:
        ClusterConfigError: a node type has no image, or AWS has no such parameter in the region.
        AWSRefusedError: no credentials, or the look-up is not allowed.
    """
    if _ray.reads_only():
        return cluster.config  # `ray down` must work for who may not look images up
    config = copy.deepcopy(cluster.config)
    for node_type in cluster.node_types.values():
        if not node_type.node_config.get("ImageId"):
            raise ClusterConfigError(no_image(node_type.location, node_type.machine.machine, "ImageId"))
    wanted = dict(_parameters(config))
    if not wanted:
        return config
    provider, region = config["provider"], region_of(config)
    with one_sentence():
        ids = _of_living_machines(region, provider.get("aws_credentials"), config["cluster_name"])
        unknown = [parameter for parameter in dict.fromkeys(wanted.values()) if parameter not in ids]
        ids |= _looked_up(region, provider.get("aws_credentials"), unknown, wanted)
    for name, parameter in wanted.items():
        node_config = config["available_node_types"][name]["node_config"]
        node_config["ImageId"] = ids[parameter]
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
        _ray.ec2_client(region, credentials)
        .get_paginator("describe_instances")
        .paginate(
            Filters=[
                {"Name": f"tag:{_ray.cluster_name_tag()}", "Values": [cluster_name]},
                {"Name": "tag-key", "Values": [TAG]},
                {"Name": "instance-state-name", "Values": _KEPT_STATES},
            ]
        )
    )
    found = []
    for page in pages:
        for machine in (one for group in page["Reservations"] for one in group["Instances"]):
            tags = {tag["Key"]: tag["Value"] for tag in machine["Tags"]}
            found.append((_ray.is_head(tags), machine["LaunchTime"], tags[TAG], machine["ImageId"]))
    return {parameter: image for _, _, parameter, image in sorted(found)}


def _looked_up(
    region: str, credentials: Config | None, parameters: Sequence[str], wanted: dict[str, str]
) -> dict[str, str]:
    if not parameters:
        return {}
    client, ids = _ray.aws_client("ssm", region, credentials), dict[str, str]()
    for start in range(0, len(parameters), _AT_ONCE):
        names = list(parameters[start : start + _AT_ONCE])
        try:
            answer = client.get_parameters(Names=names)
        except botocore.exceptions.ClientError as error:
            if error.response.get("Error", {}).get("Code") not in NOT_ALLOWED:
                raise
            raise AWSRefusedError(
                f"AWS does not allow you {PERMISSION}, with which the image of {_node_types(names, wanted)} is looked "
                "up; allow it (for arn:aws:ssm:*::parameter/aws/service/*), or write the id of an image in "
                "node_config.ImageId"
            ) from None
        ids |= {one["Name"]: one["Value"] for one in answer["Parameters"]}
    for name in parameters:
        if not ids.get(name, "").startswith("ami-"):
            lacks = f"is {ids[name]!r}, which is no image's id," if name in ids else "does not exist"
            raise ClusterConfigError(
                f"{_node_types([name], wanted)}: the parameter {name} of AWS Systems Manager, which names the image, "
                f"{lacks} in {region}; write the id of an image in node_config.ImageId, or choose another region"
            )
    return ids


def _node_types(parameters: Sequence[str], wanted: dict[str, str]) -> str:
    named = [f"available_node_types.{name}" for name, parameter in wanted.items() if parameter in parameters]
    return " and ".join(named)
