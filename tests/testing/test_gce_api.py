"""The local Compute Engine's API, asked by Google's own client: what it carries out, refuses and loses."""

from __future__ import annotations

import http.client
import json
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from googleapiclient.errors import HttpError

from accel_scaling.testing.gce.api import ComputeEngine
from accel_scaling.testing.gce.documents import DriftError
from accel_scaling.testing.gce.fault_injection import CallFault, FaultInjection, read_injection
from accel_scaling.testing.gce.server import serve
from tests.support.gce_client import GPU, PARENT, PROJECT, ZONE, Client, body, properties

SPOT = {**GPU, "provisioningModel": "SPOT"}


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Cloud:
    engine: ComputeEngine
    client: Client
    clock: Clock
    url: str


@pytest.fixture(name="cloud")
def cloud_fixture():
    clock = Clock()
    engine = ComputeEngine(clock=clock)
    with serve(engine) as url:
        yield Cloud(engine, Client(url), clock, url)


def status(call: Any) -> tuple[int, str]:
    with pytest.raises(HttpError) as error:
        call()
    return error.value.resp.status, error.value.reason


def test_a_machine_is_created_described_listed_labelled_stopped_started_and_deleted(cloud):
    google = cloud.client
    cloud.engine.injection.operation_latency_s = {"insert": 12.0, "delete": 5.0}
    operation = google.insert("a", "g2-standard-48", scheduling=GPU, labels={"x": "1"})
    assert (operation["status"], google.get("a")["status"]) == ("RUNNING", "PROVISIONING")
    cloud.clock.now = 12.0
    assert google.wait(operation)["status"] == "DONE"
    machine = google.get("a")
    assert machine["status"] == "RUNNING"
    assert machine["guestAccelerators"][0]["acceleratorCount"] == 4
    assert machine["guestAccelerators"][0]["acceleratorType"].endswith("/nvidia-l4")
    labels = {"labels": {"x": "2"}, "labelFingerprint": machine["labelFingerprint"]}
    set_labels = google.instances.setLabels(project=PROJECT, zone=ZONE, instance="a", body=labels)
    set_labels.execute()
    assert google.get("a")["labels"] == {"x": "2"}
    assert status(set_labels.execute)[0] == 412
    google.instances.stop(project=PROJECT, zone=ZONE, instance="a").execute()
    assert google.get("a")["status"] == "TERMINATED"
    google.instances.start(project=PROJECT, zone=ZONE, instance="a").execute()
    cloud.clock.now = 30.0
    assert google.get("a")["status"] == "RUNNING"
    google.delete("a")
    assert google.get("a")["status"] == "STOPPING"
    assert status(lambda: google.insert("a"))[0] == 409, "its name is taken until it is gone"
    cloud.clock.now = 35.0
    assert status(lambda: google.get("a")) == (
        404,
        f"The resource 'projects/{PROJECT}/zones/{ZONE}/instances/a' was not found",
    )
    assert "items" not in google.list()


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ({"machineType": "n2-standard-2"}, 400, "malformed"),
        ({"machineType": f"zones/{ZONE}/machineTypes/n99-standard-2"}, 400, "does not exist in zone"),
        ({"machineType": "zones/us-central1-b/machineTypes/n2-standard-2"}, 400, "not in zone"),
        ({"name": "Not_A_Name"}, 400, "Must be a match of regex"),
        ({"name": "a" * 64}, 400, "Must be a match of regex"),
        ({"name": None}, 400, "Must be specified"),
        ({"disks": None}, 400, "No disks"),
        ({"networkInterfaces": None}, 400, "network interface"),
        ({"labels": {"Upper": "x"}}, 400, "Label key"),
        ({"labels": {"x": "ray.worker.gpu"}}, 400, "Label value"),
        ({"labels": {f"k{number}": "x" for number in range(65)}}, 400, "limit of 64"),
        ({"machineTypo": "x"}, 400, "Unknown name"),
        ({"scheduling": {"provisioningModel": "CHEAP"}}, 400, "Must be one of"),
        ({"scheduling": {"provisioningModel": "SPOT", "automaticRestart": True}}, 400, "automaticRestart"),
        ({"scheduling": {"instanceTerminationAction": "DELETE"}}, 400, "instanceTerminationAction"),
        ({"machineType": f"zones/{ZONE}/machineTypes/a2-highgpu-1g"}, 400, "live migration"),
        ({"guestAccelerators": [{"acceleratorType": "x/nvidia-tesla-t4", "acceleratorCount": 1}], "scheduling": GPU}, 400, "not compatible"),  # noqa: E501 - a table
        ({"guestAccelerators": [{"acceleratorType": "x/nvidia-rtx", "acceleratorCount": 1}]}, 404, "not found"),
    ],
)  # fmt: skip
def test_what_google_refuses_is_refused_and_nothing_is_made(cloud, change, code, says):
    got, reason = status(lambda: cloud.client.insert(change.pop("name", "a"), **change))
    assert (got, says in reason) == (code, True), reason
    assert cloud.engine.instances() == []


