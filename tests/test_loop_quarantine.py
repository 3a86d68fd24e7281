"""Node types that lie or are sold out are left alone, on real clusters: the task runs on what is to be had."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from accel_scaling.local_hosts.faults import Faults, no_driver
from accel_scaling.local_hosts.settings import Kind
from tests.cluster_fixture import V1, V2, Cluster, cluster, config_of, gcp_config_of, machines_of

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]

# One GPU of the same type each; both autoscalers take the smallest machine that will do first.
AWS = config_of({"liar": "g4dn.xlarge", "dry": "g4dn.2xlarge", "good": "g4dn.4xlarge"})
GCP = gcp_config_of({"liar": "g2-standard-4", "dry": "g2-standard-8", "good": "g2-standard-12"})


def left_alone(one: Cluster) -> dict[str, dict[str, Any]]:
    said = one.exec("accel-scaling status --json")
    content = json.loads(said[said.index("{") : said.rindex("}") + 1])
    return {entry["node_type"]: entry for entry in content["left_alone"]}


@pytest.mark.parametrize(
    ("config", "autoscaler"),
    [
        pytest.param(AWS, V2, id="aws-v2"),
        pytest.param(AWS, V1, id="aws-v1"),
        pytest.param(GCP, V2, id="gcp-v2"),
        pytest.param(GCP, V1, id="gcp-v1"),
    ],
)
def test_the_first_type_lies_the_second_is_sold_out_and_the_task_runs_on_the_third(
    config: Any, autoscaler: Mapping[str, str]
) -> None:
    machines = {name: next(iter(one["node_config"].values())) for name, one in config["available_node_types"].items()}
    with cluster(config, autoscaler, kind=Kind.PROCESSES) as one:
        one.local.set_faults(Faults(hardware={machines["liar"]: no_driver()}, capacity={machines["dry"]: 0}))
        one.up()
        ran = one.task(accelerator_type="T4" if config is AWS else "L4", num_gpus=1)["ran"]
        assert ran["labels"]["accel-scaling.io/instance-type"] == machines["good"]
        assert machines_of(one.local, ["booted"]).count(machines["liar"]) <= 3, "not once more than it takes to know"
        found = left_alone(one)
        assert found["liar"]["reason"] == "DriverMissing"
        assert found["dry"]["kind"] == "sold out"
        metrics = one.exec("curl -s localhost:44217/metrics")
        assert 'accel_scaling_confirmations_total{node_type="good",verdict="Confirmed"' in metrics


def test_a_restart_of_the_autoscaler_forgets_nothing() -> None:
    with cluster(config_of({"liar": "g4dn.xlarge", "good": "g4dn.2xlarge"})) as one:
        one.local.set_faults(Faults(hardware={"g4dn.xlarge": no_driver()}))
        one.up()
        assert one.task(accelerator_type="T4", num_gpus=1)["ran"]
        booted = machines_of(one.local, ["booted"]).count("g4dn.xlarge")
        one.up()  # `ray up` again restarts Ray on the head
        assert left_alone(one)["liar"]["reason"] == "DriverMissing"
        assert one.task(accelerator_type="T4", num_gpus=1)["ran"]["labels"]["accel-scaling.io/verdict"] == "Confirmed"
        assert machines_of(one.local, ["booted"]).count("g4dn.xlarge") == booted
