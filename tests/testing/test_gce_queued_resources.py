"""The local Cloud TPU's queued resources, asked by Google's own client: how they wait, come, fail and are deleted."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import pytest
from googleapiclient.errors import HttpError

from accel_scaling.testing import Fault
from accel_scaling.testing.gce.api import ComputeEngine
from accel_scaling.testing.gce.server import serve
from tests.support.gce_client import PARENT, Client
from tests.testing.test_gce_api import Clock, status

NODE = {"acceleratorType": "v6e-16", "runtimeVersion": "v2-alpha-tpuv6e", "labels": {"a": "b"}}


@dataclass
class Queue:
    """Google's client, and the clock of what it asks."""

    engine: ComputeEngine
    client: Client
    clock: Clock

    @property
    def calls(self) -> Any:
        return self.client.tpu.projects().locations().queuedResources()

    def create(self, name: str = "q", *, key: str = "", node: Any = None, **more: Any) -> Any:
        spec = {"parent": PARENT, "nodeId": f"{name}-node", "node": NODE if node is None else node}
        made = {"tpu": {"nodeSpec": [spec]}, **more}
        how = {"requestId": key} if key else {}
        return self.calls.create(parent=PARENT, queuedResourceId=name, body=made, **how).execute()

    def get(self, name: str = "q") -> Any:
        return self.calls.get(name=f"{PARENT}/queuedResources/{name}").execute()

    def state(self, name: str = "q") -> str:
        return str(self.get(name)["state"]["state"])

    def delete(self, name: str = "q", **how: Any) -> Any:
        operation = self.calls.delete(name=f"{PARENT}/queuedResources/{name}", **how).execute()
        return self.client.slice_operation(operation)

    def nodes(self) -> list[dict[str, Any]]:
        return self.engine.tpu_nodes()


@pytest.fixture(name="queue")
def queue_fixture():
    clock = Clock()
    engine = ComputeEngine(clock=clock)
    with serve(engine) as url:
        yield Queue(engine, Client(url), clock)


def test_one_waits_for_its_turn_and_brings_its_slice(queue):
    queue.engine.injection.waits_s = {"v6e-16": 60}
    queue.engine.injection.operation_latency_s = {"tpu": 30}
    operation = queue.create(spot={}, queueingPolicy={"validUntilDuration": "21600s"})
    assert (queue.state(), queue.nodes()) == ("WAITING_FOR_RESOURCES", [])
    queue.clock.now = 59
    assert queue.client.slice_operation(operation)["response"]["name"] == f"{PARENT}/queuedResources/q"
    assert (queue.state(), queue.nodes()) == ("WAITING_FOR_RESOURCES", [])
    queue.clock.now = 60
    assert queue.state() == "PROVISIONING"
    (node,) = queue.nodes()
    assert (node["name"], node["state"], node["labels"]) == (f"{PARENT}/nodes/q-node", "CREATING", {"a": "b"})
    assert node["queuedResource"] == f"{PARENT}/queuedResources/q"
    queue.clock.now = 91
    assert [one["state"] for one in queue.nodes()] == ["READY"]
    (listed,) = queue.calls.list(parent=PARENT).execute()["queuedResources"]
    assert (listed["state"]["state"], len(queue.nodes()[0]["networkEndpoints"])) == ("ACTIVE", 4)


def test_a_request_id_makes_a_repeated_creation_one_and_a_taken_name_is_refused(queue):
    key = str(uuid.uuid4())
    assert queue.create(key=key)["name"] == queue.create(key=key)["name"]
    assert len(queue.engine.queued_resources()) == 1
    assert status(queue.create) == (409, f"Resource '{PARENT}/queuedResources/q' already exists")


def test_one_without_capacity_waits_on_and_fails_when_its_time_is_over(queue):
    queue.engine.injection.dry_zones = {"*": ["v6e-16/spot"]}
    queue.create(spot={}, queueingPolicy={"validUntilDuration": "600s"})
    queue.create("other")
    queue.clock.now = 599
    assert (queue.state(), queue.state("other")) == ("WAITING_FOR_RESOURCES", "ACTIVE")
    queue.clock.now = 600
    assert queue.get()["state"]["failedData"]["error"]["code"] == 4
    queue.clock.now = 99999
    assert queue.state() == "FAILED", "it stays until it is deleted"


