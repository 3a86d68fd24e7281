"""Ray's own autoscalers, round by round, and a Capacity Block that begins while a task waits for it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from accel_scaling.fill.defaults import with_keys_needed_by_ray
from accel_scaling.providers.aws.provider import AWSAcceleratorNodeProvider
from tests.quarantine.test_beside_stock import PROVIDER, ROUND_S, V1, V2, _yaml_in_c
from tests.support.aws_provider import EC2, node_config, region_fixture, shared_region_fixture
from tests.support.cluster import config_of

__all__ = ["_yaml_in_c", "region_fixture", "shared_region_fixture"]

TYPE = "g5.xlarge"
DEMAND = {"CPU": 1, "GPU": 1, "accelerator_type:A10G": 0.001}


def _prepared(config: dict[str, Any]) -> dict[str, Any]:
    """The config with Ray's defaults and our promises, and nothing asked of the account."""
    from ray.autoscaler._private.util import prepare_config

    filled: dict[str, Any] = AWSAcceleratorNodeProvider.fillout_available_node_types_resources(prepare_config(config))
    return filled


@pytest.fixture(name="provider")
def provider_fixture(region: EC2, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Any, Path]:
    """The provider of a head whose node type buys machines of a block, and its config."""
    section = {**PROVIDER, "capacity": {"a10g": [{"block": "cr-1"}]}}
    config = _prepared(with_keys_needed_by_ray(config_of({"a10g": TYPE}, provider=section)))
    for node_type in config["available_node_types"].values():
        node_type["node_config"] |= node_config(region, node_type["node_config"]["InstanceType"])
    path = tmp_path / "ray_bootstrap_config.yaml"
    path.write_text(yaml.safe_dump(config))
    monkeypatch.setattr(sys, "argv", ["monitor.py", f"--autoscaling-config={path}"])
    made = AWSAcceleratorNodeProvider(config["provider"], config["cluster_name"])
    made.gate._clock = lambda: region.now_s
    return made, path


@pytest.mark.parametrize("autoscaler", [V2, V1])
def test_a_block_that_begins_in_a_minute_is_used_within_ten_seconds_of_its_begin(
    autoscaler: type[V1 | V2], region: EC2, provider: tuple[Any, Path]
) -> None:
    region.reserve(f"cr-1:type={TYPE},kind=block,begins=60s,ends=10h")
    begin_s = region.now_s + 60
    rounds = autoscaler(provider[1], provider[0])
    while not region.alive(TYPE):
        assert region.now_s <= begin_s + 10, "it idles, and is paid for"
        rounds.run([DEMAND])
        region.now_s += ROUND_S
    assert region.now_s > begin_s
    (machine,) = region.alive(TYPE)
    assert region.machines()[machine].rehearsal_capacity == "block cr-1"
