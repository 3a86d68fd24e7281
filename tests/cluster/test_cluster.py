"""The cluster file is read once: each node_config one time, and whoever needs something of it is handed the result."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from accel_scaling.clouds import Cloud, known_clouds
from accel_scaling.cluster.capacity import CapacityType
from accel_scaling.cluster.cluster import node_config_reader, read_config
from accel_scaling.fill.fill import fill_cluster
from tests.conftest import ROOT


@pytest.fixture(name="reads")
def reads_fixture(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls of each cloud's reader of node_configs, by the function's name, as they happen."""
    calls: list[str] = []
    for cloud in known_clouds().values():
        reader: Any = node_config_reader(cloud)
        for name in ("machine", "placement"):
            function = getattr(reader, name)

            def counted(*args: Any, function: Any = function, name: str = name) -> Any:
                calls.append(name)
                return function(*args)

            monkeypatch.setattr(reader, name, counted)
    return calls


def config_of(cloud: Cloud, node_types: int) -> dict[str, Any]:
    config = yaml.safe_load((ROOT / "example_clusters" / f"{cloud.name}-gpu.yaml").read_text(encoding="utf-8"))
    head = config["head_node_type"]
    worker = next(entry for name, entry in config["available_node_types"].items() if name != head)
    workers = {f"w{number}": worker for number in range(node_types - 1)}
    config["available_node_types"] = {head: config["available_node_types"][head], **workers}
    return config


@pytest.mark.parametrize("node_types", [1, 3, 24])
@pytest.mark.parametrize("cloud", known_clouds().values(), ids=lambda cloud: cloud.name)
def test_one_fill_reads_each_node_config_once_and_the_zones_once(
    cloud: Cloud, node_types: int, reads: list[str]
) -> None:
    fill_cluster(read_config(config_of(cloud, node_types)))
    assert (reads.count("machine"), reads.count("placement")) == (node_types, 1)


@pytest.mark.parametrize("cloud", known_clouds().values(), ids=lambda cloud: cloud.name)
def test_a_providers_fill_reads_each_node_config_once(
    cloud: Cloud, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = getattr(__import__(cloud.package, fromlist=["_"]), cloud.provider_class)
    provider.fillout_available_node_types_resources(config_of(cloud, 3))
    assert (reads.count("machine"), reads.count("placement")) == (3, 1)


def test_what_is_read_has_the_machine_the_capacity_type_the_place_and_the_policies(examples: Any) -> None:
    cluster = read_config(yaml.safe_load((examples / "aws-gpu.yaml").read_text(encoding="utf-8")))
    assert cluster.cloud.name == "aws"
    assert cluster.head.is_head
    assert cluster.head.machine.machine.chip is None
    assert {node_type.machine.capacity_type for node_type in cluster.node_types.values()} == {CapacityType.ON_DEMAND}
    assert cluster.placement.region == cluster.provider["region"]
    assert cluster.quarantine.strikes == 2
    assert cluster.confirmation.keep_for_inspection is False
