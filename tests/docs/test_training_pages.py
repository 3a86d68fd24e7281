"""The examples for training on several machines, launched on the clouds of this process: what each machine gets."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from accel_scaling.clouds import known_clouds
from accel_scaling.cluster.networks import DEVICES, networks_of
from accel_scaling.providers.base import cluster_config
from tests.support import aws_provider, gcp_provider
from tests.support.aws_provider import EC2
from tests.support.aws_up import make_rays_profile
from tests.support.documents import ROOT
from tests.support.resolved import resolved

EXAMPLES = ROOT / "example_clusters"
BLOCK = "cr-0123456789abcdef0"
ZONE_OF_BLOCK = "us-west-2b"


@pytest.fixture(autouse=True)
def _no_bundle(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "bundle-0" / "content-0").mkdir(parents=True)
    monkeypatch.setattr(cluster_config, "_bundle", lambda *_: tmp_path / "bundle-0")


def test_the_p5_example_gets_its_network_from_its_block(region: EC2) -> None:
    make_rays_profile()
    region.reserve(f"{BLOCK}:kind=block,type=p5.48xlarge,count=2,zone={ZONE_OF_BLOCK}")
    text = (EXAMPLES / "aws-p5-efa.yaml").read_text(encoding="utf-8")
    config = yaml.safe_load(text.replace("subnet-0123456789abcdef0", region.subnets[ZONE_OF_BLOCK]))
    for node_type in config["available_node_types"].values():
        node_type["node_config"]["ImageId"] = "ami-12c6146b"
    ready = resolved(config)
    assert ready["provider"][DEVICES] == {"h100": 32}
    provider = aws_provider.provider_of(ready["cluster_name"], **ready["provider"])
    made = provider.create_node(ready["available_node_types"]["h100"]["node_config"], aws_provider.tags("h100"), 2)
    machines = [region.machines()[name] for name in made]
    assert [(one.rehearsal_efa, one.capacity_reservation_id, one.rehearsal_group) for one in machines] == [
        (32, BLOCK, "")
    ] * 2
    (request,) = [request for name, request in region.calls if name == "RunInstances"]
    assert '"Placement' not in json.dumps(request["body"])


def test_the_a3_ultra_example_gets_its_network_and_its_placement() -> None:
    config = yaml.safe_load((EXAMPLES / "gcp-a3-ultra.yaml").read_text(encoding="utf-8"))
    (network,) = networks_of(config["provider"], known_clouds()["gcp"]).values()
    with gcp_provider.google() as at:
        at.injection.subnetworks = list(network.names)
        config["provider"] |= {
            "project_id": gcp_provider.PROJECT,
            "region": "us-central1",
            "availability_zone": gcp_provider.ZONES[0],
            "api_endpoints": at.url,
            "gcp_credentials": {"type": "anonymous"},
        }
        ready = resolved(config)
        assert ready["provider"][DEVICES] == {"h200": 8}
        provider = gcp_provider.provider_of(ready)
        (node,) = provider.create_node(gcp_provider.node_configs(ready)["h200"], gcp_provider.tags("h200"), 1)
        machine = at.machines()[node]
    assert [one["nicType"] for one in machine["networkInterfaces"]] == ["GVNIC"] * 2 + ["MRDMA"] * 8
    assert [policy.rpartition("/")[2] for policy in machine["resourcePolicies"]] == at.engine.placement_policies()
    assert machine["scheduling"]["provisioningModel"] == "FLEX_START"
