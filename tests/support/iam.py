"""The policies of docs/iam as AWS would read them, and a user of the local EC2 who has just one of them."""

from __future__ import annotations

import functools
import json
import urllib.request
import uuid
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.aws_clients import forget_clients

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pytest
    from typing_extensions import Self

    from accel_scaling.providers.aws.local_cloud import LocalEC2

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "iam"
REGION, ACCOUNT, CLUSTER = "us-west-2", "123456789012", "first"
LAUNCHER, HEAD, MAKES = "aws-launcher", "aws-head", "aws-ray-makes-the-role"  # the files
TRAINING = "aws-training"
HEAD_ROLE = f"ray-head-{CLUSTER}"
NOT_ALLOWED = {"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"}
TAG = "ray-cluster-name"
MACHINE = f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/i-1"

Statements = list[dict[str, Any]]


def policy(*names: str) -> Statements:
    """Return the statements of these files, with the placeholders filled in."""
    found: Statements = []
    for name in names:
        text = (FOLDER / f"{name}.json").read_text(encoding="utf-8")
        for word, value in {"REGION": REGION, "ACCOUNT": ACCOUNT, "CLUSTER": CLUSTER}.items():
            text = text.replace(word, value)
        found += json.loads(text)["Statement"]
    return found


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def actions_of(statements: Statements) -> list[str]:
    return sorted({action for one in statements for action in listed(one["Action"])})


def without(statements: Statements, action: str) -> Statements:
    kept = [{**one, "Action": [name for name in listed(one["Action"]) if name != action]} for one in statements]
    return [one for one in kept if one["Action"]]


def as_moto_checks_it(statements: Statements) -> str:
    """Return the policy less what moto has no check for: to it every resource is `*`, and no Condition counts."""
    plain = [{"Effect": "Allow", "Action": one["Action"], "Resource": "*"} for one in statements]
    return json.dumps({"Version": "2012-10-17", "Statement": plain})


@dataclass(frozen=True)
class Asked:
    """One permission that AWS asks for a call: the action, on a resource, with what the request and resource say."""

    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict)


def allowed(statements: Statements, asked: Asked) -> bool:
    """Return whether one statement lets it through, as AWS evaluates Allow, Resource and these conditions."""
    context = {"aws:RequestedRegion": REGION, **asked.context}
    return any(
        asked.action in listed(one["Action"])
        and any(fnmatchcase(asked.resource, pattern) for pattern in listed(one["Resource"]))
        and all(
            _holds(operator, context.get(key), listed(values))
            for operator, wanted in one.get("Condition", {}).items()
            for key, values in wanted.items()
        )
        for one in statements
    )


def _holds(operator: str, value: str | None, wanted: list[str]) -> bool:
    """Return whether a condition holds, by the operators that the files use; another one is a mistake of the file."""
    if operator == "StringEqualsIfExists" and value is None:  # the request does not mention the key
        return True
    assert operator in {"StringEquals", "StringEqualsIfExists", "ArnEquals"}, operator
    return value in wanted


def _arn(kind: str, name: str, *, account: str = ACCOUNT) -> str:
    return f"arn:aws:ec2:{REGION}:{account}:{kind}/{name}"


