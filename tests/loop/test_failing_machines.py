"""Machines that fail outside of the boot check, on real clusters: they are ended, counted, and another type serves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from accel_scaling.testing.hosts.settings import HostKind
from tests.support.cluster import LEAN, V1, V2, Cluster, cluster, config_of, gcp_config_of, machines_of

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]

# Both autoscalers take the smallest machine first.
AWS = config_of({"bad": "g4dn.xlarge", "good": "g4dn.2xlarge"})
GCP = gcp_config_of({"bad": "g2-standard-4", "good": "g2-standard-8"})
BROKEN = "echo 'ERROR: No matching distribution found for torch==99'; exit 7"
NO_GCS = LEAN["worker_start_ray_commands"][0].replace("ray start", "timeout 8 ray start").replace(":6379", ":6390")


def up(one: Cluster, **changes: Any) -> None:
    """`ray up` of the file with what the local cloud leaves out of it: set-up commands."""
    config = yaml.safe_load(one.path.read_text())
    config["available_node_types"]["bad"].update(changes)
    one.path.write_text(yaml.safe_dump(config, sort_keys=False))
    one.up()


def status(one: Cluster) -> dict[str, Any]:
    said = one.exec("accel-scaling status --json")
    content: dict[str, Any] = json.loads(said[said.index("{") : said.rindex("}") + 1])
    return content


@pytest.mark.parametrize(("config", "autoscaler", "gpu"), [(AWS, V2, "T4"), (GCP, V1, "L4")])
def test_a_type_whose_set_up_fails_is_quarantined_and_the_task_runs_on_another(
    config: Any, autoscaler: Mapping[str, str], gpu: str
) -> None:
    with cluster(config | LEAN, autoscaler, kind=HostKind.PROCESSES) as one:
        up(one, worker_setup_commands=[BROKEN])
        ran = one.task(timeout_s=240, accelerator_type=gpu, num_gpus=1)["ran"]
        assert ran, one.log()[-3000:]
        names = [next(iter(one["node_config"].values())) for one in config["available_node_types"].values()]
        assert machines_of(one.local, ["booted"]).count(names[1]) == 2, "not once more than it takes to know"
        said = status(one)
        (quarantine,) = said["left_alone"]
        assert (quarantine["node_type"], quarantine["kind"], quarantine["reason"]) == ("bad", "failed", "SetUpFailed")
        assert "ended with 7: ERROR: No matching distribution found for torch==99" in quarantine["message"]
        assert len(said["never_joined"]) == 2
        good = [machine for machine in said["machines"].values() if machine["node_type"] == "good"]
        steps = [step["step"] for step in good[0]["steps"]]
        assert steps == ["asked", "launched", "reachable", "set up", "checked", "joined"]


def test_a_type_whose_start_fails_after_it_was_confirmed_is_quarantined() -> None:
    with cluster(AWS | LEAN | {"worker_start_ray_commands": [NO_GCS]}, V1, kind=HostKind.PROCESSES) as one:
        up(one, max_workers=2)
        one.exec("(python3 cluster_task.py '{\"num_gpus\": 1}' 200 >/dev/null 2>&1 &)")
        one.wait("a quarantine", lambda: bool(status(one)["left_alone"]), timeout_s=180)
        (quarantine,) = status(one)["left_alone"]
        assert (quarantine["kind"], quarantine["reason"]) == ("failed", "StartFailed")
        assert machines_of(one.local, ["booted"]).count("g4dn.xlarge") == 2
