"""Ray's own provider for EC2, and the clients that it keeps."""

from __future__ import annotations

from typing import Any


def aws_node_provider() -> Any:
    """Return Ray's own AWS node provider class, which ours extends."""
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

    return AWSNodeProvider


def aws_tries_each_subnet_once() -> None:
    """Make Ray's EC2 provider try a launch once in each subnet that it is given, not five times in one."""
    from ray.autoscaler._private.aws import node_provider

    node_provider.BOTO_CREATE_MAX_RETRIES = 1


def aws_client(service: str, region: str, credentials: dict[str, Any] | None) -> Any:
    """Return the cached client of an AWS service that Ray's provider uses for this region."""
    from ray.autoscaler._private.aws.utils import client_cache

    return client_cache(service, region, **(credentials or {}))


def ec2_client(region: str, credentials: dict[str, Any] | None) -> Any:
    """Return the cached EC2 client that Ray's provider uses for this region."""
    return aws_client("ec2", region, credentials)
