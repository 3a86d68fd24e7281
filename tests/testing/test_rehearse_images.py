"""A rehearsal names no image where the file names none: the local clouds then answer as the real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from accel_scaling.providers.aws.local_cloud import IMAGE, LocalEC2
from accel_scaling.providers.gcp.local_cloud import DISKS, LocalGCE

EXAMPLES = Path(__file__).resolve().parents[2] / "example_clusters"


def example(name: str) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text())
    return config


@pytest.mark.parametrize("name", ["aws-gpu", "aws-mixed", "aws-trainium"])
def test_the_aws_examples_name_no_image_and_are_rehearsed_with_the_default_ones(name: str) -> None:
    local, _ = LocalEC2.adapted(example(name), "http://localhost:1")
    assert all("ImageId" not in one["node_config"] for one in local["available_node_types"].values())


def test_an_image_of_the_users_account_becomes_one_that_the_local_ec2_has() -> None:
    config = example("aws-trainium")
    config["available_node_types"]["trainium"]["node_config"]["ImageId"] = "ami-00000000000000001"
    local, skipped = LocalEC2.adapted(config, "http://localhost:1")
    node_types = local["available_node_types"]
    assert node_types["trainium"]["node_config"]["ImageId"] == IMAGE
    assert "ImageId" not in node_types["trainium2"]["node_config"]
    assert "trainium.node_config.ImageId" in skipped


@pytest.mark.parametrize(
    "content", [{"disks": [{"boot": True}]}, {"sourceMachineImage": "m"}, {"sourceInstanceTemplate": "t"}]
)
def test_disks_of_the_users_project_become_ones_that_the_local_compute_engine_has(content: dict[str, Any]) -> None:
    config = example("gcp-gpu")
    del config["available_node_types"]["l4"]["node_config"]["disks"]
    config["available_node_types"]["t4"]["node_config"] = {"machineType": "n1-standard-4", **content}
    local, _ = LocalGCE.adapted(config, "http://localhost:1")
    assert local["available_node_types"]["t4"]["node_config"]["disks"] == DISKS
    assert "disks" not in local["available_node_types"]["l4"]["node_config"]
