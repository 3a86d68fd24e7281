"""The placement groups of a cluster in EC2: made at `ray up`, deleted by `ray down`. They cost nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import botocore.exceptions

from accel_scaling import _ray, timeouts
from accel_scaling.cluster.networks import PLACEMENT
from accel_scaling.errors import ClusterConfigError
from accel_scaling.providers.aws.errors import AWSRefusedError, code_of, one_sentence
from accel_scaling.providers.aws.placement import STRATEGY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_IN_USE, _GONE = "InvalidPlacementGroup.InUse", "InvalidPlacementGroup.Unknown"


def make(client: Any, cluster_name: str, names: Iterable[str]) -> None:
    """Make the groups that are not there.

    Raises:
        ClusterConfigError: a group of that name is another's.
        AWSRefusedError: EC2 refuses.
    """
    with one_sentence():
        there = _groups(client, cluster_name)
        for name in names:
            if name in there:
                continue
            tag = {"Key": _ray.cluster_name_tag(), "Value": cluster_name}
            try:
                client.create_placement_group(
                    GroupName=name,
                    Strategy=STRATEGY,
                    TagSpecifications=[{"ResourceType": "placement-group", "Tags": [tag]}],
                )
            except botocore.exceptions.ClientError as error:
                if code_of(error) != "InvalidPlacementGroup.Duplicate":
                    raise
                raise ClusterConfigError(
                    f"provider.{PLACEMENT} needs a placement group {name}, and one of that name is there that this "
                    "cluster has not made; delete it (aws ec2 delete-placement-group), or choose another cluster_name"
                ) from None


def delete(
    client: Any,
    cluster_name: str,
    *,
    wait: bool = True,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[str]:
    """Delete a cluster's groups; machines that are ending hold theirs for a while.

    Args:
        client: boto3's EC2 client.
        cluster_name: whose groups.
        wait: for machines that are ending; without it, groups with machines are kept, and nothing is reported.
        clock: seconds that only grow.
        sleep: waits so many seconds.

    Returns:
        A sentence for those that are left: they cost nothing, and the next `ray up` uses them.
    """
    until_s = clock() + timeouts.PLACEMENT_GROUP_S
    try:
        with one_sentence():
            left = sorted(_groups(client, cluster_name))
            while left := [name for name in left if not _deleted(client, name)]:
                if not wait:
                    return []
                if clock() >= until_s:
                    break
                sleep(timeouts.PLACEMENT_GROUP_POLL_S)
    except AWSRefusedError as error:
        return [f"the cluster's placement groups are not deleted ({error}); they cost nothing"]
    if not left:
        return []
    names = ", ".join(left)
    sentence = (
        f"the placement groups {names} are not deleted, as their machines are still ending; they cost nothing, and the "
        "next `ray up` uses them"
    )
    return [sentence]


def _deleted(client: Any, name: str) -> bool:
    try:
        client.delete_placement_group(GroupName=name)
    except botocore.exceptions.ClientError as error:
        if code_of(error) == _IN_USE:
            return False
        if code_of(error) != _GONE:
            raise
    return True


def _groups(client: Any, cluster_name: str) -> set[str]:
    """Return the names of the groups that this cluster has made."""
    mine = {"Name": f"tag:{_ray.cluster_name_tag()}", "Values": [cluster_name]}
    answer = client.describe_placement_groups(Filters=[mine])
    return {group["GroupName"] for group in answer["PlacementGroups"] if group["State"] in {"pending", "available"}}