def test_a_request_id_makes_a_repeated_creation_one_creation(cloud):
    key = str(uuid.uuid4())
    first, second = cloud.client.insert("a", key=key), cloud.client.insert("a", key=key)
    assert first["name"] == second["name"]
    assert len(cloud.engine.instances()) == 1


def test_a_list_comes_in_pages_and_only_what_its_filter_takes(cloud):
    for number in range(7):
        cloud.client.insert(f"m{number}", labels={"ray-cluster-name": "mine" if number % 2 else "other"})
    wanted = (
        "((status = RUNNING) OR (status = STAGING)) AND (labels.ray-cluster-name = mine) AND (NOT labels.tpu_cores:*)"
    )
    assert [one["name"] for one in cloud.client.list(filter=wanted)["items"]] == ["m1", "m3", "m5"]
    cloud.engine.injection.page_size = 2
    page, names = cloud.client.list(), []
    cloud.client.insert("m21")  # while a user reads on
    while True:
        names += [one["name"] for one in page["items"]]
        if "nextPageToken" not in page:
            break
        page = cloud.client.list(pageToken=page["nextPageToken"])
    assert names == ["m0", "m1", "m2", "m21", "m3", "m4", "m5", "m6"]


@pytest.mark.parametrize("wrong", ["status =", "(status = X", "= X", "status = X)", "a b c", 'x = "y'])
def test_a_filter_that_is_not_one_is_refused(cloud, wrong):
    assert status(lambda: cloud.client.list(filter=wrong))[0] == 400


def test_many_are_made_in_one_call_and_what_a_dry_zone_lacks_is_told_in_the_operation(cloud):
    cloud.engine.injection.capacity = {"n2-standard-2": 2}
    asked = {"count": "3", "minCount": "1", "instanceProperties": properties()}
    named = {**asked, "perInstanceProperties": {name: {} for name in ("x", "y", "z")}}
    operation = cloud.client.instances.bulkInsert(project=PROJECT, zone=ZONE, body=named).execute()
    (error,) = operation["error"]["errors"]
    assert error["code"] == "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS"
    per_zone = operation["instancesBulkInsertOperationMetadata"]["perLocationStatus"][f"zones/{ZONE}"]
    assert (per_zone["createdVmCount"], per_zone["failedToCreateVmCount"]) == (2, 1)
    assert {one["name"] for one in cloud.engine.instances()} == {"x", "y"}
    all_or_none = {**named, "minCount": "3", "perInstanceProperties": {name: {} for name in ("p", "q", "r")}}
    cloud.client.instances.bulkInsert(project=PROJECT, zone=ZONE, body=all_or_none).execute()
    assert {one["name"] for one in cloud.engine.instances()} == {"x", "y"}


