"""For eleven cluster files the plan is what real Ray then launches, on a local cloud; and what stays pending, does."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from accel_scaling.cluster.cluster import catalog_of
from accel_scaling.plan.run import PlanArguments, plan_cluster
from accel_scaling.testing.hosts.settings import HostKind
from accel_scaling.testing.local_clouds import local_cloud_of
from tests.support.cluster import LEAN_HEAD, V1, cluster

# Tasks, gangs, labels and slices, on both clouds; the others are Ray's own scheduler with other numbers.
EACH_KIND = ("01-aws-gpus", "04-gcp-gangs", "07-gcp-spot", "08-gcp-tpus")
PLANS = sorted((Path(__file__).parents[1] / "data" / "plans").glob("*.yaml"))

PROGRAM = (Path(__file__).parents[1] / "programs" / "cluster_plan.py").read_text(encoding="utf-8")

REQUEST = """
import json, sys
import ray
from ray.autoscaler.sdk import request_resources

ray.init(address="auto", log_to_driver=False, logging_level="ERROR")
request_resources(bundles=json.loads(sys.argv[1]))
"""

# The head's autoscaler looks each second; machines boot for longer than the test lasts.
HASTE = {
    "head_start_ray_commands": [LEAN_HEAD.replace("UPDATE_INTERVAL_S=2", "UPDATE_INTERVAL_S=1")],
    "worker_start_ray_commands": ["sleep 120"],
    "upscaling_speed": 100,
}


def test_there_are_eleven() -> None:
    assert len(PLANS) == 11
    assert {path.stem for path in PLANS} > {*EACH_KIND}


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_each_file_is_planned_as_its_reader_expects(path: Path) -> None:
    first, config = yaml.safe_load_all(path.read_text(encoding="utf-8"))
    assert planned(first, config).launch == first["launches"]


@pytest.mark.cluster
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=() if path.stem in EACH_KIND else pytest.mark.wide, id=path.stem) for path in PLANS],
)
def test_what_is_launched_is_what_was_planned(path: Path) -> None:
    first, config = yaml.safe_load_all(path.read_text(encoding="utf-8"))
    config |= HASTE
    answer = planned(first, config)
    with cluster(config, kind=HostKind.PROCESSES) as one:
        up = one.ray("up", "-y", "--no-config-cache", str(one.path))
        assert up.returncode == 0, up.stdout[-3000:]
        told: dict[str, Any] = one._said("-c", PROGRAM, json.dumps(first["asked"]))
        head = config["head_node_type"]
        assert Counter(told["nodes"]) - Counter({head: 1}) == answer.launch
        pending = sum(each.count for each in answer.pending if not each.strategy)
        assert told["infeasible"] == pending
        assert told["infeasible_groups"] == sum(each.count for each in answer.pending if each.strategy)
        expected = machines(config, answer.launch)
        one.wait("all machines that were asked for", lambda: launched(one) == expected, 90)


@pytest.mark.cluster
@pytest.mark.timeout(300)
def test_v1_launches_plain_machines_for_cpus_too() -> None:
    first, config = yaml.safe_load_all(PLANS[-1].read_text(encoding="utf-8"))
    (asked,) = first["asked"]["tasks"]
    bundles = [{"CPU": asked["options"]["num_cpus"]}] * asked["count"]
    with cluster(config | HASTE, V1, kind=HostKind.PROCESSES) as one:
        up = one.ray("up", "-y", "--no-config-cache", str(one.path))
        assert up.returncode == 0, up.stdout[-3000:]
        # v1 tells no program what it launches; what is requested so stays requested after the program.
        one.exec(shlex.join(["python3", "-c", REQUEST, json.dumps(bundles)]))
        expected = machines(config, first["launches"])
        one.wait("all machines that were asked for", lambda: launched(one) == expected, 90)


def planned(first: dict[str, Any], config: dict[str, Any]) -> Any:
    """What the plan answers to the demands of a file."""
    words = PlanArguments(first.get("demands", ()), first.get("gangs", ()), first.get("labels", ()))
    _, answer = plan_cluster(config, catalog_of(config), words)
    return answer


def machines(config: dict[str, Any], launch: Mapping[str, int]) -> Counter[str]:
    """The machines of a plan and of the head, by their type."""
    cloud, head = local_cloud_of(config), config["head_node_type"]
    names = {name: cloud.machine_name(of["node_config"]) for name, of in config["available_node_types"].items()}
    expected: Counter[str] = Counter({names[head]: 1})
    for name, count in launch.items():
        expected[names[name]] += count
    return expected


def launched(one: Any) -> Counter[str]:
    """The machines that the cloud was asked for and gave, by their type."""
    found: Counter[str] = Counter()
    for event in one.local.events():
        if event.kind.value == "asked":
            found[event.instance_type] += event.granted
    return found
