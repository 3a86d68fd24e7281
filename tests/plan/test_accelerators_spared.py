"""`plan` answers as an autoscaler that spares accelerators from work without them, and says where it cannot."""

from __future__ import annotations

from typing import Any

import pytest

from accel_scaling.errors import ClusterConfigError
from tests.support.plan import aws, gcp, plan

PLAIN, MANY = "m5.8xlarge", "CPU:4x32"
V5E = {"acceleratorType": "v5litepod-8", "runtimeVersion": "v2-alpha-tpuv5-lite"}


@pytest.mark.parametrize("machine", ["trn1.32xlarge", "inf2.48xlarge", "dl1.24xlarge", "p4d.24xlarge"])
def test_cpu_tasks_buy_plain_machines_on_aws(machine: str) -> None:
    answer = plan(aws(most=8, cpu=PLAIN, acc=machine), MANY)
    assert (answer.launch, answer.notes) == ({"cpu": 4}, ())


@pytest.mark.parametrize("config", [V5E, {"machineType": "ct5lp-hightpu-8t"}, {"machineType": "a2-highgpu-8g"}])
def test_cpu_tasks_buy_plain_machines_on_google_cloud(config: dict[str, Any]) -> None:
    cluster = gcp(cpu={"machineType": "n2-standard-32"}, acc=config)
    for node_type in ("cpu", "acc"):
        cluster["available_node_types"][node_type]["max_workers"] = 8
    cluster["max_workers"] = 16
    answer = plan(cluster, MANY)
    assert (answer.launch, answer.notes) == ({"cpu": 4}, ())


def test_a_small_demand_takes_the_plain_machine_though_the_other_is_smaller() -> None:
    assert plan(aws(cpu="m5.4xlarge", acc="trn1.2xlarge"), "CPU:1x8").launch == {"cpu": 1}


def test_a_demand_that_only_accelerators_can_take_is_served_with_a_note() -> None:
    answer = plan(aws(acc="trn1.32xlarge"), MANY)
    assert (answer.launch, answer.pending) == ({"acc": 1}, ())
    note = (
        "acc: 1 of them (trn1.32xlarge) would run CPU:4 alone, which asks for no accelerator; no node type without "
        "accelerators fits it; add one"
    )
    assert answer.notes == (note,)


def test_the_note_names_the_limit_that_sends_cpu_tasks_to_accelerators() -> None:
    answer = plan(aws(most=1, cpu=PLAIN, acc="dl1.24xlarge"), MANY)
    assert answer.launch == {"cpu": 1, "acc": 1}
    assert answer.notes[0].endswith("asks for no accelerator; max_workers leaves no more nodes of cpu; raise it")


def test_cpu_tasks_beside_accelerated_ones_need_no_note() -> None:
    answer = plan(aws(cpu=PLAIN, acc="trn1.32xlarge"), "aws-neuron-core:32", "CPU:4x4")
    assert answer.launch.get("acc") == 1
    assert answer.notes == ()


@pytest.mark.parametrize("stock", [True, False])
def test_stock_ray_and_a_file_that_switches_it_off_are_planned_as_ray_does_it(*, stock: bool) -> None:
    config = aws(cpu=PLAIN, acc="trn1.32xlarge")
    if stock:
        config["provider"] = {"type": "aws", "region": "us-west-2"}
    else:
        config["provider"]["spare_accelerators"] = False
    answer = plan(config, MANY)
    assert answer.launch == {"acc": 1}
    assert "Ray spares only nodes with GPU from such demands" in answer.notes[0]


def test_another_value_of_the_switch_is_refused() -> None:
    config = aws(cpu=PLAIN)
    config["provider"]["spare_accelerators"] = "no"
    with pytest.raises(ClusterConfigError, match=r"provider\.spare_accelerators is 'no': write true or false"):
        plan(config, MANY)
    config["provider"] = {**config["provider"], "spare_accelerator": False}
    del config["provider"]["spare_accelerators"]
    with pytest.raises(ClusterConfigError, match="nearest: spare_accelerators"):
        plan(config, MANY)
