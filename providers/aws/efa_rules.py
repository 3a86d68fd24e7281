"""The rules of security groups that EFA needs: all traffic from the group to itself, in and out.

EFA's traffic is no IP traffic: a rule for addresses, such as the usual one that lets everything out to 0.0.0.0/0, does
not let it through. Source: the EC2 User Guide, "Get started with EFA and MPI", step 1. Ray makes the rule for traffic
that comes in; the rule for traffic that goes out is made here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import botocore.exceptions

from accel_scaling import _ray
from accel_scaling.errors import ClusterConfigError
from accel_scaling.message_text import listed
from accel_scaling.providers.aws.errors import NOT_ALLOWED, code_of, one_sentence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_IN, _OUT = "IpPermissions", "IpPermissionsEgress"
_WORDS = {_IN: "ingress", _OUT: "egress"}
_DUPLICATE = "InvalidPermission.Duplicate"


def let_through(client: Any, cluster_name: str, key: str, group_ids: Sequence[str]) -> None:
    """Make sure that one of a node type's groups lets EFA's traffic through; only groups of this cluster are changed.

    Args:
        client: boto3's EC2 client.
        cluster_name: whose groups may be changed: those that Ray has made.
        key: the place in the cluster file, for the error.
        group_ids: the groups of the node type's interfaces.

    Raises:
        ClusterConfigError: none of the user's own groups does.
        AWSRefusedError: EC2 refuses.
    """
    with one_sentence():
        groups = _described(client, group_ids)
        if groups is None or any(not _lacks(group) for group in groups):
            return
        mine = [group for group in groups if _tags(group).get(_ray.cluster_name_tag()) == cluster_name]
        if not mine:
            raise ClusterConfigError(_refusal(key, groups))
        group = mine[0]
        for side in _lacks(group):
            call = {
                _IN: client.authorize_security_group_ingress,
                _OUT: client.authorize_security_group_egress,
            }[side]
            pairs = [{"GroupId": group["GroupId"]}]
            try:
                call(GroupId=group["GroupId"], IpPermissions=[{"IpProtocol": "-1", "UserIdGroupPairs": pairs}])
            except botocore.exceptions.ClientError as error:
                if code_of(error) != _DUPLICATE:
                    raise


def note(client: Any, key: str, group_ids: Sequence[str]) -> list[str]:
    """Return the note about interfaces of the user's own whose groups do not let EFA's traffic through.

    Raises:
        AWSRefusedError: EC2 cannot be asked.
    """
    with one_sentence():
        groups = _described(client, group_ids)
    if not groups or any(not _lacks(group) for group in groups):
        return []
    return [_refusal(key, groups)]


def _described(client: Any, group_ids: Sequence[str]) -> list[Mapping[str, Any]] | None:
    """Return the groups; None where this account may not ask."""
    once = list(dict.fromkeys(group_ids))  # Ray copies them from each interface
    try:
        groups: list[Mapping[str, Any]] = client.describe_security_groups(GroupIds=once)["SecurityGroups"]
    except botocore.exceptions.ClientError as error:
        if code_of(error) in NOT_ALLOWED:
            return None
        raise
    return groups


def _lacks(group: Mapping[str, Any]) -> list[str]:
    """Return the sides on which a group does not let all traffic with itself through."""
    return [side for side in (_IN, _OUT) if not any(_is_all(rule, group["GroupId"]) for rule in group.get(side) or ())]


def _is_all(rule: Mapping[str, Any], group_id: str) -> bool:
    pairs = rule.get("UserIdGroupPairs") or ()
    return rule.get("IpProtocol") == "-1" and any(pair.get("GroupId") == group_id for pair in pairs)


def _tags(group: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in group.get("Tags") or ()}


def _refusal(key: str, groups: Sequence[Mapping[str, Any]]) -> str:
    names = listed([group["GroupId"] for group in groups], "and")
    first = groups[0]["GroupId"]
    commands = " and ".join(
        f"`aws ec2 authorize-security-group-{_WORDS[side]} --group-id {first} --protocol -1 --source-group {first}`"
        for side in _lacks(groups[0])
    )
    return (
        f"{key}: EFA needs a security group that lets all traffic to itself in and out, and {names} does not; run "
        f"{commands}"
    )