def test_failed_and_suspended_ones_take_quota_until_they_are_deleted(queue):
    queue.engine.injection.quota = {"v6e-16": 1}
    queue.engine.injection.queue_ends = {"v6e-16": "SUSPENDED"}
    queue.create("first")
    assert queue.get("first")["state"] == {"state": "SUSPENDED", "stateInitiator": "SERVICE"}
    queue.create("second")
    error = queue.get("second")["state"]["failedData"]["error"]
    assert (error["code"], error["message"]) == (8, "Quota 'v6e-16' exhausted. Limit 1 in region us-central1.")
    assert queue.delete("first")["done"]
    assert queue.delete("second")["done"]
    queue.engine.injection.queue_ends = {}
    queue.create("third")
    assert queue.state("third") == "ACTIVE"


def test_one_that_is_at_work_is_deleted_by_force_alone_and_its_slice_with_it(queue):
    queue.create()
    error = queue.delete()["error"]
    text = "DeleteQueuedResource is not supported when state is ACTIVE (must be one of "
    assert error == {"code": 9, "message": text + "[ACCEPTED WAITING_FOR_RESOURCES SUSPENDED FAILED])"}
    queue.engine.injection.operation_latency_s = {"tpu": 30}
    assert not queue.delete(force=True)["done"]
    assert (queue.state(), [one["state"] for one in queue.nodes()]) == ("DELETING", ["DELETING"])
    assert status(lambda: queue.delete(force=True))[0] == 400
    queue.clock.now = 30
    assert (queue.nodes(), queue.engine.queued_resources()) == ([], [])
    assert status(queue.get)[0] == 404


@pytest.mark.parametrize(("by", "initiator"), [("user", "USER"), ("google", "SERVICE")])
def test_one_whose_slice_is_gone_is_suspended_and_says_by_whom(queue, by, initiator):
    queue.create(spot={})
    name = queue.nodes()[0]["name"]
    if by == "user":
        queue.client.nodes.delete(name=name).execute()
    else:
        queue.engine.preempt(name)
    assert queue.get()["state"] == {"state": "SUSPENDED", "stateInitiator": initiator}
    assert "error" not in queue.delete(), "it is deleted without force"


def test_a_reservation_has_so_many_slices_and_no_more(queue):
    queue.engine.injection.capacity = {"v6e-16/reserved": 1, "v6e-16": 1}
    where = {"reservationName": f"{PARENT}/reservations/mine"}
    for name, how in {"first": where, "second": where, "free": {}}.items():
        queue.create(name, **how)
    assert [queue.state(name) for name in ("first", "second", "free")] == ["ACTIVE", "WAITING_FOR_RESOURCES", "ACTIVE"]
    full = queue.client.slice("s", "v6e-16", schedulingConfig={"reserved": True})
    error = queue.client.slice_operation(full)["error"]
    assert error["message"].startswith("Insufficient reserved capacity")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"spot": {}, "guaranteed": {}}, "oneof field 'tier'"),
        ({"queueingPolicy": {"validUntilDuration": "6h"}}, "validUntilDuration, such as 3600s"),
        ({"tpu": {"nodeSpec": []}}, "Exactly one node_spec"),
        ({"node": {**NODE, "acceleratorType": "v6e-17"}}, "was not found in zone"),
        ({"bestEffort": {}}, 'Unknown name "bestEffort"'),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_and_nothing_waits(queue, more, says):
    with pytest.raises(HttpError, match=says):
        queue.create(**more)
    assert queue.engine.queued_resources() == []


def test_the_faults_of_a_rehearsal_say_how_long_a_queue_is_and_how_it_ends():
    assert Fault.parse("waits:v6e-16=20") == Fault.waits("v6e-16", 20) == Fault.parse("waits:v6e-16=20s")
    assert Fault.parse("queue-fails:v6e-16") == Fault.queue_fails("v6e-16")
    assert Fault.parse("queue-suspended:v6e-16") == Fault.queue_suspended("v6e-16")
