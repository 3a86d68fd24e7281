"""Node types that lie or are sold out are quarantined, on real clusters: the task runs on another type."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from accel_scaling.testing import Fault
from accel_scaling.testing.hosts.settings import HostKind
from tests.support.cluster import LEAN, V1, Cluster, cluster, config_of, gcp_config_of, machines_of

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]

# One GPU of the same type each; both autoscalers take the smallest machine that will do first.
AWS = config_of({"liar": "g4dn.xlarge", "dry": "g4dn.2xlarge", "good": "g4dn.4xlarge"})
GCP = gcp_config_of({"liar": "g2-standard-4", "dry": "g2-standard-8", "good": "g2-standard-12"})
for name in ("liar", "dry", "good"):  # so that a task can ask for just one type
    GCP["available_node_types"][name]["resources"] = {name: 1}
GCP["provider"]["quarantine"] = {"first_s": 45}  # longer than the task needs to run elsewhere


def left_alone(one: Cluster) -> dict[str, dict[str, Any]]:
    said = one.exec("accel-scaling status --json")
    content = json.loads(said[said.index("{") : said.rindex("}") + 1])
    return {entry["node_type"]: entry for entry in content["left_alone"]}


def test_the_first_type_lies_the_second_is_sold_out_the_task_runs_on_the_third_and_a_restart_forgets_nothing() -> None:
    # `ray up` again: Ray must be stopped first, as Ray's own commands do.
    with cluster(AWS | LEAN | {"head_start_ray_commands": ["ray stop", *LEAN["head_start_ray_commands"]]}) as one:
        lying_and_dry(one, AWS)
        one.up()
        liars = run_on_the_third(one, AWS, "T4")
        metrics = one.exec("curl -s localhost:44217/metrics")
        assert 'accel_scaling_confirmations_total{node_type="good",verdict="Confirmed"' in metrics
        assert "\n liar (quarantined until " in one.exec("ray status"), "under Recent failures"
        plan = one.exec("accel-scaling plan ~/ray_bootstrap_config.yaml --address 127.0.0.1:6379")
        assert re.search(r"\ngood +g4dn.4xlarge .*Confirmed +1\n", plan), plan
        assert "liar is quarantined until " in plan
        one.up()  # `ray up` again restarts Ray on the head, and so the autoscaler
        assert left_alone(one)["liar"]["reason"] == "DriverMissing"
        assert one.task(accelerator_type="T4", num_gpus=1)["ran"]["labels"]["accel-scaling.io/verdict"] == "Confirmed"
        assert machines_of(one.local, ["booted"]).count("g4dn.xlarge") == liars


def test_it_is_so_on_google_cloud_with_autoscaler_v1_and_a_type_that_lies_no_more_is_used_again_by_itself() -> None:
    with cluster(GCP | LEAN, V1, kind=HostKind.PROCESSES) as one:
        lying_and_dry(one, GCP)
        one.up()
        run_on_the_third(one, GCP, "L4")
        assert "\n liar: quarantined until " in one.exec("ray status"), "under Recent failures"
        one.local.set_faults()
        ran = one.task(num_gpus=1, resources={"liar": 1})["ran"]  # pending until the quarantine ends
        assert ran["labels"]["accel-scaling.io/instance-type"] == machines(GCP)["liar"]
        # The round after it has joined ends the quarantine.
        one.wait("the end of the quarantine", lambda: "liar" not in left_alone(one), timeout_s=30)


def machines(config: Any) -> dict[str, str]:
    return {name: next(iter(one["node_config"].values())) for name, one in config["available_node_types"].items()}


def lying_and_dry(one: Cluster, config: Any) -> None:
    named = machines(config)
    one.local.set_faults(Fault.no_driver(named["liar"]), Fault.capacity(named["dry"], 0))


def run_on_the_third(one: Cluster, config: Any, accelerator_type: str) -> int:
    """Return how many of the liars it took."""
    named = machines(config)
    ran = one.task(accelerator_type=accelerator_type, num_gpus=1)["ran"]
    assert ran["labels"]["accel-scaling.io/instance-type"] == named["good"]
    liars = machines_of(one.local, ["booted"]).count(named["liar"])
    assert liars <= 2, "not once more than it takes to know"
    found = left_alone(one)
    assert found["liar"]["reason"] == "DriverMissing"
    assert found["dry"]["kind"] == "sold out"
    return liars
