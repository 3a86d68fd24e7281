"""Client tokens on the local EC2, as AWS documents them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.support.aws_provider import EC2, REGION, A, ec2_in_process

pytestmark = pytest.mark.usefixtures("ec2")


@pytest.fixture(name="ec2", scope="module")
def ec2_fixture() -> Iterator[EC2]:
    with ec2_in_process() as ec2:
        yield ec2


def run(ec2: EC2, token: str, **parameters: Any) -> list[str]:
    client = boto3.client("ec2", region_name=REGION)
    request = {"ImageId": "ami-0a2b85e15b7c0ac34", "InstanceType": "g5.xlarge", "MinCount": 1, "MaxCount": 2}
    answer = client.run_instances(**{**request, "SubnetId": ec2.subnets[A], "ClientToken": token, **parameters})
    return [one["InstanceId"] for one in answer["Instances"]]


def test_the_same_request_with_the_same_token_gets_the_same_machines_though_the_type_is_sold_out_by_then(
    ec2: EC2,
) -> None:
    made = run(ec2, "same")
    ec2.sold_out("g5.xlarge")
    assert run(ec2, "same") == made
    ec2.sold_out()
    assert len(ec2.alive()) == len(made) == 2


def test_another_request_with_the_same_token_is_refused(ec2: EC2) -> None:
    run(ec2, "other")
    with pytest.raises(ClientError, match="IdempotentParameterMismatch"):
        run(ec2, "other", MaxCount=3)


def test_a_token_of_machines_that_have_ended_is_refused(ec2: EC2) -> None:
    for name in run(ec2, "ended"):
        ec2.machines()[name].terminate()
    with pytest.raises(ClientError, match="IdempotentInstanceTerminated"):
        run(ec2, "ended")


def test_a_request_that_was_refused_may_be_repeated_with_its_token(ec2: EC2) -> None:
    ec2.sold_out("g5.xlarge")
    with pytest.raises(ClientError, match="InsufficientInstanceCapacity"):
        run(ec2, "refused")
    ec2.sold_out()
    assert len(run(ec2, "refused")) == 2
