"""`ray up` in an emulated region: the account has Ray's instance profile, whose making takes Ray half a minute."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.support.aws_provider import EC2, REGION

_PROFILE = "ray-autoscaler-v1"


def ec2() -> Any:
    """Return a client of the region."""
    return boto3.client("ec2", REGION)


def make_rays_profile() -> None:
    """Make the instance profile that Ray's provider makes for heads, where the account has none."""
    iam = boto3.client("iam", REGION)
    if iam.list_instance_profiles()["InstanceProfiles"]:
        return
    iam.create_role(RoleName=_PROFILE, AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName=_PROFILE)
    iam.add_role_to_instance_profile(InstanceProfileName=_PROFILE, RoleName=_PROFILE)


@pytest.fixture(name="up")
def up_fixture(monkeypatch: pytest.MonkeyPatch, region: EC2, tmp_path: Path) -> Iterator[EC2]:
    """The region, without the key pairs that Ray makes in it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    make_rays_profile()
    yield region
    for pair in ec2().describe_key_pairs()["KeyPairs"]:
        ec2().delete_key_pair(KeyName=pair["KeyName"])
