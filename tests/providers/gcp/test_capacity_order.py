"""An order of capacity types on Google Cloud, of machines and of slices: tried in the user's order in one launch."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.gcp_provider import ZONES, Google, ours, quick_google_fixture, tags, wait_until

__all__ = ["quick_google_fixture"]

TWO = ",".join(ZONES[:2])


def models(gce: Google) -> list[str]:
    """How each machine is bought, by Google's own records."""
    return sorted((one.get("scheduling") or {}).get("provisioningModel", "STANDARD") for one in gce.machines().values())


def provider_and(gce: Google, name: str, **how: Any) -> tuple[Any, dict[str, Any]]:
    order = {name: ["spot", "on-demand"]}
    provider, configs = ours(gce, availability_zone=TWO, capacity=order, **how)
    return provider, configs[name]


@pytest.mark.parametrize("count", [1, 3])
def test_spot_machines_come_first_and_have_their_word_as_a_label(gce: Google, count: int) -> None:
    provider, config = provider_and(gce, "cpu")
    made = provider.create_node(config, tags(), count)
    assert models(gce) == ["SPOT"] * count
    provider.non_terminated_nodes({})
    assert {provider.node_tags(name)["accel-scaling-capacity"] for name in made} == {"spot"}


def test_what_spot_lacks_in_every_zone_is_bought_on_demand_in_the_same_launch(gce: Google) -> None:
    provider, config = provider_and(gce, "cpu")
    gce.fault("compute.instances.insert", kind="operation", code="ZONE_RESOURCE_POOL_EXHAUSTED", times=2)
    provider.create_node(config, tags(), 1)
    assert models(gce) == ["STANDARD"]
    assert [call[1] for call in gce.engine.calls].count("compute.instances.insert") == 3


def test_a_machine_of_an_order_is_deleted_and_never_stopped_to_be_started_again(gce: Google) -> None:
    provider, config = provider_and(gce, "cpu", cache_stopped_nodes=True)
    made = list(provider.create_node(config, tags(), 2))
    provider.non_terminated_nodes({})
    provider.terminate_nodes(made)
    wait_until("the deletion", lambda: not gce.machines())


def test_a_slice_that_spot_lacks_is_bought_on_demand(gce: Google) -> None:
    provider, config = provider_and(gce, "v4", slices=True)
    gce.fault("tpu.projects.locations.nodes.create", kind="operation", code="8", message="no more capacity", times=2)
    (name,) = provider.create_node(config, tags("v4"), 1)
    assert not (gce.slices()[name].get("schedulingConfig") or {}).get("spot")
