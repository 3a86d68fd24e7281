"""The examples of capacity types, launched on the clouds of this process: what is bought, and what is left to buy."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from accel_scaling import timeouts
from accel_scaling.providers.base import cluster_config
from tests.support import aws_provider, gcp_provider
from tests.support.aws_provider import EC2, region_fixture, shared_region_fixture
from tests.support.aws_up import make_rays_profile
from tests.support.documents import ROOT
from tests.support.resolved import resolved

__all__ = ["region_fixture", "shared_region_fixture"]

EXAMPLES = ROOT / "example_clusters"
RESERVATION = "cr-0123456789abcdef0"


@pytest.fixture(autouse=True)
def _no_bundle(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "bundle-0" / "content-0").mkdir(parents=True)
    monkeypatch.setattr(cluster_config, "_bundle", lambda *_: tmp_path / "bundle-0")


def config_of(name: str) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text(encoding="utf-8"))
    return config


def on_ec2(name: str, region: EC2) -> tuple[Any, dict[str, Any]]:
    """The provider of an example as `ray up` resolves it, and its node_configs."""
    make_rays_profile()
    config = config_of(name)
    config["provider"]["region"] = aws_provider.REGION
    for node_type in config["available_node_types"].values():
        node_type["node_config"]["ImageId"] = "ami-12c6146b"
        # The region of this process has no Trainium2.
        if node_type["node_config"]["InstanceType"] == "trn2.48xlarge":
            node_type["node_config"]["InstanceType"] = "trn1.32xlarge"
    ready = resolved(config)
    types = ready["available_node_types"]
    return aws_provider.provider_of(ready["cluster_name"], **ready["provider"]), {
        name_: one["node_config"] for name_, one in types.items()
    }


def test_the_trn2_example_takes_its_reservation_and_buys_the_third_machine_on_demand(region: EC2) -> None:
    region.reserve(f"{RESERVATION}:type=trn1.32xlarge,count=2,zone={aws_provider.B}")
    provider, configs = on_ec2("aws-trn2-reserved", region)
    made = provider.create_node(configs["trn2"], aws_provider.tags("trn2"), 3)
    machines = [region.machines()[name] for name in made]
    assert sorted(getattr(one, "capacity_reservation_id", None) or "" for one in machines) == [
        "",
        RESERVATION,
        RESERVATION,
    ]
    provider.non_terminated_nodes({})
    words = sorted(provider.node_tags(name)["accel-scaling-capacity"] for name in made)
    assert words == ["on-demand", "reserved", "reserved"]


def test_the_mixed_example_buys_on_demand_where_spot_is_sold_out(region: EC2) -> None:
    provider, configs = on_ec2("aws-mixed", region)
    region.fault("RunInstances", "before", "no capacity", times=len(region.subnets))
    (name,) = provider.create_node(configs["t4"], aws_provider.tags("t4"), 1)
    assert not getattr(region.machines()[name], "lifecycle", None)
    (name,) = provider.create_node(configs["a10g"], aws_provider.tags("a10g"), 1)
    assert region.machines()[name].lifecycle == "spot"


def test_the_v6e_example_waits_in_googles_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "GCP_OPERATION_POLL_S", 0.05)
    config = config_of("gcp-tpu-v6e-queued")
    with gcp_provider.google(waits_s={"v6e-16": 3600.0}) as at:
        at.engine.state.clock = lambda: 0.0
        config["provider"] |= {
            "project_id": gcp_provider.PROJECT,
            "region": "us-central1",
            "availability_zone": gcp_provider.ZONES[0],
            "api_endpoints": at.url,
            "gcp_credentials": {"type": "anonymous"},
        }
        ready = resolved(config)
        provider = gcp_provider.provider_of(ready)
        (node,) = provider.create_node(gcp_provider.node_configs(ready)["v6e"], gcp_provider.tags("v6e"), 1)
        (queued,) = at.queued().values()
        assert queued["queueingPolicy"] == {"validUntilDuration": "21600s"}
        assert "spot" in queued
        assert provider.non_terminated_nodes({}) == [node]
        assert at.slices() == {}
        at.engine.state.clock = lambda: 3600.0
        assert provider.non_terminated_nodes({}) == [node]
        assert list(at.slices()) == [node]
