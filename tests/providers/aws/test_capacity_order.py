"""An order of capacity types on EC2: tried in the user's order inside one launch, and nothing is bought beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from accel_scaling import _ray
from accel_scaling.quarantine.gate import Gate
from tests.support.aws_provider import EC2, A, B, node_config, provider_of, region_fixture, shared_region_fixture, tags
from tests.support.quarantine import Head, head_fixture

__all__ = ["head_fixture", "region_fixture", "shared_region_fixture"]

ORDER = {"a10g": ["spot", "on-demand"]}


def provider_with(order: dict[str, Any], head: Head | None = None) -> Any:
    provider = provider_of(capacity=order)
    if head is not None:
        provider.gate = head.gate
    return provider


def bought(region: EC2) -> list[str]:
    """The market of each machine, by EC2's own records."""
    return sorted(getattr(one, "lifecycle", None) or "on-demand" for one in region.machines().values())


def asked(region: EC2) -> list[tuple[str, str]]:
    """Each RunInstances: its market and its zone."""
    return [(market, zone) for market, _, zone in region.requested()]


def test_spot_comes_first_and_what_it_lacks_is_bought_on_demand_in_the_same_launch(region: EC2) -> None:
    region.fault("RunInstances", "before", "no capacity", times=2)
    made = provider_with(ORDER).create_node(node_config(region), tags(), 2)
    assert asked(region) == [("spot", A), ("spot", B), ("on-demand", A)]
    assert len(made) == len(region.alive()) == 2
    assert bought(region) == ["on-demand", "on-demand"]


def test_a_machine_has_the_word_of_its_capacity_type_as_a_tag(region: EC2) -> None:
    provider = provider_with(ORDER)
    (name,) = provider.create_node(node_config(region), tags(), 1)
    assert bought(region) == ["spot"]
    provider.non_terminated_nodes({})
    assert provider.node_tags(name)["accel-scaling-capacity"] == "spot"
    assert "export ACCEL_SCALING_BOUGHT=spot; " in provider._with_policies(name, "ray start")


def test_sold_out_spot_is_not_asked_again_while_it_is_in_quarantine(region: EC2, head: Head) -> None:
    provider = provider_with(ORDER, head)
    region.fault("RunInstances", "before", "no capacity", times=2)
    provider.create_node(node_config(region), tags(), 1)
    region.calls.clear()
    provider.create_node(node_config(region), tags(), 1)
    assert asked(region) == [("on-demand", A)]
    head.now_s += 61
    region.calls.clear()
    provider.create_node(node_config(region), tags(), 1)
    assert asked(region) == [("spot", A)], "after its time, the user's first choice comes first again"


@pytest.mark.parametrize("what", ["closed", "internal", "silent"])
def test_a_spot_launch_without_an_answer_is_not_bought_on_demand_as_well(region: EC2, what: str) -> None:
    provider = provider_with(ORDER)
    region.fault("RunInstances", "after", what, times=9)
    region.fault("DescribeInstances", "before", "closed", times=9)
    with pytest.raises(_ray.node_launch_exception(), match="may still start"):
        provider.create_node(node_config(region), tags(), 2)
    region.faults.clear()
    assert sorted(provider.create_node(node_config(region), tags(), 2)) == sorted(region.alive())
    assert bought(region) == ["spot", "spot"]


def test_a_request_that_is_refused_permanently_is_not_repeated_in_other_zones_of_its_type(region: EC2) -> None:
    region.fault("RunInstances", "before", "no permission", times=1)
    provider_with(ORDER).create_node(node_config(region), tags(), 1)
    assert asked(region) == [("spot", A), ("on-demand", A)]


def test_all_that_was_tried_is_said_with_its_capacity_type(region: EC2) -> None:
    region.fault("RunInstances", "before", "no capacity", times=9)
    with pytest.raises(_ray.node_launch_exception()) as raised:
        provider_with(ORDER).create_node(node_config(region), tags(), 1)
    assert f"(tried in {A} (spot), {B} (spot), {A} (on-demand), {B} (on-demand))" in raised.value.description


def test_a_machine_of_an_order_is_terminated_and_never_stopped_to_be_started_again(region: EC2) -> None:
    order = {"a10g": ["on-demand", "spot"]}
    provider = provider_of(capacity=order, cache_stopped_nodes=True)
    first, second = provider.create_node(node_config(region), tags(), 2)
    provider.non_terminated_nodes({})
    provider.terminate_nodes([first])
    provider.terminate_node(second)
    assert region.in_state(("stopping", "stopped")) == []
    assert region.alive() == []
    assert bought(region) == ["on-demand", "on-demand"]


def test_node_types_without_an_order_are_launched_as_before(region: EC2, tmp_path: Path) -> None:
    provider = provider_with({"other": ["spot"]})
    provider.gate = Gate({}, None, tmp_path / "none.json")
    (name,) = provider.create_node(node_config(region), tags(), 1)
    assert bought(region) == ["on-demand"]
    assert "accel-scaling-capacity" not in provider.node_tags(name)
