"""Which machines the local Compute Engine makes: those that Google has, by tables of its own."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from accel_scaling.testing.gce.api import ComputeEngine
from accel_scaling.testing.gce.reservations import GceReservation
from accel_scaling.testing.gce.server import serve
from tests.support.gce_client import GPU, Client
from tests.testing.test_gce_api import status


@pytest.fixture(name="cloud")
def cloud_fixture() -> Iterator[Any]:
    engine = ComputeEngine()
    with serve(engine) as url:
        yield SimpleNamespace(engine=engine, client=Client(url))


@pytest.mark.parametrize(
    ("machine_type", "kind", "count", "says"),
    [
        ("n1-standard-1", "nvidia-tesla-t4", 8, "must be one of"),
        ("n1-standard-64", "nvidia-tesla-t4", 1, "too large"),
        ("n1-standard-8", "nvidia-tesla-t4", 3, "must be one of"),
        ("n1-standard-1", "nvidia-tesla-k80", 8, "guest CPUs of n1-standard-1 is too small"),
        ("n1-standard-64", "nvidia-tesla-k80", 8, "memory of n1-standard-64 is too large"),
        ("n1-custom-8-65536-ext", "nvidia-tesla-k80", 1, "memory of n1-custom-8-65536-ext is too large"),
    ],
)
def test_gpus_that_an_n1_does_not_take_are_refused(cloud, machine_type, kind, count, says):
    guests = [{"acceleratorType": f"x/{kind}", "acceleratorCount": count}]
    assert says in status(lambda: cloud.client.insert("a", machine_type, guestAccelerators=guests, scheduling=GPU))[1]


@pytest.mark.parametrize(
    "machine_type",
    [
        *("n1-standard-3", "n1-highcpu-1", "e2-highmem-32", "c2-standard-10", "n2-custom-7-1000", "n1-custom-8-32769"),
        *(
            "n1-custom-98-131072",
            "n1-custom-2-512",
            "n2-custom-34-65536",
            "n2-custom-2-65536",
            "n1-custom-2-655360-ext",
        ),
        *(
            "n1-custom-2-655360-ext",
            "e2-custom-2-32768-ext",
            "e2-custom-micro-4096",
            "m9-custom-2-4096",
            "custom-3-4096",
        ),
    ],
)
def test_a_machine_type_that_google_does_not_make_is_refused(cloud, machine_type):
    got, reason = status(lambda: cloud.client.insert("a", machine_type))
    assert (got, "does not exist in zone" in reason) == (400, True), reason


@pytest.mark.parametrize(
    "machine_type",
    [
        *("n1-standard-96", "n2d-standard-224", "custom-1-2048", "n1-custom-8-32768", "n2-custom-36-65536"),
        *("n2-custom-2-65536-ext", "n2d-custom-32-65536", "e2-custom-medium-8192", "e2-medium", "c3-standard-22-lssd"),
    ],
)
def test_a_machine_type_that_google_makes_is_made(cloud, machine_type):
    assert cloud.client.insert("a", machine_type)["name"]


BOUND = {"provisioningModel": "RESERVATION_BOUND", "onHostMaintenance": "TERMINATE"}
FLEX = {"provisioningModel": "FLEX_START", "onHostMaintenance": "TERMINATE"}
MINE = {
    "consumeReservationType": "SPECIFIC_RESERVATION",
    "key": "compute.googleapis.com/reservation-name",
    "values": ["mine"],
}
DAY = {"maxRunDuration": {"seconds": "86400"}}


@pytest.mark.parametrize(
    ("machine_type", "refused", "made"),
    [
        ("a3-highgpu-1g", GPU, {**GPU, "provisioningModel": "SPOT"}),
        ("a3-ultragpu-8g", GPU, {**FLEX, **DAY}),
        ("a4-highgpu-8g", GPU, BOUND),
        ("a4x-highgpu-4g", {**GPU, "provisioningModel": "SPOT"}, BOUND),
        ("a2-highgpu-1g", FLEX, GPU),
    ],
)
def test_a_machine_that_google_does_not_sell_so_is_refused(cloud, machine_type, refused, made):
    code, says = status(lambda: cloud.client.insert("a", machine_type, scheduling=refused))
    assert code == 400
    assert "resource.scheduling.provisioningModel" in says
    cloud.client.insert("b", machine_type, scheduling=made, reservationAffinity=MINE if made is BOUND else None)


def test_a_reservation_is_taken_without_a_provisioning_model(cloud):
    cloud.engine.set_reservations([GceReservation("mine", "a3-ultragpu-8g")])
    operation = cloud.client.insert("a", "a3-ultragpu-8g", scheduling=GPU, reservationAffinity=MINE)
    assert "error" not in cloud.client.wait(operation)