def test_a_region_gives_what_its_first_zone_lacks(cloud):
    cloud.engine.injection.dry_zones = {ZONE: ["n2-standard-2"]}
    zones = {f"zones/us-central1-{letter}": {"preference": "ALLOW"} for letter in "ab"}
    asked = {
        "count": "2",
        "namePattern": "w-##",
        "instanceProperties": properties(),
        "locationPolicy": {"locations": zones},
    }
    call = cloud.client.compute.regionInstances().bulkInsert(project=PROJECT, region="us-central1", body=asked)
    assert "error" not in call.execute()
    assert [(one["name"], one["zone"][-1]) for one in cloud.engine.instances()] == [("w-01", "b"), ("w-02", "b")]


def test_a_sold_out_machine_and_a_quota_are_told_by_their_operation_and_leave_nothing(cloud):
    cloud.engine.injection.operation_latency_s = {"insert": 12.0}
    for options, code in (
        ({"dry_zones": {"*": ["n2-standard-2"]}}, "ZONE_RESOURCE"),
        ({"quota": {"n2-standard-2": 0}}, "QUOTA"),
    ):
        cloud.engine.injection = FaultInjection(operation_latency_s={"insert": 12.0}, **options)
        operation = cloud.client.insert("a")
        cloud.clock.now += 12.0
        assert cloud.client.wait(operation)["error"]["errors"][0]["code"].startswith(code)
        assert cloud.engine.instances() == []


@pytest.mark.parametrize(("action", "left"), [("DELETE", []), ("STOP", ["TERMINATED"])])
def test_a_spot_machine_that_is_taken_back_goes_as_its_scheduling_says(cloud, action, left):
    cloud.client.insert("a", "a2-highgpu-1g", scheduling={**SPOT, "instanceTerminationAction": action})
    cloud.engine.preempt("a")
    assert [one["status"] for one in cloud.engine.instances()] == left


def test_a_slice_is_created_listed_labelled_taken_back_and_deleted(cloud):
    google, name = cloud.client, f"{PARENT}/nodes/s"
    cloud.engine.injection.operation_latency_s = {"tpu": 60.0}
    operation = google.slice("s", "v4-16")
    assert (operation["done"], google.nodes.get(name=name).execute()["state"]) == (False, "CREATING")
    cloud.clock.now = 60.0
    assert (
        google.tpu.projects().locations().operations().get(name=operation["name"]).execute()["response"]["name"] == name
    )
    (node,) = google.nodes.list(parent=PARENT).execute()["nodes"]
    assert (node["state"], len({one["ipAddress"] for one in node["networkEndpoints"]})) == ("READY", 2)
    google.nodes.patch(name=name, updateMask="labels", body={"labels": {"a": "b"}}).execute()
    assert google.nodes.get(name=name).execute()["labels"] == {"a": "b"}
    assert status(google.nodes.start(name=name).execute)[0] == 400
    cloud.engine.preempt(name)
    assert google.nodes.get(name=name).execute()["state"] == "PREEMPTED"
    google.nodes.delete(name=name).execute()
    cloud.clock.now = 120.0
    assert google.nodes.list(parent=PARENT).execute() == {}


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"kind": "v9-8"}, 404),
        ({"kind": "v4-12"}, 404),
        ({"kind": None, "acceleratorConfig": {"type": "V4", "topology": "2x2x2"}, "runtimeVersion": None}, 400),
        ({"kind": "v4-8", "acceleratorConfig": {"type": "V4", "topology": "2x2x2"}}, 400),
        ({"kind": None, "acceleratorConfig": {"type": "V9", "topology": "2x2x2"}}, 400),
        ({"kind": "v4-8", "labels": {"A": "b"}}, 400),
    ],
)
def test_a_slice_that_google_does_not_have_is_refused(cloud, more, code):
    assert status(lambda: cloud.client.slice("s", **more))[0] == code
    assert cloud.engine.tpu_nodes() == []


