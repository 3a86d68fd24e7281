"""The block before the question of `ray up` on AWS: Ray's own lines, and what each node type promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
import pytest

from accel_scaling.providers.aws.local_cloud import LocalEC2
from accel_scaling.testing.ec2.images import IMAGES
from tests.support.aws_account import use_account
from tests.support.aws_provider import MODULE, REGION
from tests.support.ray_up_question import said_before_the_question
from tests.support.resolved import resolved

pytestmark = pytest.mark.slow

# Ray's words: ray/autoscaler/_private/aws/config.py, log_to_cli.
RAYS_LABELS = ("AWS config", "IAM Profile", "EC2 Key pair", "VPC Subnets", "EC2 Security groups", "EC2 AMI")


@pytest.fixture(autouse=True)
def account(local_ec2: LocalEC2, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # Ray waits 15 s for a role to be known
    use_account(monkeypatch, local_ec2.endpoint_url)


def cluster(kind: str = "external", **node_configs: dict[str, Any]) -> dict[str, Any]:
    provider = {"type": kind, "region": REGION, **({"module": MODULE} if kind == "external" else {})}
    return {
        "cluster_name": "block",
        "max_workers": 4,
        "provider": provider,
        "auth": {"ssh_user": "ubuntu"},
        "head_node_type": "head",
        "available_node_types": {name: {"node_config": one} for name, one in node_configs.items()},
        **{key: [] for key in ("setup_commands", "head_setup_commands", "worker_setup_commands")},
    }


def test_all_that_ray_says_of_an_account_and_each_promise_is_there_and_readable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = boto3.client("ec2", region_name=REGION).describe_images(ImageIds=[IMAGES["x86_64"]])["Images"][0]
    config = cluster(
        head={"InstanceType": "m5.large"},
        a10g={"InstanceType": "g5.xlarge", "InstanceMarketOptions": {"MarketType": "spot"}},
        mine={"InstanceType": "g4dn.xlarge", "ImageId": own["ImageId"]},
    )
    config["provider"]["capacity"] = {"mine": ["spot", "on-demand"]}
    said = said_before_the_question(config, tmp_path, monkeypatch, capsys)
    block = said[said.index("AWS config") :]
    assert [label for label in RAYS_LABELS if label not in block] == []
    assert "EC2 Key pair (all available node types): ray-autoscaler_us-west-2 [default]" in block
    assert "IAM Profile: ray-autoscaler-v1 [default]" in block
    assert "Node type a10g: g5.xlarge, spot" in block
    assert "Node type mine: g4dn.xlarge, spot, then on-demand" in block
    assert "promise: CPU 4, memory 11.2 GiB, GPU 1, type A10G" in block
    assert "image: deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-22.04" in block
    assert f"EC2 AMI (mine): {own['ImageId']}\n" in block
    assert f"image: {own['Name']}" in block
    assert [line for line in block.splitlines() if len(line) > 80] == []


def test_the_lines_have_the_values_of_rays_own_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    named = {"ImageId": IMAGES["x86_64"]}
    types = {"head": {"InstanceType": "m5.large", **named}, "t4": {"InstanceType": "g4dn.xlarge", **named}}
    blocks = []
    for kind in ("aws", "external"):
        said = said_before_the_question(cluster(kind, **types), tmp_path, monkeypatch, capsys)
        # On one line each, as Ray writes them.
        words = " ".join(said[said.index("AWS config") :].split())
        blocks.append({label: words.partition(label)[2].partition(":")[2].split()[0] for label in RAYS_LABELS[1:]})
    assert blocks[0] == blocks[1]


def test_only_ray_up_prints_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    resolved(cluster(head={"InstanceType": "m5.large"}))
    assert "IAM Profile" not in capsys.readouterr().out
