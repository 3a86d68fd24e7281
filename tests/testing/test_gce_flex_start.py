"""Flex-start machines of the local Compute Engine: they wait for capacity, come or are given up, and end."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from accel_scaling.testing.gce.api import ComputeEngine
from accel_scaling.testing.gce.fault_injection import FaultInjection
from tests.support.gce_client import GPU, PROJECT, ZONE, kept_server
from tests.testing.test_gce_api import SPOT, Clock, status

FLEX = {
    **GPU,
    "provisioningModel": "FLEX_START",
    "maxRunDuration": {"seconds": "3600"},
    "instanceTerminationAction": "DELETE",
}
NO_RESERVATION = {"consumeReservationType": "NO_RESERVATION"}


@pytest.fixture(name="served", scope="module")
def served_fixture() -> Iterator[Any]:
    with kept_server() as served:
        yield served


@pytest.fixture(name="cloud")
def cloud_fixture(served: Any) -> Any:
    server, client = served
    clock = Clock()
    server.engine = engine = ComputeEngine(clock=clock)
    engine.injection = FaultInjection(waits_s={"a2-highgpu-1g": 900.0})
    return SimpleNamespace(engine=engine, client=client, clock=clock)


def insert(cloud: Any, name: str, wait_s: int | None, **more: Any) -> Any:
    params = None if wait_s is None else {"requestValidForDuration": {"seconds": str(wait_s)}}
    made = {"scheduling": FLEX, "reservationAffinity": NO_RESERVATION, "params": params, **more}
    return cloud.client.insert(name, "a2-highgpu-1g", **made)


def operation(cloud: Any, begun: Any) -> Any:
    return cloud.client.compute.zoneOperations().get(project=PROJECT, zone=ZONE, operation=begun["name"]).execute()


def test_a_machine_waits_in_pending_until_there_is_capacity(cloud):
    begun = insert(cloud, "a", 7200)
    cloud.clock.now = 899.0
    waiting = cloud.client.get("a")
    assert (waiting["status"], operation(cloud, begun)["status"]) == ("PENDING", "RUNNING")
    assert "networkIP" not in waiting["networkInterfaces"][0]
    assert "params" not in waiting
    cloud.clock.now = 900.0
    assert (operation(cloud, begun)["status"], cloud.client.get("a")["status"]) == ("DONE", "RUNNING")
    assert cloud.client.get("a")["networkInterfaces"][0]["networkIP"]


def test_a_machine_that_has_waited_long_enough_is_deleted_and_its_operation_fails(cloud):
    begun = insert(cloud, "a", 600)
    cloud.clock.now = 600.0
    (error,) = operation(cloud, begun)["error"]["errors"]
    assert error["code"] == "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS"
    assert cloud.engine.instances() == []


def test_a_sold_out_zone_keeps_it_waiting_until_it_has_capacity_again(cloud):
    cloud.engine.injection = FaultInjection(dry_zones={"*": ["a2-highgpu-1g/flex-start"]})
    insert(cloud, "a", 7200)
    assert not cloud.client.insert("b", "a2-highgpu-1g", scheduling=GPU).get("error"), "on demand is not sold out"
    cloud.clock.now = 60.0
    assert cloud.client.get("a")["status"] == "PENDING"
    cloud.engine.injection = FaultInjection()
    assert cloud.client.get("a")["status"] == "RUNNING"


def test_a_machine_that_waits_may_be_deleted(cloud):
    begun = insert(cloud, "a", 7200)
    cloud.client.wait(cloud.client.delete("a"))
    assert cloud.engine.instances() == []
    assert operation(cloud, begun)["status"] == "DONE"


@pytest.mark.parametrize("wait_s", [None, 0, 89])
def test_without_a_wait_of_90_seconds_it_comes_at_once_or_not_at_all(cloud, wait_s):
    begun = operation(cloud, insert(cloud, "a", wait_s))
    assert begun["error"]["errors"][0]["code"] == "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS"
    cloud.engine.injection = FaultInjection()
    insert(cloud, "b", wait_s)
    assert cloud.client.get("b")["status"] == "RUNNING"


def test_a_machine_ends_when_it_has_run_as_long_as_it_may(cloud):
    cloud.engine.injection = FaultInjection()
    insert(cloud, "a", None)
    insert(cloud, "b", None, scheduling={**FLEX, "instanceTerminationAction": "STOP"})
    cloud.clock.now = 3599.0
    assert [machine["status"] for machine in cloud.engine.instances()] == ["RUNNING", "RUNNING"]
    cloud.clock.now = 3600.0
    assert {machine["name"]: machine["status"] for machine in cloud.engine.instances()} == {"b": "TERMINATED"}


def test_what_google_refuses_of_a_wait(cloud):
    assert status(lambda: insert(cloud, "a", 7201))[0] == 400
    assert status(lambda: insert(cloud, "a", 600, scheduling=SPOT))[0] == 400
    mine = {"consumeReservationType": "ANY_RESERVATION"}
    assert status(lambda: insert(cloud, "a", None, reservationAffinity=mine))[0] == 400


def test_spot_may_be_sold_out_or_counted_beside_on_demand(cloud):
    cloud.engine.injection = FaultInjection(
        dry_zones={ZONE: ["a2-highgpu-1g/spot"]}, capacity={"a2-highgpu-1g/on-demand": 1}
    )
    assert operation(cloud, cloud.client.insert("a", "a2-highgpu-1g", scheduling=SPOT))["error"]
    assert not operation(cloud, cloud.client.insert("b", "a2-highgpu-1g", scheduling=GPU)).get("error")
    assert operation(cloud, cloud.client.insert("c", "a2-highgpu-1g", scheduling=GPU))["error"]
