"""Ray's own providers for EC2 and Google Cloud: their classes, clients, node tags and bootstrap steps."""

from __future__ import annotations

from typing import Any


def gcp_node_provider() -> Any:
    """Return Ray's own GCP node provider class, which ours extends."""
    from ray.autoscaler._private.gcp.node_provider import GCPNodeProvider

    return GCPNodeProvider


def gcp_resources() -> tuple[Any, Any]:
    """Return Ray's classes of Compute Engine and of Cloud TPU, which ours extend."""
    from ray.autoscaler._private.gcp.node import GCPTPU, GCPCompute

    return GCPCompute, GCPTPU


def gcp_nodes() -> tuple[Any, Any]:
    """Return Ray's classes of a Compute Engine instance and of a TPU slice: dicts with addresses and labels."""
    from ray.autoscaler._private.gcp.node import GCPComputeNode, GCPTPUNode

    return GCPComputeNode, GCPTPUNode


def gcp_node_kinds() -> Any:
    """Return Ray's enum of the two kinds of node, whose values end the nodes' names."""
    from ray.autoscaler._private.gcp.node import GCPNodeType

    return GCPNodeType


def gcp_bootstrap() -> Any:
    """Return Ray's module with the steps of `bootstrap_gcp`: project, service account, key pair, subnet."""
    from ray.autoscaler._private.gcp import config

    return config


def gcp_private_keys(region: str, project: str, ssh_user: str) -> list[str]:
    """Return the paths, in order, where Ray keeps the private key that it makes for this computer and project."""
    from ray.autoscaler._private.gcp.config import generate_ssh_key_name, generate_ssh_key_paths

    # Ten, as _configure_key_pair tries.
    names = [generate_ssh_key_name("gcp", number, region, project, ssh_user) for number in range(10)]
    return [generate_ssh_key_paths(name)[1] for name in names]


def check_legacy_fields(config: dict[str, Any]) -> None:
    """Warn of fields that Ray no longer reads, in Ray's words."""
    from ray.autoscaler._private.util import check_legacy_fields as check

    check(config)


def gcp_tags() -> tuple[str, str]:
    """Return the tags of a node that hold its cluster's name and its own."""
    from ray.autoscaler.tags import TAG_RAY_CLUSTER_NAME, TAG_RAY_NODE_NAME

    return TAG_RAY_CLUSTER_NAME, TAG_RAY_NODE_NAME


def gcp_reuse_tags() -> tuple[str, ...]:
    """Return the tags by which Ray's GCP provider knows a stopped node that it may start again."""
    from ray.autoscaler.tags import TAG_RAY_NODE_KIND, TAG_RAY_NODE_NAME, TAG_RAY_USER_NODE_TYPE

    return TAG_RAY_NODE_NAME, TAG_RAY_NODE_KIND, TAG_RAY_USER_NODE_TYPE


def aws_node_provider() -> Any:
    """Return Ray's own AWS node provider class, which ours extends."""
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

    return AWSNodeProvider


def aws_tries_each_subnet_once() -> None:
    """Make Ray's EC2 provider try a launch once in each subnet that it is given, not five times in one."""
    from ray.autoscaler._private.aws import node_provider

    # Ours tries the zones itself, and asks the gate before each (providers/base/zone_launch.py). Ray's loop runs over
    # max(BOTO_CREATE_MAX_RETRIES, number of subnets): given one subnet, it would ask five times where all is sold out.
    node_provider.BOTO_CREATE_MAX_RETRIES = 1


def aws_reuse_tags() -> tuple[str, ...]:
    """Return the tags by which Ray's EC2 provider knows a stopped machine that it may start again."""
    from ray.autoscaler.tags import TAG_RAY_LAUNCH_CONFIG, TAG_RAY_NODE_KIND, TAG_RAY_USER_NODE_TYPE

    return TAG_RAY_NODE_KIND, TAG_RAY_LAUNCH_CONFIG, TAG_RAY_USER_NODE_TYPE


def aws_tags() -> tuple[Any, Any]:
    """Return the functions with which Ray's EC2 provider turns node tags into EC2's, and back; both change their dict.

    EC2 shows the tag `Name` in its console, so the node's name is kept there.
    """
    from ray.autoscaler._private.aws.node_provider import from_aws_format, to_aws_format

    return to_aws_format, from_aws_format


def aws_template_content(template: dict[str, Any], region: str, credentials: dict[str, Any] | None) -> dict[str, Any]:
    """Return what a launch template holds, as Ray merges it into a node_config; asks EC2 once.

    Raises:
        ValueError: EC2 does not answer with one version of one template.
        botocore.exceptions.ClientError: EC2 refuses.
    """
    from ray.autoscaler._private.aws.config import _configure_node_cfg_from_launch_template

    config = {"provider": {"region": region, "aws_credentials": credentials or {}}}
    content: dict[str, Any] = _configure_node_cfg_from_launch_template(config, {"LaunchTemplate": template})
    return content


def aws_client(service: str, region: str, credentials: dict[str, Any] | None) -> Any:
    """Return the cached client of an AWS service that Ray's provider uses for this region."""
    from ray.autoscaler._private.aws.utils import client_cache

    return client_cache(service, region, **(credentials or {}))


def ec2_client(region: str, credentials: dict[str, Any] | None) -> Any:
    """Return the cached EC2 client that Ray's provider uses for this region."""
    return aws_client("ec2", region, credentials)
