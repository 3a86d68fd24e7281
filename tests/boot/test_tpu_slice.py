"""Each host of a TPU slice announces its own number, and only host 0 the slice's head; read by Ray's own code."""

from __future__ import annotations

import json

import pytest

from accel_scaling._ray.facts import LABEL_TPU_WORKER_ID, OVERRIDE_LABELS, OVERRIDE_RESOURCES
from accel_scaling.boot.admission import correct_promise
from accel_scaling.families.inventory import detect

PROMISED = {"CPU": 240, "TPU": 4, "TPU-v4-16-head": 1, "accelerator_type:TPU-V4": 1, "mine": 2}
PROMISED_LABELS = {
    LABEL_TPU_WORKER_ID: "0",
    "ray.io/tpu-pod-type": "v4-16",
    "ray.io/tpu-topology": "2x2x2",
    "ray.io/accelerator-type": "TPU-V4",
    "mine": "x",
}


@pytest.mark.parametrize("number", [0, 1])
def test_ray_announces_each_hosts_own_number_and_the_head_on_host_0_alone(tpu_host, monkeypatch, number):
    from ray._private.resource_and_label_spec import ResourceAndLabelSpec

    tpu_host("v4-16", number)
    environment = {OVERRIDE_RESOURCES: json.dumps(PROMISED), OVERRIDE_LABELS: json.dumps(PROMISED_LABELS)}
    correct_promise(environment, detect())
    for name, text in environment.items():
        monkeypatch.setenv(name, text)
    announced = ResourceAndLabelSpec()
    announced.resolve(is_head=False, node_ip_address="10.0.0.1")
    assert announced.labels[LABEL_TPU_WORKER_ID] == str(number)
    assert announced.labels["ray.io/tpu-slice-name"] == "ray-x-tpu"
    assert announced.labels["ray.io/tpu-topology"] == "2x2x2"
    assert announced.labels["mine"] == "x"
    assert announced.resources["TPU"] == 4
    assert announced.resources["mine"] == 2
    assert announced.resources.get("TPU-v4-16-head", 0) == (1 if number == 0 else 0)
    assert announced.resources["ray-x-tpu"] == 1


def test_without_a_tpu_that_knows_its_number_the_promise_stays(tpu_host):
    environment = {OVERRIDE_RESOURCES: json.dumps(PROMISED), OVERRIDE_LABELS: json.dumps(PROMISED_LABELS)}
    before = dict(environment)
    correct_promise(environment, [])
    tpu_host("v4-16", 1, status=503)
    correct_promise(environment, detect())
    assert environment == before


def test_a_promise_without_labels_gets_none(tpu_host):
    tpu_host("v4-16", 1)
    environment: dict[str, str] = {}
    correct_promise(environment, detect())
    assert environment == {}


def test_the_slices_of_tpu7x_lose_their_head_too_which_ray_writes_with_another_name(tpu_host):
    # Ray's command runner takes TPU-tpu7x-16-head away, and the promise is TPU-v7x-16-head.
    tpu_host("tpu7x-16", 1)
    environment = {OVERRIDE_RESOURCES: json.dumps({"TPU": 4, "TPU-v7x-16-head": 1})}
    correct_promise(environment, detect())
    assert json.loads(environment[OVERRIDE_RESOURCES]) == {"TPU": 4}