def test_with_hosts_a_machine_runs_when_its_host_is_up_and_is_gone_when_it_is_off():
    engine = ComputeEngine(boots=False)
    with serve(engine) as url:
        google = Client(url)
        created = google.insert("a")
        google.slice("s")
        (machine,), (node,) = engine.instances(), engine.tpu_nodes()
        assert (machine["status"], node["state"]) == ("STAGING", "CREATING")
        waited = threading.Thread(target=lambda: google_wait(url, created))
        waited.start()
        engine.booted("a")
        waited.join(5)
        assert not waited.is_alive(), "the operation was not done with its host"
        engine.booted(node["name"])
        assert (engine.instances()[0]["status"], engine.tpu_nodes()[0]["state"]) == ("RUNNING", "READY")
        google.delete("a")
        google.nodes.delete(name=node["name"]).execute()
        assert engine.instances()[0]["status"] == "STOPPING"
        engine.ended("a")
        engine.ended(node["name"])
        assert (engine.instances(), engine.tpu_nodes()) == ([], [])
        failed = google.insert("b")
        engine.boot_failed("b", "no room")
        assert google.wait(failed)["error"]["errors"][0]["message"] == "no room"
        assert engine.instances() == []
        failed = google.slice("t")
        engine.boot_failed(engine.tpu_nodes()[0]["name"], "no room")
        operations = google.tpu.projects().locations().operations()
        assert operations.get(name=failed["name"]).execute()["error"] == {"code": 13, "message": "no room"}
        assert engine.tpu_nodes() == []


def google_wait(url: str, operation: dict[str, Any]) -> None:
    Client(url).wait(operation)


@pytest.mark.parametrize(("kind", "made"), [("broken_connection", 1), ("lost_request", 0)])
def test_a_broken_connection_has_or_has_not_carried_the_request_out(cloud, kind, made):
    cloud.engine.injection.call_faults = [CallFault("compute.instances.insert", kind=kind)]
    # Not Google's client: the library below it tries again by itself.
    connection = http.client.HTTPConnection(cloud.url.removeprefix("http://"), timeout=10)
    connection.request("POST", f"/compute/v1/projects/{PROJECT}/zones/{ZONE}/instances", json.dumps(body("a")))
    with pytest.raises((OSError, http.client.HTTPException)):
        connection.getresponse()
    connection.close()
    assert len(cloud.engine.instances()) == made


def test_a_fault_hits_as_often_as_it_says_after_those_that_it_spares(cloud):
    cloud.engine.injection.call_faults = [CallFault("*", status=429, reason="rateLimitExceeded", skip=1, times=2)]
    cloud.client.list()
    assert [status(cloud.client.list)[0] for _ in range(2)] == [429, 429]
    cloud.client.list()
    assert [call.status for call in cloud.engine.calls] == [200, 429, 429, 200]


def test_a_fault_injection_travels_by_a_file(tmp_path):
    injection = FaultInjection(dry_zones={"*": ["x"]}, call_faults=[CallFault("a", kind="silent")], capacity={"y": 1})
    assert read_injection(tmp_path / "none") == FaultInjection()
    injection.write(tmp_path / "injection")
    assert read_injection(tmp_path / "injection") == injection


def test_many_clients_at_once_lose_nothing(cloud):
    def one(number: int) -> None:
        google = Client(cloud.url)
        google.insert(f"m{number}")
        google.list()
        if number % 2:
            google.delete(f"m{number}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(24)))
    assert len(cloud.engine.instances()) == 12


def test_a_method_that_google_has_and_this_does_not_is_named(cloud):
    code, reason = status(cloud.client.instances.suspend(project=PROJECT, zone=ZONE, instance="a").execute)
    assert (code, reason) == (
        501,
        "compute.instances.suspend is a method of Google's, but the local Compute Engine lacks it",
    )


def test_an_answer_that_googles_document_forbids_is_loud(monkeypatch):
    engine = ComputeEngine()
    monkeypatch.setattr(engine, "answer", lambda _call: {"kind": "compute#instanceList", "itemz": []})
    with pytest.raises(DriftError, match=r"compute\.instances\.list.*itemz"), serve(engine) as url:
        assert status(Client(url).list)[0] == 500
