"""What is asked of AWS before anything is launched: credentials, the region, and whether it has the types."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING, Any

import botocore.exceptions
import botocore.session

from accel_scaling import _ray
from accel_scaling.catalog.suggest import hint
from accel_scaling.cluster.offering_checks import nearest
from accel_scaling.errors import AccelScalingError, ClusterConfigError
from accel_scaling.providers.aws.node_config import region_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from accel_scaling.cluster.cluster import Cluster

# botocore's errors about who is calling and where; everything else is passed on as AWS says it.
_CREDENTIALS = (
    botocore.exceptions.NoCredentialsError,
    botocore.exceptions.PartialCredentialsError,
    botocore.exceptions.ProfileNotFound,
)
_REFUSED = {"AuthFailure", "UnrecognizedClientException", "InvalidClientTokenId", "ExpiredToken", "RequestExpired"}
NOT_ALLOWED = {"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"}


class AWSRefusedError(AccelScalingError):
    """AWS could not be asked, or did not let us."""


def check(cluster: Cluster) -> None:
    """Refuse a cluster file that EC2 would refuse later, after something was paid for.

    Raises:
        ClusterConfigError: no region, or an instance type that the region does not have.
        AWSRefusedError: no credentials, or AWS cannot be reached.
    """
    region = region_of(cluster.config)
    with one_sentence():
        _refuse_unknown(region)
    names = dict.fromkeys(node_type.machine.name for node_type in cluster.node_types.values())
    offered = _offered(region, cluster.provider.get("aws_credentials"), list(names))
    if offered is None:
        cluster.check_offered()
        return
    for node_type in cluster.node_types.values():
        if node_type.machine.name not in offered:
            regions = nearest(cluster.catalog.where(node_type.machine.machine), region)
            raise ClusterConfigError(
                f"{node_type.location}: EC2 does not offer {node_type.machine.name} in {region}; {regions}"
                "choose another region or type"
            )


def _offered(region: str, credentials: dict[str, Any] | None, machines: list[str]) -> set[str] | None:
    """Return which of the types the region offers; None where this account may not ask."""
    with one_sentence():
        client = _ray.ec2_client(region, credentials)
        pages = client.get_paginator("describe_instance_type_offerings").paginate(
            LocationType="region", Filters=[{"Name": "instance-type", "Values": machines}]
        )
        try:
            return {offer["InstanceType"] for page in pages for offer in page["InstanceTypeOfferings"]}
        except botocore.exceptions.ClientError as error:
            if error.response.get("Error", {}).get("Code") in NOT_ALLOWED:
                return None
            raise


def _refuse_unknown(region: str) -> None:
    """Refuse a region that nobody knows, at once: boto would look for its endpoint for a minute.

    Raises:
        ClusterConfigError: boto does not know it, and it has no endpoint.
    """
    if any(os.environ.get(name) for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_EC2")):
        return
    with contextlib.suppress(OSError, UnicodeError):
        socket.getaddrinfo(f"ec2.{region}.amazonaws.com", 443)  # boto may be older than the region
        return
    session = botocore.session.Session()
    partitions = session.get_available_partitions()
    known = {name for each in partitions for name in session.get_available_regions("ec2", each)}
    if region in known:
        return
    raise ClusterConfigError(f"provider.region is {region!r}, which is no region of AWS{hint(region, known)}")


@contextlib.contextmanager
def one_sentence() -> Iterator[None]:
    """Turn botocore's errors about credentials and places into one sentence each.

    Raises:
        AWSRefusedError: in their place.
    """
    try:
        yield
    except _CREDENTIALS as error:
        raise AWSRefusedError(
            f"no AWS credentials ({error}); set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "or run `aws configure`"
        ) from None
    except botocore.exceptions.ClientError as error:
        details = error.response.get("Error", {})
        if details.get("Code") in _REFUSED:
            raise AWSRefusedError(
                f"AWS refused the credentials ({details.get('Code')}: {details.get('Message')}); renew them, or, where "
                "they are right elsewhere, enable the region in your account"
            ) from None
        raise
    except botocore.exceptions.EndpointConnectionError as error:
        raise AWSRefusedError(f"{error}; is provider.region spelt right, and the network up?") from None
