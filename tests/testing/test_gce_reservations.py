"""Reservations of the local Compute Engine, asked by Google's own client: who gets their places, and until when."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from accel_scaling.testing.gce.api import ComputeEngine
from accel_scaling.testing.gce.fault_injection import FaultInjection
from accel_scaling.testing.gce.reservations import GceReservation
from tests.support.gce_client import GPU, PROJECT, ZONE, kept_server, properties
from tests.testing.test_gce_api import SPOT, Clock, status

BOUND = {**GPU, "provisioningModel": "RESERVATION_BOUND", "instanceTerminationAction": "DELETE"}
SOLD_OUT = FaultInjection(dry_zones={"*": ["a2-highgpu-1g", "a4-highgpu-8g"]})


@pytest.fixture(name="served", scope="module")
def served_fixture() -> Iterator[Any]:
    with kept_server() as served:
        yield served


@pytest.fixture(name="cloud")
def cloud_fixture(served: Any) -> Any:
    server, client = served
    clock = Clock()
    server.engine = engine = ComputeEngine(clock=clock)
    return SimpleNamespace(engine=engine, client=client, clock=clock, now=engine.state.unix_s())


def specific(name: str) -> dict[str, Any]:
    key = "compute.googleapis.com/reservation-name"
    return {"consumeReservationType": "SPECIFIC_RESERVATION", "key": key, "values": [name]}


def insert(
    cloud: Any, name: str, reservation: str, machine_type: str = "a2-highgpu-1g", **more: Any
) -> tuple[str, str]:
    """Return the code and message of the operation; empty ones where the machine came."""
    made = {"scheduling": GPU, "reservationAffinity": specific(reservation), **more}
    operation = cloud.client.wait(cloud.client.insert(name, machine_type, **made))
    errors = operation.get("error", {"errors": [{"code": "", "message": ""}]})["errors"]
    return errors[0]["code"], errors[0]["message"]


def in_use(cloud: Any, name: str = "mine", project: str = PROJECT) -> tuple[int, int]:
    reservations = cloud.client.compute.reservations()
    one = reservations.get(project=project, zone=ZONE, reservation=name).execute()["specificReservation"]
    return int(one["inUseCount"]), int(one["count"])


def test_a_request_says_how_its_machines_are_bought(served: Any) -> None:
    server, client = served
    told: list[str] = []
    server.engine = engine = ComputeEngine(on_launch_request=lambda *_, capacity, **__: told.append(capacity))
    engine.set_reservations([GceReservation("mine", "a2-highgpu-1g", count=1)])
    cloud = SimpleNamespace(client=client)
    for name in ("a", "b"):  # the second one is refused
        insert(cloud, name, "mine")
    for name, how in (("c", GPU), ("d", {**GPU, **SPOT})):
        client.wait(client.insert(name, "a2-highgpu-1g", scheduling=how))
    assert told == ["reserved mine", "reserved mine", "on-demand", "spot"]


def test_a_specific_reservation_has_so_many_places_and_gets_them_back(cloud):
    cloud.engine.injection = SOLD_OUT
    cloud.engine.set_reservations([GceReservation("mine", "a2-highgpu-1g", count=1)])
    assert insert(cloud, "a", "mine") == ("", "")
    assert in_use(cloud) == (1, 1)
    consumed = cloud.client.get("a")["resourceStatus"]["reservationConsumptionInfo"]["consumedReservation"]
    assert consumed == f"projects/{PROJECT}/zones/{ZONE}/reservations/mine"
    says = "Specified reservation 'mine' does not have available resources for the request."
    assert insert(cloud, "b", "mine") == ("CONDITION_NOT_MET", says)
    cloud.client.wait(cloud.client.delete("a"))
    assert in_use(cloud) == (0, 1)
    assert insert(cloud, "c", "mine") == ("", "")
    # Nobody takes a place without naming it, and what is reserved does not count against the rest.
    assert cloud.client.wait(cloud.client.insert("d", "a2-highgpu-1g", scheduling=GPU))["error"]


@pytest.mark.parametrize(
    ("reservation", "machine_type", "says"),
    [
        ("other", "a2-highgpu-1g", "Specified reservation 'other' does not exist."),
        ("elsewhere", "a2-highgpu-1g", "Specified reservation 'elsewhere' does not exist."),
        ("shared", "a2-highgpu-1g", "Specified reservation 'shared' does not exist."),
        ("mine", "n2-standard-2", "No available resources in specified reservations 'mine'"),
        ("projects/p/reservations/mine", "a2-highgpu-1g", "'projects/p/reservations/mine' does not exist."),
    ],
)
def test_a_reservation_that_does_not_fit_is_refused_in_googles_words(cloud, reservation, machine_type, says):
    elsewhere = GceReservation("elsewhere", "a2-highgpu-1g", zone="us-central1-b")
    shared = GceReservation("shared", "a2-highgpu-1g", project="owner")
    cloud.engine.set_reservations([GceReservation("mine", "a2-highgpu-1g"), elsewhere, shared])
    code, message = insert(cloud, "a", reservation, machine_type)
    assert code == "CONDITION_NOT_MET"
    assert message.endswith(says)


def test_a_shared_reservation_is_named_by_the_path_of_its_project(cloud):
    cloud.engine.set_reservations([GceReservation("shared", "a2-highgpu-1g", project="owner")])
    assert insert(cloud, "a", "projects/owner/reservations/shared") == ("", "")
    assert in_use(cloud, "shared", "owner") == (1, 1)


def test_a_project_that_may_not_be_read_says_so_whatever_is_in_it(cloud):
    cloud.engine.set_reservations([GceReservation("shared", "a2-highgpu-1g", project="owner", readable=False)])
    for project in ("owner", "nobody"):
        code, says = status(lambda project=project: in_use(cloud, "shared", project))
        assert (code, "Required 'compute.reservations.get' permission" in says) == (403, True)
    assert insert(cloud, "a", "projects/owner/reservations/shared") == ("", "")
    assert status(lambda: in_use(cloud, "nothing"))[0] == 404


def test_an_open_reservation_is_taken_first_and_on_demand_comes_after_it(cloud):
    cloud.engine.injection = SOLD_OUT
    cloud.engine.set_reservations([GceReservation("open", "a2-highgpu-1g", count=2, specific=False)])
    body = {"count": "3", "minCount": "1", "namePattern": "m-#"}
    operation = cloud.client.instances.bulkInsert(
        project=PROJECT, zone=ZONE, body={**body, "instanceProperties": properties("a2-highgpu-1g", scheduling=GPU)}
    ).execute()
    assert cloud.client.wait(operation)["error"]["errors"][0]["code"] == "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS"
    assert in_use(cloud, "open") == (2, 2)
    none = {"consumeReservationType": "NO_RESERVATION"}
    assert insert(cloud, "x", "open", reservationAffinity=none)[0].startswith("ZONE_RESOURCE_POOL")


def test_calendar_mode_begins_and_ends_with_its_machines(cloud):
    cloud.engine.injection = SOLD_OUT
    block = GceReservation("block", "a4-highgpu-8g", 2, calendar=True, begins_s=cloud.now + 60, ends_s=cloud.now + 600)
    cloud.engine.set_reservations([block])
    reservations, future = cloud.client.compute.reservations(), cloud.client.compute.futureReservations()
    assert reservations.get(project=PROJECT, zone=ZONE, reservation="block").execute()["status"] == "CREATING"
    (request,) = future.list(project=PROJECT, zone=ZONE).execute()["items"]
    assert (request["reservationName"], request["reservationMode"]) == ("block", "CALENDAR")
    code, says = insert(cloud, "a", "block", "a4-highgpu-8g", scheduling=BOUND)
    assert (code, "requires reservation to be in READY state" in says) == ("CONDITION_NOT_MET", True)
    cloud.clock.now += 60
    assert insert(cloud, "a", "block", "a4-highgpu-8g")[1].startswith("No available resources")
    assert insert(cloud, "b", "block", "a4-highgpu-8g", scheduling=BOUND) == ("", "")
    assert insert(cloud, "c", "block", "a4-highgpu-8g", scheduling={**BOUND, "instanceTerminationAction": "STOP"}) == (
        "",
        "",
    )
    cloud.clock.now += 540
    assert {machine["name"]: machine["status"] for machine in cloud.engine.instances()} == {"c": "TERMINATED"}
    assert insert(cloud, "d", "block", "a4-highgpu-8g", scheduling=BOUND)[1].endswith("does not exist.")
    aggregated = reservations.aggregatedList(project=PROJECT).execute()
    assert aggregated["items"] == {}


def test_spot_machines_and_bound_ones_without_a_reservation_are_refused(cloud):
    cloud.engine.set_reservations([GceReservation("mine", "a2-highgpu-1g")])
    spot = {"scheduling": SPOT, "reservationAffinity": specific("mine")}
    assert status(lambda: cloud.client.insert("a", "a2-highgpu-1g", **spot))[0] == 400
    assert status(lambda: cloud.client.insert("a", "a4-highgpu-8g", scheduling=BOUND))[0] == 400
