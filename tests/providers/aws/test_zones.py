"""One name for a zone on AWS: in launches, in refusals, and in sentences, whatever EC2 says of subnets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from accel_scaling import _ray
from accel_scaling.quarantine.gate import Gate
from tests.support.aws_provider import EC2, A, B, node_config, provider_of, tags

CONFIG = {
    "max_workers": 9,
    "provider": {},
    "available_node_types": {"a10g": {"max_workers": 4, "node_config": {}}},
}


def gated(folder: Path, **how: Any) -> Any:
    """A provider in the autoscaler's process, with a quarantine that acts."""
    path = folder / "ray_bootstrap_config.yaml"
    path.write_text(yaml.safe_dump(CONFIG))
    provider = provider_of(**how)
    provider.gate = Gate({}, path, folder / "quarantine.json")
    return provider


def most(folder: Path) -> int:
    config = yaml.safe_load((folder / "ray_bootstrap_config.yaml").read_text())
    return int(config["available_node_types"]["a10g"]["max_workers"])


def rounds_of_lies(region: EC2, provider: Any, folder: Path, zones: tuple[str, ...]) -> int:
    """Launch a machine that is refused, six times; return how often EC2 was asked."""
    for _ in range(6):
        provider.non_terminated_nodes({})
        if most(folder) <= 0:
            continue
        try:
            made = provider.create_node(node_config(region, zones=zones), tags(), 1)
        except _ray.node_launch_exception():
            continue
        provider.non_terminated_nodes({})
        for node in made:
            provider.refuse(node, "DriverMissing", "DriverMissing: promised 1; 0 seen")
    return len(region.launches)


@pytest.mark.parametrize("fault", [None, "no permission", "throttled", "internal", "closed", "garbled"])
@pytest.mark.parametrize("zones", [(A,), (A, B)])
def test_a_type_that_lies_is_quarantined_whether_ec2_says_where_subnets_are_or_not(
    region: EC2, tmp_path: Path, zones: tuple[str, ...], fault: str | None
) -> None:
    provider = gated(tmp_path)
    if fault:
        region.fault("DescribeSubnets", "before", fault, times=99)
    assert rounds_of_lies(region, provider, tmp_path, zones) <= 3
    assert region.alive() == []


@pytest.mark.parametrize("provider", [{}, {"availability_zone": A}])
def test_a_zone_has_its_name_after_the_first_machine_though_ec2_says_nothing_of_subnets(
    region: EC2, tmp_path: Path, provider: dict[str, Any]
) -> None:
    ours = gated(tmp_path, **provider)
    region.fault("DescribeSubnets", "before", "no permission", times=99)
    (node,) = ours.create_node(node_config(region, zones=(A,)), tags(), 1)
    assert ours.zone_of(node) == A
    region.sold_out(f"g5.xlarge@{A}")
    with pytest.raises(_ray.node_launch_exception(), match=rf"tried in {A}\)"):
        ours.create_node(node_config(region, zones=(A,)), tags(), 1)


def test_a_zone_that_the_file_names_is_that_of_its_subnets_before_any_machine_is_there(region: EC2) -> None:
    region.fault("DescribeSubnets", "before", "no permission", times=99)
    region.sold_out("g5.xlarge")
    with pytest.raises(_ray.node_launch_exception(), match=rf"tried in {A}\)"):
        provider_of(availability_zone=A).create_node(node_config(region, zones=(A,)), tags(), 1)


def test_a_new_process_learns_zones_from_the_machines_that_are_there(region: EC2) -> None:
    provider_of().create_node(node_config(region, zones=(B,)), tags(), 1)
    region.fault("DescribeSubnets", "before", "no permission", times=99)
    provider = provider_of()
    provider.non_terminated_nodes({})
    region.sold_out("g5.xlarge")
    with pytest.raises(_ray.node_launch_exception(), match=rf"tried in {B}\)"):
        provider.create_node(node_config(region, zones=(B,)), tags(), 1)


def test_ec2_is_asked_again_after_an_error_that_passes_and_never_about_what_is_known(region: EC2) -> None:
    provider = provider_of()
    region.fault("DescribeSubnets", "before", "throttled")
    for _ in range(3):
        provider.create_node(node_config(region), tags(), 1)
    assert region.count("DescribeSubnets") == 2


def test_a_machine_that_is_gone_keeps_its_zone(region: EC2) -> None:
    provider = provider_of()
    (node,) = provider.create_node(node_config(region, zones=(B,)), tags(), 1)
    region.machines()[node].terminate()
    region.fault("DescribeInstances", "before", "closed", times=99)
    assert provider.zone_of(node) == B


def test_a_machine_that_is_started_again_opens_no_zone_that_was_sold_out(region: EC2, tmp_path: Path) -> None:
    provider = gated(tmp_path, cache_stopped_nodes=True)
    made = provider.create_node(node_config(region, zones=(A, B)), tags(), 1)
    provider.non_terminated_nodes({})
    region.sold_out("g5.xlarge")
    with pytest.raises(_ray.node_launch_exception()):
        provider.create_node(node_config(region, zones=(A, B)), tags(), 1)
    provider.terminate_nodes(list(made))
    region.sold_out()
    asked = len(region.launches)
    # Both zones are in quarantine: no machine is started there either.
    with pytest.raises(_ray.node_launch_exception(), match="quarantine"):
        provider.create_node(node_config(region, zones=(A, B)), tags(), 1)
    assert (len(region.launches), region.alive()) == (asked, [])


def test_a_start_says_nothing_of_the_capacity_of_its_zone(tmp_path: Path, region: EC2) -> None:
    provider = gated(tmp_path)
    gate = provider.gate
    gate.check("a10g", [A, B])
    gate.failed("a10g", A, "InsufficientInstanceCapacity", "none", sold_out=True)
    with gate.launching("a10g", 1):
        gate.launched("a10g", A, ["i-1"], started_again=True)
    assert gate.check("a10g", [A, B]) == [B]
    with gate.launching("a10g", 1):
        gate.launched("a10g", A, ["i-2"])
    assert gate.check("a10g", [A, B]) == [A, B]
    assert region.alive() == []
