"""Lists of machine types on Google Cloud: the next one is created where those before it are sold out in every zone."""

from __future__ import annotations

from typing import Any

import pytest

from accel_scaling import _ray
from accel_scaling.cluster.machine_lists import MACHINES
from accel_scaling.providers.gcp.teardown import for_reading
from accel_scaling.testing.gce.reservations import GceReservation
from tests.support.gcp_provider import DISKS, ZONES, Google, config_of, provider_of, quick_google_fixture, tags
from tests.support.resolved import resolved

__all__ = ["quick_google_fixture"]

FIRST, SECOND = "a3-highgpu-8g", "a3-megagpu-8g"
TWO = ",".join(ZONES[:2])
EXHAUSTED = "ZONE_RESOURCE_POOL_EXHAUSTED"

pytestmark = pytest.mark.needs("ssh", "rsync")


def provider_and(gce: Google, **provider: Any) -> tuple[Any, dict[str, Any]]:
    """The provider of a cluster with a list of two, and the config of its node type as `ray up` resolves it."""
    done = resolved(cluster(gce, **provider))
    assert list(done["available_node_types"]) == ["head", "h100"]
    return provider_of(done), done["available_node_types"]["h100"]["node_config"]


def cluster(gce: Google, **provider: Any) -> dict[str, Any]:
    config = config_of(gce.url, availability_zone=TWO, **provider)
    both = {"node_config": {"machineType": [FIRST, SECOND], "disks": DISKS}, "min_workers": 1}
    config["available_node_types"] = {"head": config["available_node_types"]["head"], "h100": both}
    return config


def types(gce: Google) -> list[str]:
    return sorted(one["machineType"].rpartition("/")[2] for one in gce.machines().values())


@pytest.mark.parametrize("count", [1, 2])
def test_the_next_machine_type_is_created_where_the_first_is_sold_out_in_every_zone(gce: Google, count: int) -> None:
    provider, config = provider_and(gce)
    assert config["machineType"] == FIRST
    assert provider.provider_config[MACHINES] == {"h100": {SECOND: {"machineType": SECOND}}}
    method = "compute.instances.insert" if count == 1 else "compute.instances.bulkInsert"
    gce.fault(method, kind="operation", code=EXHAUSTED, times=2)
    made = provider.create_node(config, tags("h100"), count)
    assert types(gce) == [SECOND] * count
    provider.non_terminated_nodes({})
    for name in made:
        assert provider.node_tags(name)["accel-scaling-machine"] == SECOND
        assert f"export ACCEL_SCALING_MACHINE={SECOND}; " in provider._with_policies(name, "ray start")


def test_of_an_order_each_capacity_type_is_tried_with_every_machine_type_before_the_next(gce: Google) -> None:
    provider, config = provider_and(gce, capacity={"h100": ["spot", "on-demand"]})
    gce.fault("compute.instances.insert", kind="operation", code=EXHAUSTED, times=99)
    with pytest.raises(_ray.node_launch_exception()) as raised:
        provider.create_node(config, tags("h100"), 1)
    said = raised.value.description
    assert said.startswith(f"{FIRST} or {SECOND}: ")
    tried = said.rpartition("tried in ")[2].rstrip(")").split("), ")
    assert [place.partition(" (")[2] for place in tried] == [
        f"{way} {machine}" for way in ("spot", "on-demand") for machine in (FIRST, SECOND) for _ in range(2)
    ]


def test_a_reservation_is_used_by_the_machine_type_that_it_is_for(gce: Google) -> None:
    gce.reserve(GceReservation("mine", SECOND, 1, ZONES[1]))
    provider, config = provider_and(gce, capacity={"h100": [{"reserved": "mine"}, "on-demand"]})
    provider.create_node(config, tags("h100"), 2)
    assert gce.bought() == ["mine", "on-demand"]
    assert types(gce) == sorted([FIRST, SECOND])


def test_each_machine_type_has_placement_policies_of_its_own_and_ray_down_deletes_them(gce: Google) -> None:
    provider, config = provider_and(gce, placement={"h100": "compact"})
    own = provider.provider_config[MACHINES]["h100"][SECOND]
    policies = {str(one["resourcePolicies"]) for one in (config, own)}
    assert len(policies) == 2
    assert len(gce.engine.placement_policies()) == 4, "of each machine type in each zone"
    file = cluster(gce, placement={"h100": "compact"})
    assert provider_of(for_reading(file)).cleared() == []
    assert gce.engine.placement_policies() == []