def _role(name: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


def asked_for(action: str, params: Mapping[str, Any], owner: Mapping[str, str]) -> Iterator[Asked]:
    """Yield what AWS asks for one call, by its Service Authorization Reference.

    Args:
        action: as `ec2:RunInstances`.
        params: the call's parameters.
        owner: id of a machine or security group -> the cluster in its tag.
    """
    if ":Describe" in action:
        yield Asked(action, "*")
    elif action == "ec2:RunInstances":
        yield from _asked_for_machines(params)
    elif action in {"ec2:CreateTags", "ec2:StartInstances", "ec2:StopInstances", "ec2:TerminateInstances"}:
        tags = {f"aws:RequestTag/{tag['Key']}": tag["Value"] for tag in params.get("Tags") or []}
        for one in params.get("Resources") or params["InstanceIds"]:
            yield Asked(action, _arn("instance", one), {f"aws:ResourceTag/{TAG}": owner[one], **tags})
    elif "SecurityGroup" in action or "PlacementGroup" in action:
        yield from _asked_for_group(action, params, owner)
    elif action == "ec2:CreateKeyPair":
        yield Asked(action, _arn("key-pair", params["KeyName"]))
    elif action == "ssm:GetParameters":
        for name in params["Names"]:
            yield Asked(action, f"arn:aws:ssm:{REGION}::parameter{name}")
    else:
        yield from _asked_for_roles(action, params)


def _asked_for_group(action: str, params: Mapping[str, Any], owner: Mapping[str, str]) -> Iterator[Asked]:
    """A security group or a placement group: made with its tags, changed or deleted by them."""
    if action == "ec2:CreateSecurityGroup":
        yield Asked(action, _arn("vpc", params["VpcId"]))
        yield from _tagged(action, "security-group", params)
    elif "SecurityGroup" in action:
        group = params["GroupId"]
        yield Asked(action, _arn("security-group", group), {f"aws:ResourceTag/{TAG}": owner[group]})
    elif action == "ec2:CreatePlacementGroup":
        yield from _tagged(action, "placement-group", params, params["GroupName"])
    else:
        group = params["GroupName"]
        yield Asked(action, _arn("placement-group", group), {f"aws:ResourceTag/{TAG}": owner[group]})


def _tagged(action: str, kind: str, params: Mapping[str, Any], name: str = "*") -> Iterator[Asked]:
    """What is made with tags: itself, and its tags."""
    specs = [one for one in params.get("TagSpecifications") or [] if one["ResourceType"] == kind]
    context = {f"aws:RequestTag/{tag['Key']}": tag["Value"] for one in specs for tag in one["Tags"]}
    yield Asked(action, _arn(kind, name), context)
    if context:
        yield Asked("ec2:CreateTags", _arn(kind, name), {**context, "ec2:CreateAction": action.partition(":")[2]})


def _asked_for_machines(params: Mapping[str, Any]) -> Iterator[Asked]:
    action = "ec2:RunInstances"
    yield from _tagged(action, "instance", params)
    yield Asked(action, _arn("image", params["ImageId"], account=""))
    yield Asked(action, _arn("key-pair", params["KeyName"]))
    interfaces = params.get("NetworkInterfaces") or [{"SubnetId": params["SubnetId"]}]
    for name, key in (("subnet", "SubnetId"), ("network-interface", "NetworkInterfaceId")):
        yield from (Asked(action, _arn(name, one[key])) for one in interfaces if key in one)
    groups = params.get("SecurityGroupIds") or [name for one in interfaces for name in one.get("Groups", [])]
    for group in groups:
        yield Asked(action, _arn("security-group", group))
    for made in ("network-interface", "volume"):
        yield from _tagged(action, made, params)
    if (params.get("InstanceMarketOptions") or {}).get("MarketType") == "spot":
        yield from _tagged(action, "spot-instances-request", params)
    yield from _asked_for_what_is_there(action, params)
    if profile := params.get("IamInstanceProfile"):
        name = profile.get("Name") or profile["Arn"].rpartition("/")[2]
        yield Asked("iam:PassRole", _role(name), {"iam:PassedToService": "ec2.amazonaws.com"})


def _asked_for_what_is_there(action: str, params: Mapping[str, Any]) -> Iterator[Asked]:
    """What a launch uses beside a network: snapshots, templates, placement groups, reservations."""
    for mapping in params.get("BlockDeviceMappings") or []:
        if snapshot := mapping.get("Ebs", {}).get("SnapshotId"):
            yield Asked(action, _arn("snapshot", snapshot, account=""))
    if template := params.get("LaunchTemplate"):
        yield Asked(action, _arn("launch-template", template["LaunchTemplateId"]))
    if group := (params.get("Placement") or {}).get("GroupName"):
        yield Asked(action, _arn("placement-group", group))
    target = (params.get("CapacityReservationSpecification") or {}).get("CapacityReservationTarget", {})
    if reservation := target.get("CapacityReservationId"):
        yield Asked(action, _arn("capacity-reservation", reservation))
    if arn := target.get("CapacityReservationResourceGroupArn"):
        yield Asked(action, arn)


def _asked_for_roles(action: str, params: Mapping[str, Any]) -> Iterator[Asked]:
    if profile := params.get("InstanceProfileName"):
        yield Asked(action, f"arn:aws:iam::{ACCOUNT}:instance-profile/{profile}")
        if action == "iam:AddRoleToInstanceProfile":
            yield Asked("iam:PassRole", _role(params["RoleName"]), {"iam:PassedToService": "ec2.amazonaws.com"})
    else:
        context = {"iam:PolicyARN": params["PolicyArn"]} if "PolicyArn" in params else {}
        yield Asked(action, _role(params["RoleName"]), context)


class User:
    """Someone of the local EC2 who has one policy, which moto enforces while the block runs; every call is noted."""

    def __init__(self, account: LocalEC2, statements: Statements) -> None:
        self._account, self._statements = account, statements
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.refused: set[str] = set()
        name = f"user-{uuid.uuid4()}"
        iam = client(account, "iam")
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=as_moto_checks_it(statements))
        made = iam.create_access_key(UserName=name)["AccessKey"]
        self.key, self.secret = made["AccessKeyId"], made["SecretAccessKey"]

    @property
    def environment(self) -> dict[str, str]:
        """The user's credentials, as boto3 takes them."""
        return {"AWS_ACCESS_KEY_ID": self.key, "AWS_SECRET_ACCESS_KEY": self.secret}

    def become(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make this process that user."""
        import boto3
        import botocore.session

        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)
        forget_clients(monkeypatch)
        session = botocore.session.get_session()
        session.register_component("data_loader", loader())
        boto3.setup_default_session(botocore_session=session)
        events = boto3.DEFAULT_SESSION.events
        events.register("provide-client-params.*.*", self._note)
        events.register("after-call.*.*", self._look)

    def _note(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        self.calls.append((f"{model.service_model.signing_name}:{model.name}", dict(params)))

    def _look(self, parsed: dict[str, Any], model: Any, **_: Any) -> None:
        if parsed.get("Error", {}).get("Code") in NOT_ALLOWED:
            self.refused.add(f"{model.service_model.signing_name}:{model.name}")

    def __enter__(self) -> Self:
        check_permissions_after(self._account, "0")
        return self

    def __exit__(self, *_: object) -> None:
        check_permissions_after(self._account, "inf")


@functools.cache
def loader() -> Any:
    """Return botocore's API descriptions, which take a second to read: once for all users."""
    from botocore.loaders import create_loader

    return create_loader()


def client(account: LocalEC2, service: str) -> Any:
    """Return a client of someone who may do everything, for as long as nothing is enforced."""
    return _client(account.endpoint_url, service)


@functools.cache
def _client(endpoint_url: str, service: str) -> Any:
    import boto3
    import botocore.session

    session = botocore.session.get_session()
    session.register_component("data_loader", loader())
    named = {"aws_access_key_id": "admin", "aws_secret_access_key": "admin", "endpoint_url": endpoint_url}
    return boto3.session.Session(botocore_session=session).client(service, region_name=REGION, **named)


def check_permissions_after(account: LocalEC2, requests: str) -> None:
    """Tell moto after how many requests it is to check permissions; it never does by itself."""
    url, headers = f"{account.endpoint_url}/moto-api/reset-auth", {"Content-Type": "text/plain"}
    asked = urllib.request.Request(url, data=requests.encode(), headers=headers)
    with urllib.request.urlopen(asked, timeout=10) as answer:
        assert answer.status == 200
